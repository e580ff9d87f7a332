//! A SoftHSM token in a folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{DevKmsError, random_secret, write_private};
use crate::keys::kms::{KmsConfig, SecretSource, TokenChoice};

/// Where distributions put SoftHSM's module.
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];
const LABEL: &str = "lethe";
const NEXT: &str = "install Debian's package softhsm2";

/// A SoftHSM token of one's own. Its module finds it by the environment variable `SOFTHSM2_CONF`, which a process must
/// have from its start: give it to the child that is to use the token.
#[derive(Debug, Clone)]
pub struct SoftHsm {
    module: PathBuf,
    folder: PathBuf,
}

impl SoftHsm {
    /// Whether SoftHSM is installed here; otherwise what to install.
    ///
    /// # Errors
    /// If its module or its program is not there.
    pub fn installed() -> Result<PathBuf, DevKmsError> {
        let module = MODULES.map(PathBuf::from).into_iter().find(|module| module.exists());
        let module = module.ok_or_else(|| DevKmsError::new("SoftHSM is not installed here", NEXT))?;
        let program = Command::new("softhsm2-util").arg("--version").stdin(Stdio::null()).output();
        program.map_err(|error| DevKmsError::new(format!("softhsm2-util cannot be run: {error}"), NEXT))?;
        Ok(module)
    }

    /// A new token in `folder`, or the one that an earlier call made there.
    ///
    /// # Errors
    /// If SoftHSM is not installed, or does not make one.
    pub fn within(folder: &Path) -> Result<Self, DevKmsError> {
        let token = Self { module: Self::installed()?, folder: folder.to_path_buf() };
        if token.pin_file().exists() {
            return Ok(token);
        }
        let tokens = folder.join("tokens");
        let failed = |error| DevKmsError::new(format!("cannot make {}: {error}", tokens.display()), "check the folder");
        std::fs::create_dir_all(&tokens).map_err(failed)?;
        let config = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
            tokens.display()
        );
        write_private(&token.config_file(), &config)?;
        let pin = random_secret();
        // The PINs can be seen while this runs. They guard nothing: the token lies beside them.
        let output = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", LABEL, "--so-pin", &random_secret(), "--pin", &pin])
            .env("SOFTHSM2_CONF", token.config_file())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| DevKmsError::new(format!("softhsm2-util cannot be run: {error}"), NEXT))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(DevKmsError::new(format!("softhsm2-util made no token: {said}"), "check the folder"));
        }
        write_private(&token.pin_file(), &pin)?;
        Ok(token)
    }

    /// What the environment variable `SOFTHSM2_CONF` of whoever uses the token must say.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("softhsm2.conf")
    }

    /// The folder in which the token keeps its objects.
    pub fn tokens(&self) -> PathBuf {
        self.folder.join("tokens")
    }

    /// The KMS that it is, as on a command line.
    pub fn config(&self) -> KmsConfig {
        KmsConfig::Pkcs11 {
            module: self.module.clone(),
            token: TokenChoice::Label(LABEL.to_owned()),
            pin: SecretSource::File(self.pin_file()),
        }
    }

    fn pin_file(&self) -> PathBuf {
        self.folder.join("pin")
    }
}
