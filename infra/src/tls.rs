//! TLS for whoever comes by HTTP: rustls, TLS 1.3 (RFC 8446), 1.2 only where it is asked for.
//!
//! A certificate that is renewed on disk is taken up without a restart: [`Tls::renew`] reads it again, and keeps the old
//! one if the new one cannot be used. Connections that stand go on with what they began with.

mod accept;
mod read;
mod self_signed;
#[cfg(test)]
mod tests;

pub use accept::{Connection, TlsListener, certificate_of};
pub use self_signed::self_signed;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use domain::Moment;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Oldest {
    /// TLS 1.2 (RFC 5246), with forward secrecy and authenticated ciphers alone.
    V1_2,
    /// TLS 1.3 (RFC 8446).
    #[default]
    V1_3,
}

/// Where certificates are, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate of this server, then those between it and its root.
    pub certificate: PathBuf,
    /// Its private key (PKCS#8, SEC 1 or PKCS#1).
    pub key: PathBuf,
    /// Who signs the certificates of clients: with it, nobody connects without one (mTLS).
    pub clients: Option<PathBuf>,
    /// The oldest version that is spoken.
    pub oldest: Oldest,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The certificate and the key do not belong together, or are not good enough.
    #[error("the certificate {} cannot be used: {problem}", path.display())]
    Unfit {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// What this server shows to those who connect.
pub struct Tls {
    files: Files,
    now: RwLock<Shown>,
}

struct Shown {
    config: Arc<ServerConfig>,
    expires_at: Moment,
    /// What the files held: they are read again, and compared.
    bytes: Vec<Vec<u8>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, or what they hold cannot be used.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let now = RwLock::new(show(&files, read::bytes(&files)?)?);
        Ok(Self { files, now })
    }

    /// Reads the files again. Whether they held something new.
    ///
    /// # Errors
    /// When what they hold now cannot be used; the one before goes on being shown.
    pub fn renew(&self) -> Result<bool, TlsError> {
        let bytes = read::bytes(&self.files)?;
        if self.now.read().unwrap_or_else(PoisonError::into_inner).bytes == bytes {
            return Ok(false);
        }
        let shown = show(&self.files, bytes)?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = shown;
        Ok(true)
    }

    /// Until when the certificate is good.
    pub fn expires_at(&self) -> Moment {
        self.now.read().unwrap_or_else(PoisonError::into_inner).expires_at
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).config)
    }
}

fn show(files: &Files, bytes: Vec<Vec<u8>>) -> Result<Shown, TlsError> {
    let unfit = |problem: String| TlsError::Unfit { path: files.certificate.clone(), problem };
    let chain = read::certificates(&files.certificate, &bytes[0])?;
    let key = read::key(&files.key, &bytes[1])?;
    let expires_at = read::expires_at(&chain[0]).map_err(unfit)?;
    let provider = Arc::new(ring::default_provider());
    let versions: &[&SupportedProtocolVersion] = match files.oldest {
        Oldest::V1_2 => &[&TLS13, &TLS12],
        Oldest::V1_3 => &[&TLS13],
    };
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions);
    let config = config.map_err(|error| unfit(error.to_string()))?;
    let config = match &files.clients {
        None => config.with_no_client_auth(),
        Some(path) => {
            let roots = read::roots(path, &bytes[2])?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let wrong =
                |error: &dyn std::fmt::Display| TlsError::File { path: path.clone(), problem: error.to_string() };
            config.with_client_cert_verifier(verifier.map_err(|error| wrong(&error))?)
        }
    };
    let mut config = config.with_single_cert(chain, key).map_err(|error| unfit(error.to_string()))?;
    // The strongest that both know, and not what a client puts first.
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Shown { config: Arc::new(config), expires_at, bytes })
}
