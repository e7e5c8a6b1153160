//! What a request brings: who asks, and what is asked, each read before a route sees it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use leveret_client::message::{RejectionCode, UserId};
use serde::de::DeserializeOwned;

use super::State;
use super::refusal::Refusal;
use crate::accounts::AccountError;
use crate::store::Session;

const TOO_SLOW: &str = "the request did not arrive in time";

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    User(UserId),
    Address(IpAddr),
}

/// Counts a request; refuses it if there were too many.
pub(super) fn count(state: &State, source: Source) -> Result<(), Refusal> {
    if state.rates.lock().take(source, Instant::now()) {
        return Ok(());
    }
    Err(RejectionCode::RateLimited.into())
}

fn address(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<Peer>().map(|peer| peer.0.ip())
}

/// Who asks, by the token in the request.
pub(super) struct Caller {
    pub(super) session: Session,
    pub(super) token: String,
}

fn token(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    header.strip_prefix("Bearer ").map(str::trim)
}

impl FromRequestParts<State> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        let token = token(parts).ok_or(AccountError::NotLoggedIn)?.to_owned();
        let session = state.accounts.authenticate(&token).await?;
        count(state, Source::User(session.user.clone()))?;
        Ok(Self { session, token })
    }
}

/// Who asks, if anybody in particular.
pub(super) struct AnyCaller(pub(super) Option<UserId>);

impl FromRequestParts<State> for AnyCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        if token(parts).is_none() {
            if let Some(address) = address(parts) {
                count(state, Source::Address(address))?;
            }
            return Ok(Self(None));
        }
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self(Some(caller.session.user)))
    }
}

/// A body of JSON.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<State> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &State) -> Result<Self, Refusal> {
        let read = Json::<T>::from_request(request, state);
        let read = tokio::time::timeout(state.settings.hello_patience, read).await;
        let read =
            read.map_err(|_| Refusal::of(StatusCode::REQUEST_TIMEOUT, TOO_SLOW.to_owned()))?;
        let Json(asked) = read.map_err(|error| Refusal::of(error.status(), error.body_text()))?;
        Ok(Self(asked))
    }
}

/// What the path names.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        let Path(named) = read.map_err(|error| Refusal::of(error.status(), error.body_text()))?;
        Ok(Self(named))
    }
}

/// What follows the question mark.
pub(super) struct With<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<State> for With<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        let Query(with) = read.map_err(|error| Refusal::of(error.status(), error.body_text()))?;
        Ok(Self(with))
    }
}

/// A request of no other site's page: what has no origin is no browser's, and what has one must be of the
/// host that was asked, or of one that the operator named.
pub(super) struct SameOrigin;

impl FromRequestParts<State> for SameOrigin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        let header = |name| {
            let value = parts.headers.get(name)?;
            Some(value.to_str().unwrap_or(""))
        };
        let Some(origin) = header(ORIGIN) else {
            return Ok(Self);
        };
        let host = origin.split_once("://").map(|(_, host)| host);
        let is_own = host.is_some() && host == header(HOST);
        if is_own || state.origins.iter().any(|known| known == origin) {
            return Ok(Self);
        }
        Err(RejectionCode::Forbidden.into())
    }
}
