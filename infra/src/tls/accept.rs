//! Connections, once they are encrypted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::design::content_hash;
use domain::history::CommitHash;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Tls;

/// A connection by TLS.
pub type Connection = TlsStream<TcpStream>;

/// The certificate that the client showed in the handshake, by the SHA-256 of its DER form (RFC 8705, 3.1). The handshake proved
/// that its key is there.
pub fn certificate_of(connection: &Connection) -> Option<CommitHash> {
    let (_, session) = connection.get_ref();
    session.peer_certificates()?.first().map(|certificate| content_hash(certificate))
}

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many handshakes are under way at once; who comes then waits in the system's queue.
const AT_ONCE: usize = 256;

/// How long nothing is accepted after the system gave no connection: out of file descriptors, as a rule.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes connections in. A client that is slow with its handshake holds up nobody else.
pub struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(Connection, SocketAddr)>,
    accepting: JoinHandle<()>,
}

impl TlsListener {
    /// Speaks TLS on what `listener` accepts.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn new(listener: TcpListener, tls: Arc<Tls>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (pass, ready) = mpsc::channel(AT_ONCE);
        let accepting = tokio::spawn(accept_all(listener, tls, pass));
        Ok(Self { address, ready, accepting })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next connection whose handshake is done, and from where it comes.
    pub async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // It accepts for ever.
            None => std::future::pending().await,
        }
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept_all(listener: TcpListener, tls: Arc<Tls>, pass: mpsc::Sender<(Connection, SocketAddr)>) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    while let Ok(turn) = Arc::clone(&turns).acquire_owned().await {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let acceptor = TlsAcceptor::from(tls.config());
        let pass = pass.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                Ok(Ok(connection)) => drop(pass.send((connection, peer)).await),
                // Scanners do it all day; where from is personal.
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
            drop(turn);
        });
    }
}
