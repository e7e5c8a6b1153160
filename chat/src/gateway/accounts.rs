//! Accounts and devices over HTTP.

use axum::extract::{FromRequestParts, Path, State as Shared};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use leveret_client::message::{DeviceId, Handle, ShardCount, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::State;
use super::refusal::Refusal;
use crate::accounts::{AccountError, NewAccount, Texts};
use crate::store::{Device, Session, User};

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/v1/register", post(register))
        .route("/v1/login", post(login))
        .route("/v1/logout", post(logout))
        .route("/v1/me", get(me).delete(delete_account))
        .route("/v1/password", put(change_password))
        .route("/v1/amqp", post(amqp))
        .route("/v1/devices/{id}", delete(remove_device))
        .route("/v1/users/{handle}/password", put(reset_password))
}

/// Who asks, by the token in the request.
struct Caller {
    session: Session,
    token: String,
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
        Ok(Self { session, token })
    }
}

/// Who asks, if anybody in particular.
struct AnyCaller(Option<UserId>);

impl FromRequestParts<State> for AnyCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        if token(parts).is_none() {
            return Ok(Self(None));
        }
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self(Some(caller.session.user)))
    }
}

/// An account as its owner sees it.
#[derive(Serialize)]
struct Account {
    user: UserId,
    handle: Handle,
    name: String,
    administrator: bool,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            user: user.id,
            handle: user.handle,
            name: user.name,
            administrator: user.administrator,
        }
    }
}

#[derive(Deserialize)]
struct Registering {
    handle: Handle,
    name: Option<String>,
    password: String,
    #[serde(default)]
    bot: bool,
}

async fn register(
    Shared(state): Shared<State>,
    AnyCaller(by): AnyCaller,
    Json(asked): Json<Registering>,
) -> Result<(StatusCode, Json<Account>), Refusal> {
    let account = NewAccount {
        name: asked.name.unwrap_or_else(|| asked.handle.to_string()),
        handle: asked.handle,
        password: asked.password,
        bot: asked.bot,
    };
    let user = state.accounts.register(account, by.as_ref()).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

#[derive(Deserialize)]
struct LoggingIn {
    handle: Handle,
    password: String,
    device: Option<DeviceId>,
    device_name: String,
}

#[derive(Serialize)]
struct LoggedIn {
    token: String,
    device: DeviceId,
    expires: Timestamp,
    #[serde(flatten)]
    account: Account,
}

async fn login(
    Shared(state): Shared<State>,
    Json(asked): Json<LoggingIn>,
) -> Result<Json<LoggedIn>, Refusal> {
    let login = state.accounts.login(
        &asked.handle,
        asked.password,
        asked.device,
        &asked.device_name,
    );
    let login = login.await?;
    Ok(Json(LoggedIn {
        token: login.token,
        device: login.device,
        expires: login.expires,
        account: login.user.into(),
    }))
}

async fn logout(Shared(state): Shared<State>, caller: Caller) -> Result<StatusCode, Refusal> {
    state.accounts.logout(&caller.token).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct Me {
    user: UserId,
    device: DeviceId,
    devices: Vec<Device>,
}

async fn me(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Me>, Refusal> {
    let devices = state.accounts.devices(&caller.session.user).await?;
    Ok(Json(Me {
        user: caller.session.user,
        device: caller.session.device,
        devices,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WhatOfTexts {
    Keep,
    Erase,
}

#[derive(Deserialize)]
struct Deleting {
    texts: WhatOfTexts,
}

async fn delete_account(
    Shared(state): Shared<State>,
    caller: Caller,
    Json(asked): Json<Deleting>,
) -> Result<StatusCode, Refusal> {
    let texts = match asked.texts {
        WhatOfTexts::Keep => Texts::Keep,
        WhatOfTexts::Erase => Texts::Erase,
    };
    state.accounts.delete(&caller.session.user, texts).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Changing {
    handle: Handle,
    old: String,
    new: String,
}

async fn change_password(
    Shared(state): Shared<State>,
    Json(asked): Json<Changing>,
) -> Result<StatusCode, Refusal> {
    let changed = state
        .accounts
        .change_password(&asked.handle, asked.old, asked.new);
    changed.await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct Amqp {
    url: String,
    user: UserId,
    device: DeviceId,
    password: String,
    shards: ShardCount,
}

async fn amqp(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Amqp>, Refusal> {
    let Session { user, device, .. } = caller.session;
    let login = state.accounts.provision(&user, &device).await?;
    Ok(Json(Amqp {
        url: state.amqp_url.to_string(),
        user: login.device.user,
        device: login.device.device,
        password: login.password,
        shards: login.shards,
    }))
}

async fn remove_device(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<DeviceId>,
) -> Result<StatusCode, Refusal> {
    let removed = state.accounts.remove_device(&caller.session.user, &id);
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Resetting {
    new: String,
}

async fn reset_password(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(handle): Path<Handle>,
    Json(asked): Json<Resetting>,
) -> Result<StatusCode, Refusal> {
    let by = &caller.session.user;
    state
        .accounts
        .reset_password(by, &handle, asked.new)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
