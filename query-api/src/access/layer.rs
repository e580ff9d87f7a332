//! One entry an answer, made where every answer passes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use domain::access::{Outcome, People, Purpose, Reflects, Seen, Shows, View, view_of};
use domain::history::{ActorKind, Position};
use domain::ids::{ParticipantId, StudyId};
use domain::incident::watch::{Look, Sighting};
use domain::permit::Principal;
use edge::headers::{LETHE_ACCESS, LETHE_POSITION, LETHE_PURPOSE, parse_positions};
use edge::{Caller, Origin, Problem};

use super::log::{AccessLog, Entry};
use crate::answer::Names;

/// Records what these routes show before it leaves. Around what authenticates, within what says from where a request comes.
pub fn logged(router: Router, log: Arc<AccessLog>) -> Router {
    router.layer(from_fn_with_state(log, keep))
}

async fn keep(State(log): State<Arc<AccessLog>>, request: Request, next: Next) -> Response {
    let asked = match Asked::of(&request) {
        Ok(Some(asked)) => asked,
        Ok(None) => return next.run(request).await,
        Err(problem) => return problem.into_response(),
    };
    let response = next.run(request).await;
    let Some(entry) = asked.entry(&log, &response) else { return response };
    let sighting = sighting(&entry, &response);
    let tenant = entry.principal.tenant.clone();
    match log.record(entry).await {
        Ok(position) => {
            log.watching.saw(&tenant, sighting);
            with_position(response, &position)
        }
        Err(failure) => {
            tracing::error!(%failure, "nothing is shown: the access log cannot be written");
            let detail = "what is shown must be recorded first, and that cannot be done now: try again";
            Problem::unavailable("access-log-unavailable", detail).into_response()
        }
    }
}

fn with_position(mut response: Response, position: &Position) -> Response {
    if let Ok(value) = HeaderValue::try_from(position.to_string()) {
        response.headers_mut().insert(LETHE_ACCESS, value);
    }
    response
}

/// What a request says of itself, kept while it is answered.
struct Asked {
    view: View,
    ids: BTreeMap<String, String>,
    purpose: Option<Purpose>,
    origin: Origin,
}

impl Asked {
    /// None: such an answer shows nobody.
    fn of(request: &Request) -> Result<Option<Self>, Problem> {
        let method = match *request.method() {
            Method::GET | Method::HEAD => "get",
            Method::POST => "post",
            _ => return Ok(None),
        };
        let Some(pattern) = request.extensions().get::<MatchedPath>() else { return Ok(None) };
        let Some(view) = view_of(method, pattern.as_str()).filter(|view| view.shows != Shows::Nobody) else {
            return Ok(None);
        };
        let ids = ids(pattern.as_str(), request.uri().path());
        let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
        let purpose = request.headers().get(LETHE_PURPOSE).map(purpose).transpose()?;
        Ok(Some(Self { view, ids, purpose, origin }))
    }

    fn id<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.ids.get(name)?.parse().ok()
    }

    /// None: nothing was shown, and nobody was kept from anything.
    fn entry(self, log: &AccessLog, response: &Response) -> Option<Entry> {
        let Caller(principal) = response.extensions().get::<Caller>()?.clone();
        let outcome = outcome(response)?;
        let reflected = reflected(response);
        let study: Option<StudyId> =
            self.id("study").or_else(|| rave_study(&self.ids)).or_else(|| match reflected.as_slice() {
                [one] => one.study.clone(),
                _ => None,
            });
        let mut named = response.extensions().get::<Names>().map(|names| names.0.clone());
        if outcome == Outcome::Shown
            && self.view.shows == Shows::WhoIsNamed
            && named.as_ref().is_none_or(|all| all.is_empty())
        {
            return None;
        }
        let addressed: Option<ParticipantId> = self.id("participant");
        let everybody = self.view.shows == Shows::Everybody
            || self.view.shows == Shows::Named && named.is_none() && addressed.is_none();
        named.get_or_insert_default().extend(addressed);
        let reflects = reflected.iter().find(|position| position.study == study);
        let seen = Seen {
            view: self.view.name.parse().ok()?,
            outcome,
            purpose: self.purpose.unwrap_or_else(|| Purpose::of(principal.actor.role)),
            participants: People(named.into_iter().flatten().collect()),
            everybody_at: (everybody && outcome == Outcome::Shown).then(|| principal.sites.clone()),
            user: self.id("user"),
            export: self.id("export"),
            scopes: if outcome == Outcome::Shown { self.view.scopes(principal.actor.role) } else { Vec::new() },
            reflects: reflects.map(|at| Reflects { incarnation: at.incarnation, sequence: at.sequence }),
            session: principal.session,
            ticket: ticket(&principal),
            trace: (log.trace)().and_then(|text| text.split('-').nth(1)?.parse().ok()),
            study,
        };
        Some(Entry { principal, seen, origin: self.origin })
    }
}

/// The ticket of support under which somebody looks.
fn ticket(_: &Principal) -> Option<uuid::Uuid> {
    None
}

fn purpose(value: &HeaderValue) -> Result<Purpose, Problem> {
    let known = Purpose::ALL.into_iter().find(|purpose| purpose.as_str().as_bytes() == value.as_bytes());
    known.ok_or_else(|| {
        let all = Purpose::ALL.map(Purpose::as_str).join(", ");
        Problem::bad_request("unknown-purpose", format!("Lethe-Purpose takes one of: {all}"))
    })
}

/// What stands in an address where its pattern has a name.
fn ids(pattern: &str, path: &str) -> BTreeMap<String, String> {
    let pairs = pattern.split('/').zip(path.split('/'));
    let named = pairs.filter_map(|(name, id)| Some((name.strip_prefix('{')?.strip_suffix('}')?, id)));
    named.map(|(name, id)| (name.to_owned(), id.to_owned())).collect()
}

/// Rave names a study with its environment: `cardio(Prod)`.
fn rave_study(ids: &BTreeMap<String, String>) -> Option<StudyId> {
    ids.get("study")?.split(['(', '%']).next()?.parse().ok()
}

fn reflected(response: &Response) -> Vec<Position> {
    let text = response.headers().get(LETHE_POSITION).and_then(|value| value.to_str().ok());
    text.and_then(|text| parse_positions("Lethe-Position", text).ok()).unwrap_or_default()
}

fn outcome(response: &Response) -> Option<Outcome> {
    match response.status() {
        status if status.is_success() => Some(Outcome::Shown),
        StatusCode::FORBIDDEN => Some(Outcome::Forbidden),
        StatusCode::NOT_FOUND if response.extensions().get::<Problem>().is_some_and(Problem::is_beyond) => {
            Some(Outcome::BeyondSite)
        }
        StatusCode::NOT_FOUND => Some(Outcome::NotFound),
        StatusCode::GONE => Some(Outcome::Erased),
        _ => None,
    }
}

fn sighting(entry: &Entry, response: &Response) -> Sighting {
    let shows_values = entry.seen.scopes.iter().any(|scope| {
        let name = scope.as_str();
        name.starts_with("health.") || name.starts_with("identity.")
    });
    let code = response.extensions().get::<Problem>().map(Problem::code);
    Sighting::Read(Look {
        user: entry.principal.actor.id,
        person: entry.principal.actor.kind == ActorKind::User,
        view: entry.seen.view.clone(),
        outcome: entry.seen.outcome,
        unheard_of: code.is_none_or(|code| code.starts_with("no-such-")),
        values_of: if shows_values { entry.seen.participants.0.iter().copied().collect() } else { [].into() },
    })
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::routing::{get, post};
    use domain::ids::{Environment, TenantId};
    use domain::port::{Clock, Dice, NobodyWatches, Tenant, Tenants};
    use projection_svc::testing::{Story, World, tenant};
    use tower::ServiceExt as _;

    use super::*;

    struct One(Arc<Tenant>);

    impl Tenants for One {
        fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
            (*id == self.0.id).then(|| Arc::clone(&self.0))
        }
        fn all(&self) -> Vec<Arc<Tenant>> {
            vec![Arc::clone(&self.0)]
        }
    }

    struct Still;

    impl Clock for Still {
        fn now(&self) -> time::OffsetDateTime {
            time::macros::datetime!(2026-11-23 12:00 UTC)
        }
    }

    impl Dice for Still {
        fn uuid(&self) -> uuid::Uuid {
            uuid::Uuid::from_u128(7)
        }
        fn bytes(&self) -> [u8; 32] {
            [7; 32]
        }
    }

    /// Answers as whoever authenticates would let it.
    async fn ada() -> Response {
        let mut response = "Ada Lovelace".into_response();
        response.extensions_mut().insert(Caller(Principal::system(tenant(), Environment::Test)));
        response
    }

    #[tokio::test]
    async fn what_cannot_be_recorded_is_not_shown() {
        // A journal that takes nothing.
        let world = World::folded(&Story::new()).await;
        let tenants = Arc::new(One(Arc::new(world.tenant.clone())));
        let log = AccessLog::new(tenants, Arc::new(Still), Arc::new(Still), Arc::new(NobodyWatches), || None);
        let routes = Router::new()
            .route("/v1/studies", get(ada))
            .route("/v1/studies/{study}/participants", get(ada))
            .route("/v1/studies/{study}", post(ada));
        let routes = logged(routes, log);
        for (method, path, status) in [
            ("GET", "/v1/studies", 200),
            ("GET", "/v1/studies/cardio/participants", 503),
            ("HEAD", "/v1/studies/cardio/participants", 503),
            ("POST", "/v1/studies/cardio", 200),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
            let response = routes.clone().oneshot(request).await.expect("an answer");
            assert_eq!(response.status().as_u16(), status, "{method} {path}");
            let body = to_bytes(response.into_body(), 1 << 16).await.expect("a body");
            let shows = body.windows(3).any(|text| text == b"Ada");
            assert_eq!(shows, status == 200, "{method} {path}");
        }
    }

    #[test]
    fn the_ids_in_an_address_are_found_by_its_pattern() {
        let found =
            ids("/v1/studies/{study}/participants/{participant}/audit", "/v1/studies/cardio/participants/7/audit");
        assert_eq!(found["study"], "cardio");
        assert_eq!(found["participant"], "7");
        let rave =
            ids("/RaveWebServices/studies/{study}/subjects", "/RaveWebServices/studies/cardio%28Test%29/subjects");
        assert_eq!(rave_study(&rave).map(String::from).as_deref(), Some("cardio"));
    }

    #[test]
    fn a_purpose_is_one_of_the_list() {
        assert_eq!(purpose(&HeaderValue::from_static("audit")).ok(), Some(Purpose::Audit));
        let refused = purpose(&HeaderValue::from_static("curiosity")).expect_err("not on the list");
        assert_eq!(refused.code(), "unknown-purpose");
    }
}
