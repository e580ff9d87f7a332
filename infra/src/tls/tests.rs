use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::port::Dice as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::chance::{SystemClock, SystemDice};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A folder that is gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("lethe-tls-{}", SystemDice.uuid())))
    }

    fn files(&self, name: &str) -> Files {
        self_signed(&self.0.join(name), HOME, &SystemClock).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server that says one byte to whoever comes in.
async fn served(tls: Arc<Tls>) -> SocketAddr {
    let listener = TcpListener::bind((HOME, 0)).await.unwrap();
    let mut listener = TlsListener::new(listener, tls).unwrap();
    let address = listener.local_addr();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await;
            let _ = connection.write_all(b"x").await;
            let _ = connection.shutdown().await;
        }
    });
    address
}

/// A client that trusts this certificate, speaks these versions and may show one of its own.
struct Caller<'a> {
    trusts: &'a Path,
    speaks: &'a [&'static SupportedProtocolVersion],
    shows: Option<(String, String)>,
}

impl Caller<'_> {
    /// Whether the server's byte arrived.
    async fn is_answered(&self, address: SocketAddr) -> bool {
        let roots: RootCertStore = read::roots(self.trusts, &fs::read(self.trusts).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_protocol_versions(self.speaks).unwrap().with_root_certificates(roots);
        let config = match &self.shows {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = read::certificates(Path::new("client"), certificate.as_bytes()).unwrap();
                let key = read::key(Path::new("client"), key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await else { return false };
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.is_ok() && said == b"x"
    }
}

const ALL: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

fn trusting(certificate: &Path) -> Caller<'_> {
    Caller { trusts: certificate, speaks: ALL, shows: None }
}

#[tokio::test]
async fn tls_1_2_is_spoken_only_where_it_is_asked_for() {
    let scratch = Scratch::new();
    let files = scratch.files("own");
    for (oldest, speaks, answered) in [
        (Oldest::V1_3, &[&TLS13], true),
        (Oldest::V1_3, &[&TLS12], false),
        (Oldest::V1_2, &[&TLS12], true),
        (Oldest::V1_2, &[&TLS13], true),
    ] {
        let files = Files { oldest, ..files.clone() };
        let address = served(Arc::new(Tls::load(files.clone()).unwrap())).await;
        let caller = Caller { speaks, ..trusting(&files.certificate) };
        assert_eq!(caller.is_answered(address).await, answered, "{oldest:?} {speaks:?}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_a_spoilt_one_is_not() {
    let scratch = Scratch::new();
    let (files, other, third) = (scratch.files("own"), scratch.files("other"), scratch.files("third"));
    let before = scratch.0.join("before.pem");
    fs::copy(&files.certificate, &before).unwrap();
    let tls = Arc::new(Tls::load(files.clone()).unwrap());
    let address = served(Arc::clone(&tls)).await;
    assert!(!tls.renew().unwrap());
    assert!(trusting(&before).is_answered(address).await);
    assert!(!trusting(&other.certificate).is_answered(address).await);

    // The certificate is there already, its key not yet: the one before goes on.
    fs::copy(&other.certificate, &files.certificate).unwrap();
    assert!(matches!(tls.renew(), Err(TlsError::Unfit { .. })));
    assert!(trusting(&before).is_answered(address).await);
    fs::copy(&other.key, &files.key).unwrap();
    assert!(tls.renew().unwrap());
    assert!(trusting(&other.certificate).is_answered(address).await);
    assert!(!trusting(&before).is_answered(address).await);

    fs::write(&files.certificate, "nothing").unwrap();
    assert!(matches!(tls.renew(), Err(TlsError::File { .. })));
    fs::remove_file(&files.key).unwrap();
    assert!(matches!(tls.renew(), Err(TlsError::File { .. })));
    assert!(trusting(&other.certificate).is_answered(address).await);
    assert!(!trusting(&third.certificate).is_answered(address).await);
}

#[tokio::test]
async fn where_clients_show_a_certificate_nobody_comes_in_without_a_good_one() {
    let scratch = Scratch::new();
    let issuer = |name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let signed = |issuer: &CertifiedIssuer<'_, KeyPair>| {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["integrator".to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
        Some((certificate.pem(), key.serialize_pem()))
    };
    let (ours, others) = (issuer("ours"), issuer("others"));
    let files = scratch.files("own");
    let clients = scratch.0.join("clients.pem");
    fs::write(&clients, ours.pem()).unwrap();
    let files = Files { clients: Some(clients), ..files };
    let address = served(Arc::new(Tls::load(files.clone()).unwrap())).await;
    for (shows, answered) in [(signed(&ours), true), (None, false), (signed(&others), false)] {
        assert_eq!(Caller { shows, ..trusting(&files.certificate) }.is_answered(address).await, answered);
    }
}

#[tokio::test]
async fn who_says_nothing_holds_up_nobody() {
    let scratch = Scratch::new();
    let files = scratch.files("own");
    let address = served(Arc::new(Tls::load(files.clone()).unwrap())).await;
    let silent = TcpStream::connect(address).await.unwrap();
    assert!(trusting(&files.certificate).is_answered(address).await);
    drop(silent);
}

#[test]
fn a_certificate_of_ones_own_is_kept_until_it_ends() {
    let scratch = Scratch::new();
    let files = scratch.files("own");
    let first = fs::read(&files.certificate).unwrap();
    assert_eq!(fs::read(scratch.files("own").certificate).unwrap(), first);
    let tls = Tls::load(files.clone()).unwrap();
    let days = (tls.expires_at().0 - domain::port::Clock::now(&SystemClock)).whole_days();
    assert!((89..=90).contains(&days), "{days}");
    struct Later;
    impl domain::port::Clock for Later {
        fn now(&self) -> time::OffsetDateTime {
            SystemClock.now() + time::Duration::days(84)
        }
    }
    let renewed = self_signed(&scratch.0.join("own"), HOME, &Later).unwrap();
    assert_ne!(fs::read(renewed.certificate).unwrap(), first);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
}
