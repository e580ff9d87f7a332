//! A wire between client and server that can lose answers and break.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Stands before a server.
pub(crate) struct Proxy {
    address: String,
    swallow: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
}

impl Proxy {
    pub(crate) async fn before(url: &str) -> Self {
        let server: Arc<str> = url.trim_start_matches("nats://").into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (swallow, cuts) = (watch::Sender::new(false), watch::Sender::new(0));
        let (swallowing, cut) = (swallow.subscribe(), cuts.subscribe());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&*server).await else {
                    continue;
                };
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::spawn(pass(from_client, to_server, None, cut.clone()));
                tokio::spawn(pass(from_server, to_client, Some(swallowing.clone()), cut.clone()));
            }
        });
        Self { address, swallow, cuts }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// From now on the client hears nothing.
    pub(crate) fn swallow_answers(&self, swallow: bool) {
        self.swallow.send_replace(swallow);
    }

    /// Breaks every connection.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    swallowing: Option<watch::Receiver<bool>>,
    mut cut: watch::Receiver<u64>,
) {
    cut.mark_unchanged();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = cut.changed() => 0,
        };
        if count == 0 {
            return;
        }
        let swallowed = swallowing.as_ref().is_some_and(|swallowing| *swallowing.borrow());
        if !swallowed && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
