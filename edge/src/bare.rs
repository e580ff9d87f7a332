//! What every answer says to a browser that was led to it: it is data, and not a page of somebody else's. And for which host a
//! request is: for one.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Version, header};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Said wherever a page has not said something of its own.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Lets a browser neither guess what an answer is, nor run, frame or embed it.
pub fn never_a_page(router: Router) -> Router {
    router.layer(map_response(async |mut response: Response| {
        for (name, value) in HEADERS {
            response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
        }
        response
    }))
}

/// Refuses a request of HTTP/1.1 that names no host or several (RFC 9112, 3.2): a proxy on the way may take another one of them.
pub fn for_one_host(router: Router) -> Router {
    router.layer(from_fn(async |request: Request, next: Next| {
        let hosts = request.headers().get_all(header::HOST).iter().count();
        if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
            return Problem::bad_request("invalid-host", "send the header Host, once").into_response();
        }
        next.run(request).await
    }))
}
