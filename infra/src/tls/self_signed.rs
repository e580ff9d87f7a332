//! A certificate of one's own, for the demo and for a first look: no browser knows it.

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use domain::port::Clock;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use time::Duration;

use super::{Files, Oldest, TlsError, read};

/// For how long it is good.
const DAYS: i64 = 90;

/// How many days before its end it is made anew.
const DAYS_LEFT: i64 = 7;

/// The certificate in `folder`, for `localhost` and this address. It is made if there is none, or it ends within a week.
///
/// # Errors
/// When the folder cannot be written.
pub fn self_signed(folder: &Path, address: IpAddr, clock: &dyn Clock) -> Result<Files, TlsError> {
    let files = Files {
        certificate: folder.join("self-signed.pem"),
        key: folder.join("self-signed.key"),
        clients: None,
        oldest: Oldest::default(),
    };
    if !is_good(&files, clock) {
        make(folder, &files, address, clock)?;
    }
    Ok(files)
}

fn is_good(files: &Files, clock: &dyn Clock) -> bool {
    let soon = clock.now() + Duration::days(DAYS_LEFT);
    let read = fs::read(&files.certificate).ok().and_then(|pem| read::certificates(&files.certificate, &pem).ok());
    let until = read.and_then(|chain| read::expires_at(chain.first()?).ok());
    files.key.exists() && until.is_some_and(|until| until.0 > soon)
}

fn make(folder: &Path, files: &Files, address: IpAddr, clock: &dyn Clock) -> Result<(), TlsError> {
    let failed = |path: &Path, problem: String| TlsError::File { path: path.to_owned(), problem };
    let fault = |error: rcgen::Error| failed(&files.certificate, error.to_string());
    let key = KeyPair::generate().map_err(fault)?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).map_err(fault)?;
    params.subject_alt_names.push(SanType::IpAddress(address));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Lethe, signed by itself");
    // A clock that is a little behind must take it too.
    params.not_before = clock.now() - Duration::hours(1);
    params.not_after = clock.now() + Duration::days(DAYS);
    let certificate = params.self_signed(&key).map_err(fault)?;
    fs::create_dir_all(folder).map_err(|error| failed(folder, error.to_string()))?;
    write(&files.key, &key.serialize_pem()).map_err(|error| failed(&files.key, error.to_string()))?;
    write(&files.certificate, &certificate.pem()).map_err(|error| failed(&files.certificate, error.to_string()))
}

/// Written aside and put in place, so that nobody reads half of it; for the owner alone.
fn write(path: &Path, pem: &str) -> std::io::Result<()> {
    let aside = path.with_extension("new");
    let _ = fs::remove_file(&aside);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    fs::rename(aside, path)
}
