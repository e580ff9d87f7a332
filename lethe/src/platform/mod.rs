//! One process with all services, and a supervised nats-server or a NATS that others run.

mod admin;
mod backup;
mod backup_watch;
mod credentials;
mod data_dir;
mod described;
mod doctor;
mod elsewhere;
mod error;
mod http;
mod inner;
mod listen;
mod nats;
mod open;
mod operations;
mod operator;
mod reauthentication;
mod record;
mod registry;
pub mod restore;
mod second_door;
mod serve;
mod vault_admin;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::ids::{Environment, Label, OrganisationId, StudyId, TenantId, UserId};
use domain::permit::{Role, Sites};
use domain::port::{Clock, Credentials, Dice};
use infra::chance::{SystemClock, SystemDice};
use infra::store::Engine;
use infra::telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use backup::{READS, Schedule, last_read, read_identity};
pub use command_svc::Rules as DetectionRules;
use data_dir::{DataDir, is_platform};
pub use data_dir::{Run, running};
pub use described::openapi;
pub use door::Rules as DoorRules;
pub use elsewhere::Elsewhere;
pub(crate) use elsewhere::Vault;
pub use error::StartError;
pub use listen::Certificate;
pub use operator::Operator;

use inner::Inner;
use listen::Sockets;

/// How a platform is to be started.
pub struct Options {
    data_dir: PathBuf,
    elsewhere: Elsewhere,
    read_store: Engine,
    listen: SocketAddr,
    certificate: Option<Certificate>,
    install_nats_server: bool,
    metrics: Metrics,
    schedule: Option<Schedule>,
    door: DoorRules,
    detection: DetectionRules,
    providers: Option<PathBuf>,
    clock: Arc<dyn Clock>,
}

impl Options {
    /// On a free port on loopback, with root keys in files, nothing off-site, and a nats-server that is installed already.
    pub fn new(data_dir: &Path, kms_dir: &Path) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            data_dir: data_dir.to_owned(),
            elsewhere: Elsewhere::files(kms_dir),
            read_store: Engine::default(),
            listen,
            certificate: None,
            install_nats_server: false,
            metrics: Metrics::default(),
            schedule: None,
            door: DoorRules::default(),
            detection: DetectionRules::default(),
            providers: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// With another KMS than files, or with an off-site target.
    #[must_use]
    pub fn elsewhere(mut self, elsewhere: Elsewhere) -> Self {
        self.elsewhere = elsewhere;
        self
    }

    /// With read models that this engine keeps.
    #[must_use]
    pub fn read_store(mut self, engine: Engine) -> Self {
        self.read_store = engine;
        self
    }

    /// With other rules at the door: how long sessions and links last, and under which address people come.
    #[must_use]
    pub fn door(mut self, rules: DoorRules) -> Self {
        self.door = DoorRules { tls: self.door.tls, ..rules };
        self
    }

    /// With other limits of what may be an attack.
    #[must_use]
    pub fn detection(mut self, rules: DetectionRules) -> Self {
        self.detection = rules;
        self
    }

    /// With the identity providers of tenants that stand in a file.
    #[must_use]
    pub fn providers(mut self, file: Option<PathBuf>) -> Self {
        self.providers = file;
        self
    }

    /// By another clock, for what is decided, asked and signed in: for tests of what time does.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// On this address.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// By TLS, with this certificate. Without it, on loopback only.
    #[must_use]
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self.door.tls = true;
        self
    }

    /// Shows these metrics at `/metrics`.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Backs every tenant up by itself.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Installs the pinned nats-server into the user's cache, if there is none yet.
    #[must_use]
    pub fn install_nats_server(mut self) -> Self {
        self.install_nats_server = true;
        self
    }
}

/// A token to be made.
pub struct NewToken {
    /// Whose tenant.
    pub tenant: TenantId,
    /// The user, new or known.
    pub user: UserId,
    /// In which role.
    pub role: Role,
    /// The user's name; sealed.
    pub name: String,
    /// A program instead of a person.
    pub service_account: bool,
    /// In which environment.
    pub environment: Environment,
    /// For which organisation.
    pub organisation: OrganisationId,
    /// For which sites.
    pub sites: Sites,
    /// For how many days.
    pub days: u16,
}

impl NewToken {
    /// For all sites in TEST, for 90 days.
    pub fn new(tenant: &TenantId, user: UserId, role: Role, name: &str, service_account: bool) -> Self {
        Self {
            tenant: tenant.clone(),
            user,
            role,
            name: name.to_owned(),
            service_account,
            environment: Environment::Test,
            organisation: "own".parse().expect("a valid organisation id"),
            sites: Sites::All,
            days: 90,
        }
    }
}

/// What runs for one tenant, for who measures it.
pub(crate) struct Parts {
    pub(crate) tenant: Arc<domain::port::Tenant>,
    pub(crate) runner: Arc<projection_svc::Runner>,
    pub(crate) client: infra::journal::Client,
}

/// A link for the first who administers a tenant.
#[derive(Clone, serde::Serialize)]
pub struct FirstLink {
    /// What opens it, under the address at which people come.
    pub address: String,
    /// Until when.
    pub expires_at: domain::Moment,
}

/// A platform that serves.
pub struct Platform {
    inner: Arc<Inner>,
    local: SocketAddr,
    public: String,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    backing_up: Option<JoinHandle<()>>,
}

impl Platform {
    /// Takes the data directory, starts the nats-server if it is to be its own, opens every tenant, listens.
    ///
    /// # Errors
    /// Whatever is missing or damaged, by name. Nothing is served then.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        if options.certificate.is_none() && !options.listen.ip().is_loopback() {
            return Err(StartError::NotLoopback { address: options.listen });
        }
        let inner = Arc::new(open::all(&options).await?);
        let sockets = Sockets::bind(&options, &inner.data_dir).await?;
        let (local, public) = (sockets.local, sockets.public.clone());
        if let Some(shown) = sockets.shown(&options) {
            inner.public_url.get_or_init(|| public.clone());
            inner.certificate.get_or_init(|| shown);
        }
        let credentials: Arc<dyn Credentials> = Arc::clone(&inner.door) as _;
        inner.second_doors.answered_by(http::commands(&inner, Arc::clone(&credentials)), credentials);
        for open in inner.registry.open() {
            inner.second_doors.open(&inner.nats, &open.ports.id).await?;
        }
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(sockets.serve(http::local(&inner), http::public(&inner), stopped));
        tokio::spawn(operations::Figures::keep_looking(Arc::downgrade(&inner)));
        let backing_up = options.schedule.map(|schedule| tokio::spawn(Arc::clone(&inner).keep_backing_up(schedule)));
        let platform = Self { inner, local, public, stop, serving, backing_up };
        platform.inner.data_dir.announce(&Run {
            url: platform.url(),
            operator_token: platform.operator_token().to_owned(),
            pid: std::process::id(),
        })?;
        Ok(platform)
    }

    /// The address of the API for this machine: on loopback, without TLS.
    pub fn url(&self) -> String {
        format!("http://{}", self.local)
    }

    /// The address at which people come: by TLS, if there is a certificate.
    pub fn public_url(&self) -> &str {
        &self.public
    }

    /// What the operator's routes ask for.
    pub fn operator_token(&self) -> &str {
        &self.inner.operator_token
    }

    /// What runs for a tenant.
    ///
    /// # Errors
    /// When there is no such tenant, or it is not served.
    pub(crate) fn parts(&self, tenant: &TenantId) -> Result<Parts, StartError> {
        let open = self.inner.open(tenant)?;
        let (tenant, runner, client) = (Arc::clone(&open.ports), Arc::clone(&open.runner), open.client.clone());
        Ok(Parts { tenant, runner, client })
    }

    /// Chance, for who needs some.
    pub fn dice(&self) -> &dyn Dice {
        &*self.inner.dice
    }

    /// A client at the second door of a tenant, as an integrator has one.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn second_door(&self, tenant: &TenantId) -> Result<infra::requests::DoorClient, StartError> {
        let login = self.inner.nats.door(tenant)?;
        let login = login.ok_or_else(|| StartError::NoSuchTenant { tenant: tenant.clone() })?;
        Ok(infra::requests::DoorClient::connect(&login.asks, &self.inner.nats.url(), tenant).await?)
    }

    /// The process id of its own nats-server, if it has one: for fault tests.
    pub fn nats_server_pid(&self) -> Option<u32> {
        self.inner.nats.pid()
    }

    /// Creates a tenant.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn create_tenant(&self, tenant: &TenantId) -> Result<(), StartError> {
        self.inner.create_tenant(tenant).await
    }

    /// Creates a study of a tenant.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn create_study(
        &self,
        tenant: &TenantId,
        study: &StudyId,
        name: Label,
        environment: Environment,
    ) -> Result<(), StartError> {
        self.inner.create_study(tenant, study, name, environment).await
    }

    /// Makes a token, and the user if there is none yet. The secret is returned once.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn create_token(&self, new: NewToken) -> Result<String, StartError> {
        self.inner.create_token(new).await.map(|(_, secret)| secret)
    }

    /// A link for the first who administers a tenant, unless there is somebody; with until when it may be used.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn first_link(&self, tenant: &TenantId) -> Result<Option<FirstLink>, StartError> {
        self.inner.first_link(tenant, &self.url()).await
    }

    /// The tenants that are served and that nobody with an account administers.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn unadministered(&self) -> Result<Vec<TenantId>, StartError> {
        let mut found = Vec::new();
        for open in self.inner.registry.open() {
            if !self.inner.door.is_administered(&open.ports.id).await? {
                found.push(open.ports.id.clone());
            }
        }
        Ok(found)
    }

    /// Backs a tenant up.
    ///
    /// # Errors
    /// See [`infra::backup::BackupError`].
    pub async fn back_up(
        &self,
        tenant: &TenantId,
        to: &infra::off_site::Place,
        recipients: &[infra::backup::Recipient],
    ) -> Result<infra::backup::Manifest, infra::backup::BackupError> {
        let place = to.open(tenant)?;
        Ok(self.inner.back_up(tenant, &*place, recipients, &|_| {}).await?.manifest)
    }

    /// Tries to open keys past all fences, with the live tree and with copies of it. Says how many open.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn probe(
        &self,
        tenant: &TenantId,
        targets: &[domain::port::Target],
        copies: &[infra::keys::TreeCopy],
    ) -> Result<u64, StartError> {
        let open = self.inner.open(tenant)?;
        Ok(open.keys.probe_copies(targets, copies).await?)
    }

    /// Finishes what was begun, and ends the nats-server last.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        // What a backup has sent is used again by the next one.
        self.backing_up.iter().for_each(JoinHandle::abort);
        // Connections that a client keeps open must not hold the platform up.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), self.serving).await;
        self.inner.stop().await;
    }
}

/// A random id, for a client.
pub fn random_id() -> uuid::Uuid {
    SystemDice.uuid()
}
