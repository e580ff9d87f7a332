//! People who come in by the door: with a link, a password and an authenticator.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::port::Clock;
use infra::chance::SystemClock;
use infra::secrets::shown_by_authenticator;
use lethe::cli::{ApiError, Client};
use lethe::platform::Platform;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::home::{Folder, Home, acme};

/// The password of everybody here: a value to look for.
pub const PASSWORD: &str = "Kanarienvogel im Käfig 7";

/// A clock that stands until it is turned.
#[derive(Clone)]
pub struct Turned(Arc<Mutex<OffsetDateTime>>);

impl Turned {
    /// Stands at the time it is.
    pub fn now() -> Self {
        Self(Arc::new(Mutex::new(SystemClock.now())))
    }

    /// Turns it on.
    pub fn on(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for Turned {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A platform with the tenant `acme`, by a clock of its own.
pub async fn home_by(clock: &Turned) -> Home {
    let folder = Folder::new();
    let platform = Platform::start(folder.options().clock(Arc::new(clock.clone()))).await.expect("the platform starts");
    platform.create_tenant(&acme()).await.expect("a tenant can be created");
    Home { folder, platform }
}

/// Somebody with an account.
pub struct Person {
    /// The platform, without a credential.
    pub nobody: Client,
    /// Who.
    pub user: String,
    /// By which name they sign in.
    pub login: String,
    /// The secret in their authenticator.
    pub one_time: String,
    /// What helps when that is lost.
    pub recovery: Vec<String>,
    /// The session that began when the account was opened.
    pub session: Client,
    clock: Turned,
}

impl Person {
    /// Opens an account with a link, as its address or its secret.
    pub async fn join(
        home: &Home,
        clock: &Turned,
        link: &str,
        login: &str,
        name: Option<&str>,
    ) -> Result<Self, ApiError> {
        let nobody = Client::new(home.platform.url(), "");
        let link = link.rsplit('#').next().unwrap_or(link);
        let looked = nobody.post("/v1/links/look", &json!({ "link": link })).await?.body;
        let one_time = looked["one_time_secret"].as_str().expect("a secret").to_owned();
        let code = shown_by_authenticator(&one_time, clock.now()).expect("a code");
        let mut body = json!({"link": link, "login": login, "password": PASSWORD, "code": code});
        if let Some(name) = name {
            body["name"] = name.into();
        }
        let opened = nobody.post("/v1/links/use", &body).await?.body;
        let codes = opened["recovery_codes"].as_array().expect("codes").iter();
        Ok(Self {
            user: opened["user"].as_str().expect("an id").to_owned(),
            login: login.to_owned(),
            one_time,
            recovery: codes.filter_map(Value::as_str).map(str::to_owned).collect(),
            session: Client::new(home.platform.url(), opened["token"].as_str().expect("a session")),
            nobody,
            clock: clock.clone(),
        })
    }

    /// The first who administers.
    pub async fn first(home: &Home, clock: &Turned) -> Self {
        let link = home.platform.first_link(&acme()).await.expect("asked").expect("nobody administers yet");
        Self::join(home, clock, &link.address, "ada", Some("Ada Admin")).await.expect("the first link opens")
    }

    /// Invites somebody in TEST, who comes.
    pub async fn invite(&self, home: &Home, role: &str, login: &str, name: &str) -> Self {
        let right = json!({"role": role, "environment": "TEST", "organisation": "own", "sites": "all"});
        let made = self.session.post("/v1/users", &json!({"name": name, "right": right})).await.expect("invited").body;
        let link = made["link"].as_str().expect("a link").to_owned();
        Self::join(home, &self.clock, &link, login, None).await.expect("the invitation opens")
    }

    /// What the authenticator shows now.
    pub fn code(&self) -> String {
        shown_by_authenticator(&self.one_time, self.clock.now()).expect("a code")
    }

    /// The next code: the clock goes on until there is one.
    pub fn next_code(&self) -> String {
        self.clock.on(Duration::from_secs(30));
        self.code()
    }

    /// Tries to sign in.
    pub async fn sign_in(&self, password: &str, code: &str) -> Result<Client, ApiError> {
        let body = json!({"tenant": "acme", "login": self.login, "password": password, "code": code});
        let begun = self.nobody.post("/v1/sign-in", &body).await?.body;
        Ok(Client::new(self.nobody.base(), begun["token"].as_str().expect("a session")))
    }
}
