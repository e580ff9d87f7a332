//! The raw limit of an answer over HTTP: a server that gives out the same bytes, and does nothing else.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use tokio::task::JoinHandle;

use crate::cli::CliError;

/// Serves until it is dropped.
pub(super) struct Still {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Still {
    pub(super) async fn serve(bytes: Bytes) -> Result<Self, CliError> {
        let fault = |error: std::io::Error| CliError::failed("a server for the raw limit", error);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let router = Router::new().route("/", get(move || std::future::ready(bytes.clone())));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, serving })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
