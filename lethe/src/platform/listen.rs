//! Where HTTP is spoken: beyond loopback by TLS alone. With TLS there is a listener on loopback beside it, without TLS, for the
//! command line of this machine; the operator's routes are there alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::{HeaderValue, header};
use axum::middleware::{map_request, map_response};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use edge::PeerCertificate;
use infra::tls::{Connection, Files, Tls, TlsListener, certificate_of, self_signed};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{DataDir, Options, StartError};

/// How often certificates are looked at; SIGHUP does it at once.
const RENEWAL: Duration = Duration::from_secs(60);

/// For how long a browser comes by TLS alone once it did (RFC 6797): a year.
const STRICT: &str = "max-age=31536000";

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// From files of yours.
    Files(Files),
    /// Signed by itself, in the data directory.
    Own,
}

/// The certificate that people are shown.
pub(super) struct Shown {
    pub(super) tls: Arc<Tls>,
    /// Signed by itself.
    pub(super) own: bool,
}

/// The sockets of a platform, bound.
pub(super) struct Sockets {
    plain: TcpListener,
    tls: Option<(TlsListener, Arc<Tls>)>,
    /// Where this machine's command line comes in.
    pub(super) local: SocketAddr,
    /// Where people come in.
    pub(super) public: String,
}

impl Sockets {
    /// Binds them.
    pub(super) async fn bind(options: &Options, data_dir: &DataDir) -> Result<Self, StartError> {
        let Some(certificate) = &options.certificate else {
            let (plain, local) = bind(options.listen).await?;
            return Ok(Self { plain, tls: None, local, public: format!("http://{local}") });
        };
        let files = match certificate {
            Certificate::Files(files) => files.clone(),
            Certificate::Own => self_signed(&data_dir.folder("tls"), options.listen.ip(), &*options.clock)?,
        };
        let tls = Arc::new(Tls::load(files)?);
        let (listener, address) = bind(options.listen).await?;
        let (plain, local) = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let listener = TlsListener::new(listener, Arc::clone(&tls));
        let listener =
            listener.map_err(|error| StartError::Listen { address: options.listen, cause: error.to_string() })?;
        Ok(Self { plain, tls: Some((listener, tls)), local, public: format!("https://{}", named(address)) })
    }

    /// The certificate that people are shown, if they come by TLS.
    pub(super) fn shown(&self, options: &Options) -> Option<Shown> {
        let (_, tls) = self.tls.as_ref()?;
        Some(Shown { tls: Arc::clone(tls), own: options.certificate == Some(Certificate::Own) })
    }

    /// Serves until told to stop.
    pub(super) async fn serve(self, local: Router, public: Router, stop: watch::Receiver<bool>) {
        let mut serving = JoinSet::new();
        if let Some((listener, tls)) = self.tls {
            serving.spawn(serve(Encrypted(listener), strict(public), stop.clone()));
            let mut stopped = stop.clone();
            serving.spawn(async move {
                tokio::select! {
                    () = keep_renewed(&tls) => {}
                    _ = stopped.wait_for(|stop| *stop) => {}
                }
            });
        }
        serving.spawn(serve(self.plain, local, stop));
        serving.join_all().await;
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error: std::io::Error| StartError::Listen { address, cause: error.to_string() };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// An address that can be typed.
fn named(address: SocketAddr) -> String {
    let ip: IpAddr = address.ip();
    if ip.is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() }
}

async fn serve<L>(listener: L, router: Router, mut stop: watch::Receiver<bool>)
where
    L: Listener<Addr = SocketAddr>,
    Peer: for<'a> Connected<IncomingStream<'a, L>>,
{
    let service = router.layer(map_request(told)).into_make_service_with_connect_info::<Peer>();
    let server = axum::serve(listener, service).with_graceful_shutdown(async move {
        let _ = stop.wait_for(|stop| *stop).await;
    });
    if let Err(error) = server.await {
        tracing::error!(%error, "the HTTP server ended");
    }
}

fn strict(router: Router) -> Router {
    router.layer(map_response(async |mut response: Response| {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(STRICT));
        response
    }))
}

async fn keep_renewed(tls: &Tls) {
    let mut hangup = signal(SignalKind::hangup()).ok();
    loop {
        let told = async {
            match &mut hangup {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = told => {}
            () = tokio::time::sleep(RENEWAL) => {}
        }
        match tls.renew() {
            Ok(true) => tracing::info!(expires_at = %tls.expires_at().0, "a new TLS certificate is shown"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the TLS certificate was not renewed: the one before is still shown"),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
struct Peer {
    address: SocketAddr,
    certificate: Option<PeerCertificate>,
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { address: *stream.remote_addr(), certificate: None }
    }
}

impl Connected<IncomingStream<'_, Encrypted>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Encrypted>) -> Self {
        Self { address: *stream.remote_addr(), certificate: certificate_of(stream.io()).map(PeerCertificate) }
    }
}

/// Tells the layers within what is known of the connection.
async fn told(mut request: Request) -> Request {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<Peer>>().copied() {
        request.extensions_mut().insert(ConnectInfo(peer.address));
        if let Some(certificate) = peer.certificate {
            request.extensions_mut().insert(certificate);
        }
    }
    request
}

struct Encrypted(TlsListener);

impl Listener for Encrypted {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        self.0.accept().await
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.0.local_addr())
    }
}
