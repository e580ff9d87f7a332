//! A NATS that others run, a cluster most often: where it is, who we are there, and the accounts it must have.
//!
//! Its servers are not ours to configure. What they need of us, accounts and users with the least rights, is written into
//! a file that their configuration includes; the passwords stand in a second file, which only Lethe reads.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use super::accounts::{DoorLogins, NatsLogin, TenantAccount, TenantLogins, random_hex};
use super::config::render_tenant;
use super::error::NatsServerError;

/// What the servers include.
const ACCOUNTS: &str = "accounts.conf";
/// What Lethe reads.
const CREDENTIALS: &str = "credentials.json";

/// What is wrong with a NATS elsewhere, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ElsewhereError {
    /// An address that cannot be used.
    #[error("{url:?} is no address of a NATS server that can be used: {reason}")]
    Address {
        /// Which.
        url: String,
        /// Why.
        reason: String,
    },
    /// So many replicas cannot be.
    #[error("{replicas} replicas cannot be: 1, 3 or 5")]
    Replicas {
        /// How many were asked for.
        replicas: usize,
    },
    /// The credentials cannot be read.
    #[error("the NATS credentials {}: {reason} (`lethe nats accounts` writes them)", .path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The tenant has no account.
    #[error(
        "{} has no logins for tenant {tenant}: write them with `lethe nats accounts --tenant {tenant}`, give the servers the \
         new {ACCOUNTS} and have them reload it, then try again",
        .path.display()
    )]
    NoAccount {
        /// Which.
        tenant: String,
        /// The file.
        path: PathBuf,
    },
    /// A file could not be written, or a tenant's name is none.
    #[error(transparent)]
    Files(#[from] NatsServerError),
}

/// Where a NATS is that others run, and where our logins stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsElsewhere {
    urls: Vec<String>,
    credentials: PathBuf,
    ca: Option<PathBuf>,
    replicas: usize,
}

impl NatsElsewhere {
    /// At these addresses (`tls://host:port`; `nats://` on loopback only), with the logins in this file. Asks nobody yet.
    ///
    /// # Errors
    /// When an address would send passwords in the clear, or there cannot be so many replicas.
    pub fn new(
        urls: &[String],
        credentials: &Path,
        ca: Option<&Path>,
        replicas: usize,
    ) -> Result<Self, ElsewhereError> {
        if urls.is_empty() {
            return Err(ElsewhereError::Address { url: String::new(), reason: "there is none".to_owned() });
        }
        for url in urls {
            check_address(url).map_err(|reason| ElsewhereError::Address { url: url.clone(), reason })?;
        }
        if !matches!(replicas, 1 | 3 | 5) {
            return Err(ElsewhereError::Replicas { replicas });
        }
        let (credentials, ca) = (credentials.to_path_buf(), ca.map(Path::to_path_buf));
        Ok(Self { urls: urls.to_vec(), credentials, ca, replicas })
    }

    /// The addresses, as `connect` takes them.
    pub fn url(&self) -> String {
        self.urls.join(",")
    }

    /// How many replicas a new journal stream gets.
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// A tenant's logins, read anew: the file may have got a tenant meanwhile.
    ///
    /// # Errors
    /// When the file cannot be read or has none for this tenant.
    pub fn credentials(&self, tenant: &str) -> Result<TenantLogins, ElsewhereError> {
        let read = Credentials::read(&self.credentials)?;
        let logins = read.tenants.get(tenant);
        let logins = logins
            .ok_or_else(|| ElsewhereError::NoAccount { tenant: tenant.to_owned(), path: self.credentials.clone() })?;
        Ok(logins.open(self.ca.as_deref()))
    }
}

/// Passwords must not cross a network in the clear.
fn check_address(url: &str) -> Result<(), String> {
    let address: async_nats::ServerAddr = url.parse().map_err(|error: std::io::Error| error.to_string())?;
    if address.username().is_some() || address.password().is_some() {
        return Err("logins belong into the credentials file".to_owned());
    }
    let host = address.host();
    let is_loopback =
        host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    match address.scheme() {
        "tls" => Ok(()),
        "nats" if is_loopback => Ok(()),
        "nats" => Err("without TLS it would carry passwords in the clear: use tls://".to_owned()),
        other => Err(format!("{other}:// is not spoken here: use tls://")),
    }
}

/// Both logins of each tenant, as they are kept.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    tenants: BTreeMap<String, KeptLogins>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptLogins {
    service: KeptLogin,
    provisioner: KeptLogin,
    /// Files that were written before there was a second door have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    door: Option<KeptDoor>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptDoor {
    answers: KeptLogin,
    asks: KeptLogin,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptLogin {
    user: String,
    password: String,
}

impl Credentials {
    fn read(path: &Path) -> Result<Self, ElsewhereError> {
        let bad = |reason: String| ElsewhereError::Credentials { path: path.to_path_buf(), reason };
        let text = Zeroizing::new(fs::read(path).map_err(|error| bad(error.to_string()))?);
        // The parser's words may quote what it read.
        serde_json::from_slice(&text).map_err(|error| bad(format!("line {} is not as it should be", error.line())))
    }
}

impl KeptLogins {
    fn of(logins: &TenantLogins) -> Self {
        let keep =
            |login: &NatsLogin| KeptLogin { user: login.user().to_owned(), password: login.password().to_owned() };
        let door = logins.door.as_ref();
        let door = door.map(|door| KeptDoor { answers: keep(&door.answers), asks: keep(&door.asks) });
        Self { service: keep(&logins.service), provisioner: keep(&logins.provisioner), door }
    }

    fn open(&self, ca: Option<&Path>) -> TenantLogins {
        let login = |kept: &KeptLogin| NatsLogin::known(&kept.user, Zeroizing::new(kept.password.clone()), ca);
        let door = self.door.as_ref();
        let door = door.map(|door| DoorLogins { answers: login(&door.answers), asks: login(&door.asks) });
        TenantLogins { service: login(&self.service), provisioner: login(&self.provisioner), door }
    }
}

/// What [`write_accounts`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenAccounts {
    /// For the configuration of every server of the cluster: `include accounts.conf`.
    pub accounts: PathBuf,
    /// For Lethe.
    pub credentials: PathBuf,
    /// Every tenant that has an account now.
    pub tenants: Vec<String>,
}

/// Writes the accounts of these tenants, and of those that have one in `folder` already: their passwords stay.
///
/// # Errors
/// When a file cannot be read or written, or a tenant's name is none.
pub fn write_accounts(folder: &Path, tenants: &[TenantAccount]) -> Result<WrittenAccounts, ElsewhereError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(NatsServerError::io("create", folder))?;
    let (accounts, credentials) = (folder.join(ACCOUNTS), folder.join(CREDENTIALS));
    let mut kept = if credentials.exists() { Credentials::read(&credentials)? } else { Credentials::default() };
    for tenant in tenants {
        let new = KeptLogins::of(&TenantLogins::random(tenant)?);
        match kept.tenants.get_mut(tenant.tenant()) {
            Some(there) => there.door = there.door.take().or(new.door),
            None => drop(kept.tenants.insert(tenant.tenant().to_owned(), new)),
        }
    }
    // A server without any user lets everybody in without a password.
    let nobody = json!({ "user": "_nobody", "password": random_hex(24)?, "permissions": { "publish": { "deny": ">" }, "subscribe": { "deny": ">" } } });
    let mut rendered = json!({ "NOBODY": { "users": [nobody] } });
    for (tenant, logins) in &kept.tenants {
        render_tenant(&mut rendered, &TenantAccount::new(tenant.as_str())?, &logins.open(None));
    }
    // The credentials first: a password that only the servers know could not be found again.
    write_private(&credentials, &json!(kept))?;
    write_private(&accounts, &json!({ "accounts": rendered }))?;
    Ok(WrittenAccounts { accounts, credentials, tenants: kept.tenants.into_keys().collect() })
}

/// Replaces a file in one step, readable by this user only.
fn write_private(path: &Path, value: &serde_json::Value) -> Result<(), NatsServerError> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let text = Zeroizing::new(format!("{value:#}\n"));
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(NatsServerError::io("write", &new))?;
    fs::rename(&new, path).map_err(NatsServerError::io("replace", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::nats_server::tests::Folder;

    fn place(urls: &[&str], replicas: usize) -> Result<NatsElsewhere, ElsewhereError> {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        NatsElsewhere::new(&urls, Path::new("credentials.json"), None, replicas)
    }

    #[test]
    fn passwords_cross_a_network_in_tls_only() {
        for good in ["tls://nats.example:4222", "nats://127.0.0.1:4222", "nats://[::1]:4222", "localhost:4222"] {
            assert!(place(&[good], 3).is_ok(), "{good}");
        }
        for bad in ["nats://nats.example:4222", "nats.example", "ws://127.0.0.1:80", "tls://me:secret@nats.example"] {
            assert!(matches!(place(&[bad], 3), Err(ElsewhereError::Address { .. })), "{bad}");
        }
        assert!(place(&[], 3).is_err());
        assert!(place(&["tls://one:1", "nats://two:2"], 3).is_err(), "each of them counts");
        assert!(place(&["tls://one:1"], 2).is_err());
    }

    #[test]
    fn accounts_are_added_and_those_that_are_there_keep_their_passwords() {
        let folder = Folder::new();
        let tenant = |name: &str| TenantAccount::new(name).unwrap();
        let first = write_accounts(folder.path(), &[tenant("acme")]).unwrap();
        let place = NatsElsewhere::new(&["nats://localhost:1".into()], &first.credentials, None, 3).unwrap();
        let before = place.credentials("acme").unwrap();
        let error = place.credentials("beta").unwrap_err();
        assert!(matches!(&error, ElsewhereError::NoAccount { tenant, .. } if tenant == "beta"), "{error}");

        let second = write_accounts(folder.path(), &[tenant("beta"), tenant("acme")]).unwrap();
        assert_eq!(second.tenants, ["acme", "beta"]);
        assert_eq!(place.credentials("acme").unwrap().service.password(), before.service.password());
        let beta = place.credentials("beta").unwrap();
        assert_ne!(beta.service.password(), beta.provisioner.password());

        let text = fs::read_to_string(&second.accounts).unwrap();
        for login in [&before.service, &before.provisioner, &beta.service] {
            assert!(text.contains(login.password()) && text.contains(login.inbox_prefix()), "{}", login.user());
        }
        for file in [&second.accounts, &second.credentials] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_torn_file_of_credentials_is_refused_and_not_repeated() {
        let folder = Folder::new();
        let path = folder.path().join(CREDENTIALS);
        fs::write(&path, r#"{"tenants": {"acme": {"service": {"user": "a", "password": "hush-hush"}}}"#).unwrap();
        let error = write_accounts(folder.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("line 1") && !error.contains("hush"), "{error}");
    }
}
