//! A platform of one's own: its data directory, its nats-server, its tenant.

use std::path::{Path, PathBuf};

use domain::ids::{Environment, StudyId, TenantId, UserId};
use domain::permit::{Role, Sites};
use infra::keys::kms::KmsConfig;
use infra::nats_server::NatsElsewhere;
use infra::off_site::Place;
use lethe::cli::Client;
use lethe::demo::study;
use lethe::platform::{Elsewhere, NewToken, Options, Platform, random_id};
use serde_json::json;

/// A folder that goes when the test does.
pub struct Folder {
    path: PathBuf,
    /// The NATS that the platform on it uses; none: one of its own.
    nats: Option<NatsElsewhere>,
}

impl Folder {
    /// A new one.
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("lethe-it-{}", random_id()));
        std::fs::create_dir_all(&path).expect("a temporary folder can be made");
        Self { path, nats: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The data directory in it.
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The folder of root keys in it, beside the data.
    pub fn kms(&self) -> PathBuf {
        self.path.join("kms")
    }

    /// The off-site target in it, which is used where it is there.
    pub fn off_site(&self) -> PathBuf {
        self.path.join("off-site")
    }

    /// Makes the off-site target.
    #[must_use]
    pub fn with_off_site(self) -> Self {
        std::fs::create_dir_all(self.off_site()).expect("a folder can be made");
        self
    }

    /// Uses a NATS that is there.
    #[must_use]
    pub fn on(mut self, nats: NatsElsewhere) -> Self {
        self.nats = Some(nats);
        self
    }

    /// A platform on it.
    pub fn options(&self) -> Options {
        let off_site = self.off_site().is_dir().then(|| Place::Folder(self.off_site()));
        let elsewhere = Elsewhere { kms: KmsConfig::File { dir: self.kms() }, off_site, nats: self.nats.clone() };
        Options::new(&self.data(), &self.kms()).elsewhere(elsewhere).install_nats_server()
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A running platform with the tenant `acme`.
pub struct Home {
    /// Its folder.
    pub folder: Folder,
    /// The platform.
    pub platform: Platform,
}

/// The tenant of most tests.
pub fn acme() -> TenantId {
    "acme".parse().expect("valid")
}

/// The study of most tests.
pub fn cardio() -> StudyId {
    study::STUDY.parse().expect("valid")
}

impl Home {
    /// Starts one in a new folder, with the tenant `acme`.
    pub async fn new() -> Self {
        Self::new_in(Folder::new()).await
    }

    /// The same with an off-site target.
    pub async fn with_off_site() -> Self {
        Self::new_in(Folder::new().with_off_site()).await
    }

    /// Starts one in a folder, with the tenant `acme`.
    pub async fn new_in(folder: Folder) -> Self {
        let home = Self::start(folder).await;
        home.platform.create_tenant(&acme()).await.expect("a tenant can be created");
        home
    }

    /// Starts one in a folder that may hold a platform already; with the off-site target, if one is there.
    pub async fn start(folder: Folder) -> Self {
        let platform = Platform::start(folder.options()).await.expect("the platform starts");
        Self { folder, platform }
    }

    /// Stops it and starts it again on the same folder.
    pub async fn restart(self) -> Self {
        let folder = self.stop().await;
        Self::start(folder).await
    }

    /// Stops it, keeping the folder.
    pub async fn stop(self) -> Folder {
        self.platform.stop().await;
        self.folder
    }

    /// A client in a role, of a user of its own, in TEST, for all sites.
    pub async fn client(&self, role: Role) -> Client {
        self.client_with(role, |_| {}).await
    }

    /// The same with changes to the token.
    pub async fn client_with(&self, role: Role, change: impl FnOnce(&mut NewToken)) -> Client {
        let mut new = NewToken::new(&acme(), UserId(random_id()), role, "somebody in a test", false);
        change(&mut new);
        let token = self.platform.create_token(new).await.expect("a token can be made");
        Client::new(self.platform.url(), token)
    }

    /// A client of another tenant, which is created.
    pub async fn stranger(&self, role: Role) -> Client {
        let tenant: TenantId = "umbra".parse().expect("valid");
        self.platform.create_tenant(&tenant).await.expect("a second tenant can be created");
        self.client_with(role, |new| new.tenant = tenant).await
    }

    /// Creates the study `cardio-1` with the demo's design and four sites, live.
    pub async fn live_study(&self) {
        let name = "Cardio".parse().expect("valid");
        let created = self.platform.create_study(&acme(), &cardio(), name, Environment::Test).await;
        created.expect("a study can be created");
        let designer = self.client(Role::StudyDesigner).await;
        let path = format!("/v1/studies/{}", study::STUDY);
        let published = designer.post(&format!("{path}/designs"), &study::design()).await.expect("a good design");
        for (site, name) in study::SITES {
            designer
                .post(&path, &json!({"type": "open-site", "site": site, "name": name}))
                .await
                .expect("a site opens");
        }
        let live = json!({"type": "go-live", "design": published.body["design"]});
        designer.post(&path, &live).await.expect("the study goes live");
    }

    /// A client for one site only.
    pub async fn at_site(&self, role: Role, site: &str) -> Client {
        let sites = Sites::Only([site.parse().expect("valid")].into());
        self.client_with(role, |new| new.sites = sites).await
    }
}

/// Copies a folder, as a backup would.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
