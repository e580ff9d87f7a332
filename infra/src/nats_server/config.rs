//! The server's configuration file: who may do what, where it listens, where it stores.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::accounts::{NatsLogin, TenantAccount, TenantLogins};
use super::error::NatsServerError;

/// Caps, not reservations. nats-server's own default for files is a share of what is free at start, which shrinks as the store grows.
const MAX_FILE_BYTES: u64 = 1 << 40;
const MAX_MEMORY_BYTES: u64 = 256 << 20;
const LOG_BYTES: u64 = 8 << 20;
const LOG_FILES: u32 = 3;

/// The files of one supervised server. All paths are absolute and can be written into the configuration.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) config: PathBuf,
    /// nats-server writes the port that it got into a file here.
    pub(super) ports: PathBuf,
    pub(super) store: PathBuf,
    /// Both lie in the store, because they say who uses the store.
    pub(super) pid: PathBuf,
    pub(super) lock: PathBuf,
    pub(super) log: PathBuf,
    /// What it says before its log is open.
    pub(super) stderr: PathBuf,
}

impl Layout {
    /// Creates the folders, for this user only.
    pub(super) fn prepare(store: &Path, config: &Path, log: &Path) -> Result<Self, NatsServerError> {
        let [store, config, log] = [store, config, log].map(private_folder);
        let (store, config, log) = (store?, config?, log?);
        Ok(Self {
            ports: private_folder(&config.join("ports"))?,
            config: config.join("nats-server.conf"),
            pid: store.join("nats-server.pid"),
            lock: store.join("nats-server.lock"),
            store,
            stderr: log.join("nats-server.stderr"),
            log: log.join("nats-server.log"),
        })
    }
}

fn private_folder(folder: &Path) -> Result<PathBuf, NatsServerError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(NatsServerError::io("create", folder))?;
    let absolute = fs::canonicalize(folder).map_err(NatsServerError::io("open", folder))?;
    match absolute.to_str() {
        Some(text) if !text.contains(char::is_control) => Ok(absolute),
        _ => Err(NatsServerError::BadPath { path: absolute }),
    }
}

/// What changes while the server runs.
pub(super) struct Settings {
    /// None until the first start has found a free one. Then it stays, so that clients reconnect after a restart.
    pub(super) port: Option<u16>,
    pub(super) tenants: BTreeMap<TenantAccount, TenantLogins>,
    /// The supervisor's own: health and reload, nothing else.
    pub(super) system: NatsLogin,
    /// Given to nobody. A server without any user outside the system account lets everybody in without a password.
    nobody: NatsLogin,
}

impl Settings {
    pub(super) fn new(tenants: &[TenantAccount]) -> Result<Self, NatsServerError> {
        let tenants = tenants.iter().map(|tenant| Ok((tenant.clone(), TenantLogins::random(tenant)?)));
        Ok(Self {
            port: None,
            tenants: tenants.collect::<Result<_, NatsServerError>>()?,
            system: NatsLogin::random("_system")?,
            nobody: NatsLogin::random("_nobody")?,
        })
    }

    /// Replaces the configuration file in one step, readable by this user only.
    pub(super) fn write(&self, layout: &Layout) -> Result<(), NatsServerError> {
        let new = layout.config.with_extension("new");
        let _ = fs::remove_file(&new);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(NatsServerError::io("create", &new))?;
        let text = zeroize::Zeroizing::new(format!("{:#}\n", self.render(layout)));
        file.write_all(text.as_bytes()).map_err(NatsServerError::io("write", &new))?;
        fs::rename(&new, &layout.config).map_err(NatsServerError::io("replace", &layout.config))
    }

    /// nats-server reads JSON, which leaves no doubt about quoting.
    fn render(&self, layout: &Layout) -> Value {
        let port = self.port.map_or("-1".to_owned(), |port| port.to_string());
        json!({
            "server_name": "lethe-embedded",
            "listen": format!("127.0.0.1:{port}"),
            "ports_file_dir": layout.ports,
            "pid_file": layout.pid,
            "log_file": layout.log,
            "logfile_size_limit": LOG_BYTES,
            "logfile_max_num": LOG_FILES,
            "jetstream": {
                "store_dir": layout.store,
                // An acknowledged commit is on disk.
                "sync_interval": "always",
                "max_mem": MAX_MEMORY_BYTES,
                "max_file": MAX_FILE_BYTES,
            },
            "system_account": "$SYS",
            "accounts": self.accounts(),
        })
    }

    fn accounts(&self) -> Value {
        let reload = ["$SYS.REQ.SERVER.*.HEALTHZ", "$SYS.REQ.SERVER.*.RELOAD"].map(str::to_owned);
        let mut accounts = json!({
            "$SYS": { "users": [user(&self.system, &reload, &[])] },
            // Upper case, so that no tenant has this name.
            "NOBODY": { "users": [user(&self.nobody, &[], &[])] },
        });
        for (account, logins) in &self.tenants {
            render_tenant(&mut accounts, account, logins);
        }
        accounts
    }
}

/// A tenant's account, and that of those who ask at its second door.
pub(super) fn render_tenant(accounts: &mut Value, account: &TenantAccount, logins: &TenantLogins) {
    let tenant = account.tenant();
    let mut whole = tenant_account(account, logins);
    if let Some(door) = &logins.door {
        // Upper case, so that no tenant has this name.
        let asking = format!("DOOR_{tenant}");
        let services = [requests_of(tenant), "$SRV.>".to_owned()];
        let exported = services
            .iter()
            .map(|service| json!({ "service": service, "response_type": "stream", "accounts": [asking] }));
        let imported = services.iter().map(|service| json!({ "service": { "account": tenant, "subject": service } }));
        whole["exports"] = exported.collect();
        if let Some(users) = whole["users"].as_array_mut() {
            users.push(answering(&door.answers, &services));
        }
        accounts[&asking] =
            json!({ "imports": imported.collect::<Value>(), "users": [user(&door.asks, &services, &[])] });
    }
    accounts[tenant] = whole;
}

/// The subjects of the second door: `cmd.<tenant>.<study>` and what follows.
fn requests_of(tenant: &str) -> String {
    format!("cmd.{tenant}.>")
}

/// Who answers publishes answers and nothing else, each once and to where the request said. That this is no subject of a journal
/// stream follows from the accounts: a request from another account comes with a reply subject that the server made.
fn answering(login: &NatsLogin, services: &[String]) -> Value {
    let mut answering = user(login, &[], services);
    answering["permissions"]["allow_responses"] = json!({ "max": 1, "expires": "5m" });
    answering
}

/// One tenant's account, with its two users and what they may do.
fn tenant_account(account: &TenantAccount, logins: &TenantLogins) -> Value {
    let serve = may_publish(account.tenant());
    let mut provision = serve.clone();
    // To ask for another leader changes nothing that is stored; on one server there is nobody to ask for.
    provision.extend(["$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.LEADER.STEPDOWN.*"].map(str::to_owned));
    json!({
        "jetstream": "enabled",
        "users": [
            user(&logins.service, &serve, &may_hear(account.tenant())),
            user(&logins.provisioner, &provision, &[]),
        ],
    })
}

/// What the services need to append, to read and to follow a journal. Whatever is not here is denied: creating, changing, purging,
/// deleting, copying and restoring journal streams, and deleting messages.
fn may_publish(tenant: &str) -> Vec<String> {
    let mut subjects = vec![format!("evt.{tenant}.>"), format!("keys.{tenant}.>"), announcements(tenant)];
    subjects.extend(
        [
            "$JS.API.INFO",
            "$JS.API.STREAM.INFO.*",
            "$JS.API.STREAM.NAMES",
            "$JS.API.STREAM.MSG.GET.*",
            "$JS.API.DIRECT.GET.>",
            "$JS.API.CONSUMER.>",
            "$JS.ACK.>",
            "$JS.FC.>",
        ]
        .map(str::to_owned),
    );
    subjects
}

/// What the services tell each other without storing it.
fn announcements(tenant: &str) -> String {
    format!("announce.{tenant}.>")
}

/// What the services hear besides answers to their own requests.
fn may_hear(tenant: &str) -> Vec<String> {
    vec![announcements(tenant)]
}

fn user(login: &NatsLogin, publish: &[String], hear: &[String]) -> Value {
    // An empty list would mean that everything is allowed.
    let publish = if publish.is_empty() { json!({ "deny": ">" }) } else { json!({ "allow": publish }) };
    let mut subscribe = vec![format!("{}.>", login.inbox_prefix())];
    subscribe.extend_from_slice(hear);
    json!({
        "user": login.user(),
        "password": login.password(),
        "permissions": { "publish": publish, "subscribe": { "allow": subscribe } },
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::nats_server::tests::Folder;

    fn layout(folder: &Folder) -> Layout {
        let path = folder.path();
        Layout::prepare(&path.join("store"), &path.join("config"), &path.join("log")).unwrap()
    }

    #[test]
    fn the_file_is_this_users_alone_even_where_another_was() {
        let folder = Folder::new();
        let layout = layout(&folder);
        fs::write(&layout.config, "old").unwrap();
        fs::set_permissions(&layout.config, fs::Permissions::from_mode(0o644)).unwrap();
        Settings::new(&[]).unwrap().write(&layout).unwrap();

        assert_eq!(fs::metadata(&layout.config).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(layout.config.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(fs::read_to_string(&layout.config).unwrap().contains("127.0.0.1:-1"));
    }

    #[test]
    fn it_listens_on_loopback_only_and_syncs_always() {
        let folder = Folder::new();
        let settings = Settings { port: Some(4333), ..Settings::new(&[]).unwrap() };
        let rendered = settings.render(&layout(&folder));
        assert_eq!(rendered["listen"], "127.0.0.1:4333");
        assert_eq!(rendered["jetstream"]["sync_interval"], "always");
        for listener in
            ["http", "http_port", "https", "monitor_port", "cluster", "leafnodes", "gateway", "websocket", "mqtt"]
        {
            assert!(rendered.get(listener).is_none(), "{listener}");
        }
    }

    #[test]
    fn every_account_has_users_and_every_user_has_limits() {
        let tenants = ["acme", "beta"].map(|tenant| TenantAccount::new(tenant).unwrap());
        let accounts = Settings::new(&tenants).unwrap().accounts();
        let accounts = accounts.as_object().unwrap();
        assert_eq!(accounts.keys().collect::<Vec<_>>(), ["$SYS", "DOOR_acme", "DOOR_beta", "NOBODY", "acme", "beta"]);
        for (name, account) in accounts {
            for user in account["users"].as_array().unwrap() {
                let publish = &user["permissions"]["publish"];
                assert!(publish["deny"] == ">" || !publish["allow"].as_array().unwrap().is_empty(), "{name}");
                assert_eq!(
                    user["permissions"]["subscribe"]["allow"][0],
                    format!("_INBOX_{}.>", user["user"].as_str().unwrap())
                );
            }
        }
    }

    #[test]
    fn a_path_with_a_line_break_is_refused() {
        let folder = Folder::new();
        let error = private_folder(&folder.path().join("a\nb")).unwrap_err();
        assert!(matches!(error, NatsServerError::BadPath { .. }), "{error}");
    }
}
