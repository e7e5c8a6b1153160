//! Who asks: basic authentication on every request (spec 10.1.1).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::caller::Caller;
use super::{Management, Refusal};
use crate::engine::{Entrance, LoginRefusal};
use crate::model::{LoginRequest, Secret, User};

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Lets a request pass if it carries a good login, and notes whose it is.
pub(super) async fn require(
    State(management): State<Arc<Management>>,
    Extension(Peer(peer)): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if changes_from_elsewhere(&request) {
        return Err(Refusal::cross_origin());
    }
    let Some(header) = request.headers().get(header::AUTHORIZATION) else {
        return Err(Refusal::unauthenticated());
    };
    let begun = Instant::now();
    let user = match identify(&management, header.as_bytes(), peer).await {
        Ok(user) => user,
        Err(refusal) => {
            // The brake on guessing. It costs the guesser one of few connections, and is the same
            // whatever is wrong.
            tokio::time::sleep_until(begun + management.settings.refusal_delay).await;
            return Err(refusal);
        }
    };
    let caller = Caller::new(user, management.engine.access.table());
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// The user whose login a header carries.
async fn identify(
    management: &Management,
    header: &[u8],
    peer: SocketAddr,
) -> Result<Arc<User>, Refusal> {
    let login = login(header).ok_or_else(Refusal::wrong_login)?;
    let name = login.user.clone();
    let user = management
        .engine
        .authenticate(login, Some(peer), Entrance::Http)
        .await;
    user.map_err(|error| {
        tracing::warn!(%peer, user = name, %error, "login refused");
        match error {
            LoginRefusal::Credentials | LoginRefusal::Unchecked => Refusal::wrong_login(),
            LoginRefusal::NotFromLoopback => {
                Refusal::not_authorised("User can only log in via localhost")
            }
        }
    })
}

/// Whether a browser asks for a change on behalf of a page of another site: it would add the login
/// that its user once gave for this one. Nothing but a browser sends these headers.
fn changes_from_elsewhere(request: &Request) -> bool {
    if request.method().is_safe() {
        return false;
    }
    let text = |name: &str| request.headers().get(name).map(|value| value.as_bytes());
    let is_cross_site = matches!(text("sec-fetch-site"), Some(b"cross-site" | b"same-site"));
    let is_foreign = text("origin").is_some_and(|origin| {
        let authority = origin
            .strip_prefix(b"http://")
            .or_else(|| origin.strip_prefix(b"https://"));
        authority.is_none() || authority != text("host")
    });
    is_cross_site || is_foreign
}

/// Name and password of `Basic BASE64`.
fn login(header: &[u8]) -> Option<LoginRequest> {
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = decoded.split_at(colon);
    Some(LoginRequest {
        user: String::from_utf8(user.to_vec()).ok()?,
        password: Secret::new(password.get(1..)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: Option<(&str, &str)>) {
        let login = login(header.as_bytes());
        let matches = match (&login, expected) {
            (None, None) => true,
            (Some(login), Some((user, password))) => {
                login.user == user && login.password.is(password.as_bytes())
            }
            _ => false,
        };
        assert!(matches, "{header}: {login:?}");
    }

    #[test]
    fn a_password_may_hold_colons_and_be_empty() {
        check("Basic Z3Vlc3Q6Z3Vlc3Q=", Some(("guest", "guest")));
        check("basic  Z3Vlc3Q6Z3Vlc3Q= ", Some(("guest", "guest")));
        check("Basic YTpiOmM=", Some(("a", "b:c")));
        check("Basic YTo=", Some(("a", "")));
    }

    #[test]
    fn what_is_no_basic_authentication_is_refused() {
        for header in [
            "",
            "Basic",
            "Basic ",
            "Basic !!!",
            "Bearer Z3Vlc3Q6Z3Vlc3Q=",
            "Basic Z3Vlc3Q=",
        ] {
            check(header, None);
        }
        // Not UTF-8.
        check("Basic /zph", None);
    }
}
