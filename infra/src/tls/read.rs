//! PEM files, read.

use std::path::Path;

use domain::Moment;
use time::OffsetDateTime;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::{Files, TlsError};

fn wrong(path: &Path, problem: impl Into<String>) -> TlsError {
    TlsError::File { path: path.to_owned(), problem: problem.into() }
}

/// What the files hold: certificate, key, and the clients' roots if they are asked for.
pub(super) fn bytes(files: &Files) -> Result<Vec<Vec<u8>>, TlsError> {
    let paths = [Some(&files.certificate), Some(&files.key), files.clients.as_ref()];
    let read = |path: &std::path::PathBuf| std::fs::read(path).map_err(|error| wrong(path, error.to_string()));
    paths.into_iter().flatten().map(read).collect()
}

pub(super) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(found) if found.is_empty() => Err(wrong(path, "it holds no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(path, format!("it is no certificate in PEM: {error}"))),
    }
}

/// The private key. What is wrong is said without a byte of it.
pub(super) fn key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| wrong(path, "it holds no private key in PEM"))
}

pub(super) fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| wrong(path, error.to_string()))?;
    }
    Ok(roots)
}

/// Until when a certificate is good (RFC 5280, 4.1.2.5); what is wrong, if it is none.
pub(super) fn expires_at(certificate: &[u8]) -> Result<Moment, String> {
    let read = Certificate::from_der(certificate).map_err(|error| format!("it is no X.509 certificate: {error}"))?;
    let seconds = read.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
    let at = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    at.map(Moment).ok_or_else(|| "its end is beyond all calendars".to_owned())
}
