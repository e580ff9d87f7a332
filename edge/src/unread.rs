//! What a refused request still sends is read and thrown away, so that its client gets to read the answer.
//!
//! A connection on which a body is left unread is closed, and a client in the middle of sending sees a broken pipe where the
//! reason should stand (RFC 9112, 9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use futures_util::{Stream, StreamExt};
use tokio::sync::oneshot;

/// How much of a body is read for nothing, in bytes.
const BYTES_MAX: usize = 128 * 1024 * 1024;

/// How long all that may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lets every refusal wait until what its client sends is read.
pub fn read_out(router: Router) -> Router {
    router.layer(from_fn(refuse_readably))
}

async fn refuse_readably(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let (back, mut left) = oneshot::channel();
    let waits_for_leave = parts.headers.contains_key(header::EXPECT);
    let declared = declared(&parts.headers).unwrap_or_default();
    let lent = Lent { body: Some(body.into_data_stream()), back: Some(back), asked: false };
    let response = next.run(Request::from_parts(parts, Body::from_stream(lent))).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if let (true, true, Ok(left)) = (refused, declared <= BYTES_MAX, left.try_recv()) {
        // Who waits for "100 Continue" and has not got it sends nothing.
        if left.asked || !waits_for_leave {
            let _ = tokio::time::timeout(PATIENCE, discard(left.body)).await;
        }
    }
    response
}

/// The length that a request says its body has.
pub(crate) fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn discard(mut body: BodyDataStream) {
    let mut size = 0;
    while let Some(Ok(piece)) = body.next().await {
        size += piece.len();
        if size > BYTES_MAX {
            return;
        }
    }
}

/// A body on loan: whoever drops it in the middle gives the rest back.
struct Lent {
    body: Option<BodyDataStream>,
    back: Option<oneshot::Sender<Left>>,
    asked: bool,
}

/// What nobody read of a body.
struct Left {
    body: BodyDataStream,
    /// Whether any of it was asked for.
    asked: bool,
}

impl Stream for Lent {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.asked = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let piece = body.poll_next_unpin(context);
        if !matches!(piece, Poll::Pending | Poll::Ready(Some(Ok(_)))) {
            self.body = None;
        }
        piece
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            let _ = back.send(Left { body, asked: self.asked });
        }
    }
}
