//! Accounts and devices over HTTP.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use leveret_client::message::{DeviceId, Handle, ShardCount, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::State;
use super::caller::{AnyCaller, Asked, Caller, Named};
use super::refusal::Refusal;
use super::routes::Routes;
use crate::accounts::{NewAccount, Texts};
use crate::store::{Device, Session, User};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .post("/v1/register", register)
        .post("/v1/login", login)
        .post("/v1/logout", logout)
        .get("/v1/me", me)
        .delete("/v1/me", delete_account)
        .put("/v1/password", change_password)
        .post("/v1/amqp", amqp)
        .delete("/v1/devices/{id}", remove_device)
        .put("/v1/users/{handle}/password", reset_password)
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
    Asked(asked): Asked<Registering>,
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
    _: AnyCaller,
    Asked(asked): Asked<LoggingIn>,
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
    state.hub.doubt(&caller.session.user);
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
    Asked(asked): Asked<Deleting>,
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
    _: AnyCaller,
    Asked(asked): Asked<Changing>,
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
    Named(id): Named<DeviceId>,
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
    Named(handle): Named<Handle>,
    Asked(asked): Asked<Resetting>,
) -> Result<StatusCode, Refusal> {
    let by = &caller.session.user;
    state
        .accounts
        .reset_password(by, &handle, asked.new)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
