//! HTTP on a socket, within bounds: who is slow, silent or many holds up nobody else.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::serve::Listener;
use axum::{Extension, Router};
use edge::PeerCertificate;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use infra::tls::{Connection, certificate_of};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

/// The largest head of a request of HTTP/1.1, in bytes: twice what a long address and every cookie take.
const HEAD: usize = 64 * 1024;

/// A peer of HTTP/2 that is silent for so long is asked whether it is still there, and has as long again to say so.
const SILENCE: Duration = Duration::from_secs(30);

/// What a socket puts up with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// How long the first request may take to begin, and the head of each to arrive. A connection without a request is closed
    /// after as long.
    patience: Duration,
    /// How many connections there are at once; who comes then waits in the system's queue.
    connections: usize,
    /// How many of them may be of one address elsewhere: nobody takes all. A proxy on this machine has many people behind it.
    of_one_address: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { patience: Duration::from_secs(30), connections: 2000, of_one_address: 500 }
    }
}

/// What a connection says of who is at its other end.
pub(super) trait Presents {
    /// The certificate that the client presented, if it did.
    fn certificate(&self) -> Option<PeerCertificate>;
}

impl Presents for TcpStream {
    fn certificate(&self) -> Option<PeerCertificate> {
        None
    }
}

impl Presents for Connection {
    fn certificate(&self) -> Option<PeerCertificate> {
        certificate_of(self).map(PeerCertificate)
    }
}

/// Serves until told to stop; what is under way then is answered.
pub(super) async fn serve<L: Listener<Addr = SocketAddr, Io: Presents>>(
    mut listener: L,
    router: Router,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
) {
    let (slots, callers) = (Arc::new(Semaphore::new(bounds.connections)), Callers::default());
    // Every connection holds a receiver: when the last is dropped, all are closed.
    let (open, held) = watch::channel(());
    loop {
        let slot = Arc::clone(&slots).acquire_owned();
        let accepted = async {
            let slot = slot.await;
            (slot, listener.accept().await)
        };
        let (slot, (io, peer)) = tokio::select! {
            accepted = accepted => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Some(counted) = callers.enter(peer.ip(), bounds.of_one_address) else {
            tracing::warn!("an address has too many connections: another one was closed");
            continue;
        };
        let (router, stop, held) = (router.clone(), stop.clone(), held.clone());
        tokio::spawn(async move {
            let router = match io.certificate() {
                Some(certificate) => router.layer(Extension(certificate)),
                None => router,
            };
            connection(TokioIo::new(io), peer, router, bounds.patience, stop).await;
            drop((slot, counted, held));
        });
    }
    drop((listener, held));
    open.closed().await;
}

async fn connection<I>(
    io: TokioIo<I>,
    peer: SocketAddr,
    router: Router,
    patience: Duration,
    mut stop: watch::Receiver<bool>,
) where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let asked = Arc::new(AtomicBool::new(false));
    let first = Arc::clone(&asked);
    let service = router.map_request(move |request: Request<Incoming>| {
        first.store(true, Ordering::Relaxed);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let builder = builder(patience);
    let mut serving = pin!(builder.serve_connection(io, TowerToHyperService::new(service)));
    // Which version of HTTP is spoken is known from the first bytes, and who sends none has no other end than this.
    let mut silent = pin!(tokio::time::sleep(patience));
    let (mut waits, mut stops) = (true, true);
    loop {
        tokio::select! {
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended before its time");
                }
                return;
            }
            () = silent.as_mut(), if waits => {
                if !asked.load(Ordering::Relaxed) {
                    return tracing::debug!("a connection brought no request");
                }
                waits = false;
            }
            _ = stop.wait_for(|stop| *stop), if stops => {
                serving.as_mut().graceful_shutdown();
                stops = false;
            }
        }
    }
}

fn builder(patience: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(HEAD);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(SILENCE).keep_alive_timeout(SILENCE);
    builder
}

/// How many connections each address elsewhere has.
#[derive(Clone, Default)]
struct Callers(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// One connection, as long as it is there.
struct Counted {
    callers: Callers,
    address: IpAddr,
}

impl Callers {
    /// Counts a connection; none: the address has too many.
    fn enter(&self, address: IpAddr, most: usize) -> Option<Counted> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most && !address.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Counted { callers: self.clone(), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.callers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests;
