//! Which KMS: one text, as on a command line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use domain::ids::TenantId;
use domain::port::{Failure, Kms, Signer};

use super::careful::CarefulSigner;
use super::file::{FileKms, KmsDirError, refuse_inside};
use super::openbao::{OpenBaoAddress, OpenBaoKms};
use super::pkcs11::{Pkcs11Kms, Pkcs11Module, TokenChoice};
use super::secret::SecretSource;

/// Which KMS holds the root keys. It is written as `file:DIR` (or only `DIR`),
/// `pkcs11:module=FILE;token=LABEL;pin-file=FILE` or `openbao:URL;mount=transit;token-file=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KmsConfig {
    /// Files in two folders.
    File {
        /// The folder above both.
        dir: PathBuf,
    },
    /// A token behind a PKCS#11 module.
    Pkcs11 {
        /// The module.
        module: PathBuf,
        /// Which of its tokens.
        token: TokenChoice,
        /// The user's PIN.
        pin: SecretSource,
    },
    /// The transit engine of an OpenBao server.
    OpenBao {
        /// Where it is.
        address: OpenBaoAddress,
        /// The transit engine.
        mount: String,
        /// The token that is sent.
        token: SecretSource,
    },
}

/// The text names no KMS. The message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; do this next: {next}")]
pub struct KmsConfigError {
    what: String,
    next: String,
}

impl KmsConfigError {
    pub(super) fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }
}

/// Why a KMS was not opened.
#[derive(Debug, thiserror::Error)]
pub enum KmsOpenError {
    /// It answers, or does not, and must not be used so.
    #[error("{what}; do this next: {next}")]
    Unusable {
        /// What is wrong.
        what: String,
        /// What helps.
        next: String,
    },
    /// What it holds is not what must be there.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl KmsOpenError {
    pub(super) fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Unusable { what: what.into(), next: next.into() }
    }
}

/// One tenant's part of a KMS.
#[derive(Clone)]
pub struct OpenKms {
    /// Its roots.
    pub kms: Arc<dyn Kms>,
    /// Its key that signs.
    pub signer: Arc<dyn Signer>,
}

impl OpenKms {
    fn of<T: Kms + Signer + 'static>(both: T, tenant: &TenantId) -> Self {
        let both = Arc::new(both);
        let (kms, signer, tenant): (Arc<dyn Kms>, Arc<dyn Signer>, _) = (both.clone(), both, tenant.clone());
        let first = OnceLock::new();
        Self { kms: kms.clone(), signer: Arc::new(CarefulSigner { tenant, kms, signer, first }) }
    }
}

impl KmsConfig {
    /// The tenant's part of it. A token or a server is asked, so it must be there; files are not touched yet.
    ///
    /// # Errors
    /// If it does not answer, does not let us in, cannot do what is needed, or must not be used as it is.
    pub async fn open(&self, tenant: &TenantId) -> Result<OpenKms, KmsOpenError> {
        Ok(match self {
            Self::File { dir } => OpenKms::of(FileKms::new(dir, tenant), tenant),
            Self::Pkcs11 { module, token, pin } => {
                let module = Pkcs11Module { path: module.clone(), token: token.clone(), pin: pin.clone() };
                OpenKms::of(Pkcs11Kms::open(module, tenant).await?, tenant)
            }
            Self::OpenBao { address, mount, token } => {
                OpenKms::of(OpenBaoKms::open(address, mount, token.clone(), tenant).await?, tenant)
            }
        })
    }

    /// Refuses a KMS of which every copy of the data folder would hold a copy.
    ///
    /// # Errors
    /// If it is a folder inside the data folder, or if that cannot be found out.
    pub fn refuse_inside(&self, data_dir: &Path) -> Result<(), KmsDirError> {
        match self {
            Self::File { dir } => refuse_inside(data_dir, dir),
            Self::Pkcs11 { .. } | Self::OpenBao { .. } => Ok(()),
        }
    }
}

impl FromStr for KmsConfig {
    type Err = KmsConfigError;

    fn from_str(text: &str) -> Result<Self, KmsConfigError> {
        match text.split_once(':') {
            Some(("pkcs11", rest)) => pkcs11(rest),
            Some(("openbao", rest)) => openbao(rest),
            Some(("file", dir)) => file(dir),
            Some((kind, _)) if !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric()) => {
                let next = "begin with file:, pkcs11: or openbao:, or give a folder with a `/` in it";
                Err(KmsConfigError::new(format!("{kind:?} is no kind of KMS"), next))
            }
            _ => file(text),
        }
    }
}

fn file(dir: &str) -> Result<KmsConfig, KmsConfigError> {
    if dir.is_empty() {
        return Err(KmsConfigError::new("the folder of the file KMS is missing", "write file:DIR"));
    }
    Ok(KmsConfig::File { dir: dir.into() })
}

const PKCS11_FORM: &str = "write pkcs11:module=FILE;token=LABEL;pin-file=FILE (or slot=NUMBER, pin-env=NAME)";
const OPENBAO_FORM: &str = "write openbao:URL;mount=transit;token-file=FILE (or token-env=NAME; ca-file=FILE)";

fn pkcs11(text: &str) -> Result<KmsConfig, KmsConfigError> {
    let mut parts = Parts::read(text, "pkcs11", PKCS11_FORM, &["module", "token", "slot", "pin-file", "pin-env"])?;
    let module = parts.take("module").ok_or_else(|| parts.missing("module"))?;
    let token = match (parts.take("token"), parts.take("slot")) {
        (Some(label), None) => TokenChoice::Label(label),
        (None, Some(slot)) => {
            let slot =
                slot.parse().map_err(|_| KmsConfigError::new(format!("slot {slot:?} is no number"), PKCS11_FORM))?;
            TokenChoice::Slot(slot)
        }
        _ => return Err(KmsConfigError::new("pkcs11: needs either token= or slot=", PKCS11_FORM)),
    };
    Ok(KmsConfig::Pkcs11 { module: module.into(), token, pin: parts.secret("pin")? })
}

fn openbao(text: &str) -> Result<KmsConfig, KmsConfigError> {
    let (url, rest) = text.split_once(';').unwrap_or((text, ""));
    let mut parts = Parts::read(rest, "openbao", OPENBAO_FORM, &["mount", "token-file", "token-env", "ca-file"])?;
    let address = OpenBaoAddress::new(url, parts.take("ca-file").map(PathBuf::from))?;
    let mount = parts.take("mount").unwrap_or_else(|| "transit".to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
    if mount.is_empty() || !mount.chars().all(plain) || mount.starts_with('/') || mount.ends_with('/') {
        return Err(KmsConfigError::new(format!("{mount:?} is no path of a transit engine"), OPENBAO_FORM));
    }
    Ok(KmsConfig::OpenBao { address, mount, token: parts.secret("token")? })
}

/// `name=value` pairs, each at most once.
struct Parts {
    kind: &'static str,
    form: &'static str,
    pairs: Vec<(String, String)>,
}

impl Parts {
    fn read(text: &str, kind: &'static str, form: &'static str, names: &[&str]) -> Result<Self, KmsConfigError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            // What stands where a name should be may be a secret that somebody put there: it is not repeated.
            let (name, value) = pair
                .split_once('=')
                .filter(|(name, _)| names.contains(name))
                .ok_or_else(|| KmsConfigError::new(format!("{kind}: takes only {}", names.join("=, ") + "="), form))?;
            if value.is_empty() || pairs.iter().any(|(other, _)| other == name) {
                return Err(KmsConfigError::new(format!("{kind}: {name}= is empty or there twice"), form));
            }
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { kind, form, pairs })
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(other, _)| other == name)?;
        Some(self.pairs.swap_remove(at).1)
    }

    fn missing(&self, name: &str) -> KmsConfigError {
        KmsConfigError::new(format!("{}: {name}= is missing", self.kind), self.form)
    }

    fn secret(&mut self, name: &str) -> Result<SecretSource, KmsConfigError> {
        match (self.take(&format!("{name}-file")), self.take(&format!("{name}-env"))) {
            (Some(file), None) => Ok(SecretSource::File(file.into())),
            (None, Some(variable)) => Ok(SecretSource::Environment(variable)),
            (None, None) => Err(self.missing(&format!("{name}-file"))),
            (Some(_), Some(_)) => Err(KmsConfigError::new(
                format!("{}: {name}-file= and {name}-env= are both there", self.kind),
                self.form,
            )),
        }
    }
}

impl fmt::Display for KmsConfig {
    /// As it is written. It holds no secret, only the places of secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |name: &str, source: &SecretSource| match source {
            SecretSource::File(path) => format!("{name}-file={}", path.display()),
            SecretSource::Environment(variable) => format!("{name}-env={variable}"),
        };
        match self {
            Self::File { dir } => write!(f, "file:{}", dir.display()),
            Self::Pkcs11 { module, token, pin } => {
                write!(f, "pkcs11:module={};{token};{}", module.display(), secret("pin", pin))
            }
            Self::OpenBao { address, mount, token } => {
                write!(f, "openbao:{};mount={mount};{}", address.url(), secret("token", token))?;
                address.ca_file().map_or(Ok(()), |file| write!(f, ";ca-file={}", file.display()))
            }
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
