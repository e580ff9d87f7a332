//! The folder of a benchmark, the real binary that serves it, and the study with those who work in it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use domain::ids::{Environment, UserId};
use domain::permit::{Role, Sites};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Plan;
use crate::cli::{ApiError, CliError, Client};
use crate::platform::random_id;
use crate::soak::Server;

/// The tenant.
pub(super) const TENANT: &str = "bench";

/// The study that is filled.
pub(super) const STUDY: &str = "bench-1";

/// One with the same design and nobody in it.
pub(super) const EMPTY: &str = "bench-0";

/// How many sites there are.
pub(super) const SITES: u32 = 17;

/// How many values a form has.
pub(super) const ITEMS: u32 = 20;

/// A folder for data, root keys and the log.
#[derive(Debug, Clone)]
pub struct Ground {
    binary: PathBuf,
    folder: PathBuf,
}

/// What is remembered between two runs on one folder. The participants are invented: the tokens reach nobody's data.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    participants: u32,
    values: u32,
    /// So many participants are there in full.
    pub(super) filled: u32,
    /// Queries were answered.
    pub(super) answered: bool,
    /// So many forms were saved one by one since.
    #[serde(default)]
    pub(super) saved: u32,
    /// The last position that was written.
    pub(super) position: String,
    integrator: String,
    investigator: String,
    manager: String,
    of_one_site: String,
}

/// A platform that serves, and who asks it.
pub(super) struct Scene {
    ground: Ground,
    server: Server,
    pub(super) memory: Memory,
    /// Enters data.
    pub(super) integrator: Client,
    /// Answers queries, at all sites.
    pub(super) investigator: Client,
    /// Reads all sites.
    pub(super) manager: Client,
    /// Works at one site.
    pub(super) of_one_site: Client,
}

impl Ground {
    /// All below `folder`; `binary` serves.
    pub fn new(binary: &Path, folder: &Path) -> Self {
        Self { binary: binary.to_owned(), folder: folder.to_owned() }
    }

    /// Another one below this.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        Self { binary: self.binary.clone(), folder: self.folder.join(name) }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    fn memory_file(&self) -> PathBuf {
        self.folder.join("bench.json")
    }

    /// Starts the platform. What an earlier run left in the folder is gone on with.
    pub(super) async fn open(&self, plan: &Plan) -> Result<Scene, CliError> {
        let fault = |error: std::io::Error| CliError::failed(self.folder.display(), error);
        std::fs::create_dir_all(&self.folder).map_err(fault)?;
        let memory: Option<Memory> = match std::fs::read(self.memory_file()) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes).map_err(|error| CliError::failed("bench.json", error))?),
            Err(_) if self.folder.join("data").exists() => {
                return Err(CliError::conflict(format!(
                    "{} holds data, and no bench.json that says of which study: give another folder",
                    self.folder.display()
                )));
            }
            Err(_) => None,
        };
        if let Some(memory) = &memory
            && (memory.participants, memory.values) != (plan.participants, plan.values)
        {
            return Err(CliError::conflict(format!(
                "{} holds {} participants of {} values: ask for as many, or give another folder",
                self.folder.display(),
                memory.participants,
                memory.values
            )));
        }
        let installed = tokio::task::spawn_blocking(|| infra::nats_server::locate_or_install(|step| note!("{step}")));
        installed.await.map_err(|error| CliError::failed("the nats-server", error))?.map_err(CliError::unavailable)?;
        let server = self.serve().await?;
        let memory = match memory {
            Some(memory) => memory,
            None => assemble(&server, plan).await?,
        };
        let client = |token: &String| Client::new(&server.url, token);
        let scene = Scene {
            integrator: client(&memory.integrator),
            investigator: client(&memory.investigator),
            manager: client(&memory.manager),
            of_one_site: client(&memory.of_one_site),
            ground: self.clone(),
            server,
            memory,
        };
        scene.remember()?;
        Ok(scene)
    }

    async fn serve(&self) -> Result<Server, CliError> {
        let log = self.folder.join("serve.log");
        let command = self.command(&log).map_err(|error| CliError::failed("the log of serve", error))?;
        let data_dir = self.folder.join("data");
        let started = tokio::task::spawn_blocking(move || Server::start(command, &data_dir)).await;
        started
            .map_err(|error| CliError::failed("serve", error))?
            .map_err(|error| CliError::failed(format!("see {}", log.display()), error))
    }

    fn command(&self, log: &Path) -> std::io::Result<Command> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(self.folder.join("data")).arg("--kms-dir").arg(self.folder.join("kms"));
        command.env_remove("LETHE_OFF_SITE").env_remove("LETHE_KMS").env_remove("LETHE_NATS");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }
}

impl Scene {
    /// Writes down how far the study is.
    pub(super) fn remember(&self) -> Result<(), CliError> {
        let path = self.ground.memory_file();
        let fault = |error: std::io::Error| CliError::failed(path.display(), error);
        let aside = path.with_extension("new");
        let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&aside).map_err(fault)?;
        serde_json::to_writer(file, &self.memory).map_err(|error| CliError::failed("bench.json", error))?;
        std::fs::rename(&aside, &path).map_err(fault)
    }

    pub(super) fn ground(&self) -> &Ground {
        &self.ground
    }

    pub(super) fn url(&self) -> &str {
        &self.server.url
    }

    /// A client of the operator's routes.
    pub(super) fn operator(&self) -> Client {
        Client::new(&self.server.url, &self.server.operator_token)
    }

    /// A client of somebody who administers.
    pub(super) async fn controller(&self) -> Result<Client, CliError> {
        Ok(Client::new(&self.server.url, token(&self.operator(), Role::Controller, &Sites::All).await?))
    }

    /// How long the process that serves has been on a processor; zero where the system does not say.
    pub(super) fn processor(&self) -> Duration {
        super::memory::processor(self.pid()).unwrap_or_default()
    }

    /// The process that serves.
    pub(super) fn pid(&self) -> u32 {
        self.server.pid()
    }

    pub(super) fn close(self) {
        self.server.stop();
    }
}

/// Creates all by the operator's routes.
async fn assemble(server: &Server, plan: &Plan) -> Result<Memory, CliError> {
    let operator = Client::new(&server.url, &server.operator_token);
    operator.post("/v1/admin/tenants", &json!({"tenant": TENANT})).await?;
    let designer = Client::new(&server.url, token(&operator, Role::StudyDesigner, &Sites::All).await?);
    for study in [STUDY, EMPTY] {
        let new = json!({"tenant": TENANT, "study": study, "name": "A benchmark", "environment": Environment::Test});
        operator.post("/v1/admin/studies", &new).await?;
        let path = format!("/v1/studies/{study}");
        let published = designer.post(&format!("{path}/designs"), &design(plan.values / ITEMS)).await?;
        for n in 0..SITES {
            let open = json!({"type": "open-site", "site": site(n), "name": format!("Site {n}")});
            designer.post(&path, &open).await?;
        }
        designer.post(&path, &json!({"type": "go-live", "design": published.body["design"]})).await?;
    }
    let one = Sites::Only([site(0).parse().expect("a valid site id")].into());
    Ok(Memory {
        participants: plan.participants,
        values: plan.values,
        filled: 0,
        answered: false,
        saved: 0,
        position: String::new(),
        integrator: token(&operator, Role::Integrator, &Sites::All).await?,
        investigator: token(&operator, Role::Investigator, &Sites::All).await?,
        manager: token(&operator, Role::DataManager, &Sites::All).await?,
        of_one_site: token(&operator, Role::Investigator, &one).await?,
    })
}

async fn token(operator: &Client, role: Role, sites: &Sites) -> Result<String, ApiError> {
    let body = json!({
        "tenant": TENANT, "role": role, "name": format!("bench {role}"), "user": UserId(random_id()),
        "service_account": role == Role::Integrator, "environment": Environment::Test, "organisation": "own",
        "sites": sites, "days": 90,
    });
    let made = operator.post("/v1/admin/tokens", &body).await?.body;
    Ok(made.get("token").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// A site's id.
pub(super) fn site(n: u32) -> String {
    format!("s{n:02}")
}

/// A visit's OID.
pub(super) fn visit(n: u32) -> String {
    format!("V{n:02}")
}

/// An item's OID.
pub(super) fn item(n: u32) -> String {
    format!("I{n:02}")
}

/// Visits with a form of twenty numbers each; the first asks if it is high.
fn design(visits: u32) -> Value {
    let refs = |oids: Vec<String>| oids.into_iter().map(|oid| json!({"oid": oid})).collect::<Value>();
    let visits: Vec<Value> = (0..visits)
        .map(|n| json!({"oid": visit(n), "name": format!("Visit {n}"), "forms": refs(vec!["F".to_owned()])}))
        .collect();
    let items: Vec<Value> = (0..ITEMS)
        .map(|n| {
            let high = json!([{"comparator": "LE", "hard": false, "values": ["200"]}]);
            let checks = if n == 0 { high } else { json!([]) };
            json!({"oid": item(n), "name": format!("Item {n}"), "data_type": "decimal", "unit": "U", "range_checks": checks})
        })
        .collect();
    json!({
        "name": "A benchmark", "version": "1.0", "visits": visits,
        "forms": [{"oid": "F", "name": "Form", "item_groups": refs(vec!["G".to_owned()])}],
        "item_groups": [{"oid": "G", "name": "Group", "items": refs((0..ITEMS).map(item).collect())}],
        "items": items, "code_lists": [], "units": {"U": {"en": "mmHg"}},
    })
}
