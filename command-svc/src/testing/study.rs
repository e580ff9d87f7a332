//! Tenants and people around a world, a live study, and the write side as its clients see it.

use super::*;

/// Two tenants, each with a world of its own.
pub(crate) struct TwoTenants(pub(crate) BTreeMap<TenantId, Arc<Tenant>>);

impl Tenants for TwoTenants {
    fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.get(id).cloned()
    }
    fn all(&self) -> Vec<Arc<Tenant>> {
        self.0.values().cloned().collect()
    }
}

pub(crate) fn tenant(id: &str, world: &Arc<World>) -> Arc<Tenant> {
    Arc::new(Tenant {
        id: id.parse().expect("valid"),
        journal: world.clone(),
        keys: world.clone(),
        cells: world.clone(),
        store: world.clone(),
        progress: world.clone(),
        ledger: world.clone(),
        certifier: world.clone(),
        exports: world.clone(),
    })
}

pub(crate) fn acme() -> TenantId {
    "acme".parse().expect("valid")
}

pub(crate) fn cardio() -> StudyId {
    "cardio".parse().expect("valid")
}

/// A person of tenant acme in a role; `n` tells people apart.
pub(crate) fn person(role: Role, n: u128) -> Principal {
    let mut principal = Principal::system(acme(), Environment::Test);
    principal.actor.id = UserId(Uuid::from_u128(n));
    principal.actor.kind = domain::history::ActorKind::User;
    principal.actor.role = role;
    principal.sites = Sites::All;
    principal
}

/// The write side of tenants acme and other, with acme's world; acme's journal streams are provisioned.
pub(crate) fn commands() -> (Arc<World>, Arc<Commands>, Arc<Tenant>) {
    let (world, elsewhere) = (World::new(), World::new());
    world.provision(&acme(), None);
    world.provision(&acme(), Some(&cardio()));
    let acme_tenant = tenant("acme", &world);
    let tenants = [acme_tenant.clone(), tenant("other", &elsewhere)];
    let tenants = TwoTenants(tenants.into_iter().map(|tenant| (tenant.id.clone(), tenant)).collect());
    let (tenants, asked) = (Arc::new(tenants), Arc::new(Passwords));
    let commands = Commands::asking(tenants, world.clone(), world.clone(), ErasureTrigger::default(), asked);
    (world, commands, acme_tenant)
}

/// One more process over the same world.
pub(crate) fn another_process(world: &Arc<World>) -> Arc<Commands> {
    let acme_tenant = tenant("acme", world);
    let tenants = Arc::new(TwoTenants([(acme_tenant.id.clone(), acme_tenant)].into()));
    Commands::asking(tenants, world.clone(), world.clone(), ErasureTrigger::default(), Arc::new(Passwords))
}

/// A live study with one open site, "oslo", and the design of [`design_json`].
pub(crate) async fn live_study() -> (Arc<World>, Arc<Commands>, Arc<Tenant>, Http) {
    let (world, commands, tenant) = commands();
    let name = "Cardio".parse().expect("valid");
    commands.create_study(&tenant, &cardio(), name, Environment::Test).await.expect("provisioned");
    let http = Http::new(&commands);
    let published = http.post("designer", "/designs", &design_json()).await;
    assert_eq!(published.status, 200, "{}", published.body);
    let open_site = json!({"type": "open-site", "site": "oslo", "name": "Oslo"});
    let go_live = json!({"type": "go-live", "design": published.body["design"]});
    for command in [open_site, go_live] {
        let reply = http.post("designer", "", &command).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    (world, commands, tenant, http)
}

/// One visit with one form of two items.
pub(crate) fn design_json() -> Value {
    let item = |oid: &str, data_type: &str| json!({"oid": oid, "name": oid, "data_type": data_type});
    json!({
        "name": "Cardio",
        "version": "1",
        "visits": [{"oid": "V1", "name": "Visit 1", "forms": [{"oid": "VS"}]}],
        "forms": [{"oid": "VS", "name": "Vital signs", "item_groups": [{"oid": "G"}]}],
        "item_groups": [{"oid": "G", "name": "G", "items": [{"oid": "SYSBP"}, {"oid": "AETERM"}]}],
        "items": [item("SYSBP", "integer"), item("AETERM", "text")],
    })
}

/// Whoever knows the word signs as Grace Hopper.
struct Passwords;

#[async_trait]
impl Reauthentication for Passwords {
    async fn signer(&self, _: &Principal, credential: &str) -> Result<Signer, ReauthenticationError> {
        match credential {
            "the word" => Ok(Signer { printed_name: "Grace Hopper".into(), factors: vec![Factor::Password] }),
            "nameless" => Err(ReauthenticationError::NoPrintedName),
            _ => Err(ReauthenticationError::Refused),
        }
    }
}

/// Who a token is: the role's name, or one of a few others.
struct Tokens;

#[async_trait]
impl Credentials for Tokens {
    async fn authenticate(&self, token: &str) -> Result<Option<Principal>, Failure> {
        let role = match token {
            "designer" => Role::StudyDesigner,
            "prod" | "elsewhere" | "bergen" => Role::Investigator,
            role => match role.parse() {
                Ok(role) => role,
                Err(_) => return Ok(None),
            },
        };
        let mut principal = person(role, u128::from(token.as_bytes()[0]) << 8 | u128::from(token.as_bytes()[1]));
        match token {
            "prod" => principal.environment = Environment::Prod,
            "elsewhere" => principal.tenant = "other".parse().expect("valid"),
            "bergen" => principal.sites = Sites::Only(["bergen".parse().expect("valid")].into()),
            _ => {}
        }
        Ok(Some(principal))
    }
}

/// The write side as its clients see it.
pub(crate) struct Http(Router);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }
}

impl Http {
    pub(crate) fn new(commands: &Arc<Commands>) -> Self {
        let routes = edge::authenticated(crate::router(commands.clone()), Arc::new(Tokens));
        Self(edge::traced(edge::fallbacks(routes), || None))
    }

    /// Posts below `/v1/studies/cardio`.
    pub(crate) async fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.send(token, path, &[], body.to_string().into_bytes()).await
    }

    /// Posts below `/v1/studies/cardio` with headers.
    pub(crate) async fn send(&self, token: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = HttpRequest::post(format!("/v1/studies/cardio{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.ask(request.body(Body::from(body)).expect("a request")).await
    }

    /// Asks below `/v1/studies/cardio`.
    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        let request = HttpRequest::get(format!("/v1/studies/cardio{path}"));
        let request = request.header("authorization", format!("Bearer {token}"));
        self.ask(request.body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn ask(&self, request: HttpRequest<Body>) -> Answer {
        let (parts, body) = self.0.clone().oneshot(request).await.expect("infallible").into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("in memory").to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer { status: parts.status.as_u16(), headers: parts.headers, bytes, body }
    }
}
