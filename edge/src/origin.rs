//! From where a request comes: an address, and what the client calls itself. Both say something about the person who sends it.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn};

/// The longest name of a client that is kept, in bytes.
const AGENT_BYTES_MAX: usize = 256;

/// From where a request comes. Scope `technical.session` wherever it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The address; none: nobody said.
    pub address: Option<IpAddr>,
    /// What the client calls itself (`User-Agent`, RFC 9110, 10.1.5), cut to 256 bytes.
    pub agent: Option<String>,
}

/// Tells every handler and layer within from where a request comes. `proxied`: a proxy on this machine stands before; what it
/// says is believed, and nothing that was said before it.
pub fn with_origin(router: Router, proxied: bool) -> Router {
    router.layer(from_fn(move |mut request: Request, next: Next| {
        let origin = origin(request.headers(), request.extensions().get(), proxied);
        request.extensions_mut().insert(origin);
        next.run(request)
    }))
}

fn origin(headers: &HeaderMap, peer: Option<&ConnectInfo<SocketAddr>>, proxied: bool) -> Origin {
    let peer = peer.map(|ConnectInfo(peer)| peer.ip());
    let said = headers.get_all("x-forwarded-for").iter().next_back();
    let said = said.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    let proxied = proxied && peer.is_none_or(|peer| peer.is_loopback());
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    // A header that `to_str` reads is ASCII, so it may be cut anywhere.
    let agent = agent.map(|agent| agent[..agent.len().min(AGENT_BYTES_MAX)].to_owned());
    Origin { address: said.filter(|_| proxied).or(peer), agent }
}

/// Where no layer told, nothing is known.
impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(forwarded: &[&str], peer: Option<&str>, proxied: bool) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a header"));
        }
        let peer = peer.map(|peer| ConnectInfo(SocketAddr::new(peer.parse().expect("an address"), 1)));
        origin(&headers, peer.as_ref(), proxied).address.map(|address| address.to_string())
    }

    #[test]
    fn a_proxy_on_this_machine_is_believed_and_nobody_else() {
        let said = ["198.51.100.1, 203.0.113.9"];
        assert_eq!(of(&said, Some("127.0.0.1"), true).as_deref(), Some("203.0.113.9"), "what the last proxy says");
        assert_eq!(of(&said, Some("127.0.0.1"), false).as_deref(), Some("127.0.0.1"));
        assert_eq!(of(&said, Some("192.0.2.7"), true).as_deref(), Some("192.0.2.7"));
        assert_eq!(of(&["nonsense"], Some("127.0.0.1"), true).as_deref(), Some("127.0.0.1"));
        assert_eq!(of(&[], None, true), None);
    }

    #[test]
    fn a_client_with_a_long_name_is_cut() {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, "x".repeat(1000).parse().expect("a header"));
        assert_eq!(origin(&headers, None, false).agent.map(|agent| agent.len()), Some(AGENT_BYTES_MAX));
    }
}
