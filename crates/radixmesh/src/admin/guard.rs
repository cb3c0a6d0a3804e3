//! Who may ask: everybody on loopback, elsewhere who shows the token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;
use super::server::Admin;

/// What orchestrators ask; the answer says no more than whether the node runs.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Lets a request through, or answers 401 without a look at its body.
pub(crate) async fn guard(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(token) = &admin.mesh.config().admin_token else {
        return next.run(request).await;
    };
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let shown = request
        .headers()
        .get(AUTHORIZATION)
        .map(|value| value.as_bytes());
    match shown.map(bearer) {
        Some(Some(shown)) if token.is(shown) => next.run(request).await,
        None => Refusal::unauthorized(
            "this admin port wants `Authorization: Bearer TOKEN`; nothing was changed",
        )
        .into_response(),
        Some(_) => {
            Refusal::unauthorized("this is not the token of this admin port; nothing was changed")
                .into_response()
        }
    }
}

/// Returns what stands behind the scheme.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(rest)
}
