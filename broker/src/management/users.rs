//! `/api/users`, `/api/whoami`, `/api/auth`: who there is, and what the caller is taken for (spec
//! 8.3, 10.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::caller::Caller;
use super::list::View;
use super::request::{JsonBody, Segments};
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared, status};
use crate::model::{
    HashAlgorithm, HashError, PasswordHash, Secret, Tags, TagsError, User, UserLimits, UserName,
};

const PROTECTED: &str = "Protected users cannot be modified via the HTTP API";

pub(super) fn routes(routes: Routes) -> Routes {
    let admin = Gate::Administrator;
    routes
        .at("/api/whoami", Methods::new().get(Gate::Management, whoami))
        .at(
            "/api/auth/hash_password/{password}",
            Methods::new().get(admin, hash),
        )
        .at("/api/users", Methods::new().get(admin, list))
        .at(
            "/api/users/without-permissions",
            Methods::new().get(admin, without_permissions),
        )
        .at(
            "/api/users/bulk-delete",
            Methods::new().post(admin, delete_many),
        )
        .at(
            "/api/users/{user}",
            Methods::new()
                .get(admin, show)
                .put(admin, put)
                .delete(admin, delete),
        )
}

async fn whoami(caller: Caller) -> Json<Value> {
    Json(json!({ "name": caller.name(), "tags": caller.tags(), "is_internal_user": true }))
}

async fn hash(
    State(management): Shared,
    Segments(password): Segments<String>,
) -> Result<Json<Value>, Refusal> {
    let password = Secret::new(password.as_bytes());
    let hash = management
        .blocking(move |management| management.engine.access.hash(&password))
        .await?;
    Ok(Json(json!({ "ok": hash.to_base64() })))
}

async fn list(State(management): Shared, view: View) -> Result<Response, Refusal> {
    let table = management.engine.access.table();
    let users: Vec<&Arc<User>> = table.users().collect();
    view.list(users, |user| user.name.as_str(), |user| row(user))
}

async fn without_permissions(State(management): Shared, view: View) -> Result<Response, Refusal> {
    let table = management.engine.access.table();
    let granted: std::collections::HashSet<&UserName> = table
        .rows()
        .filter(|(.., row)| row.permission.is_some())
        .map(|(_, user, _)| user)
        .collect();
    let users: Vec<&Arc<User>> = table
        .users()
        .filter(|user| !granted.contains(&user.name))
        .collect();
    view.list(users, |user| user.name.as_str(), |user| row(user))
}

async fn show(
    State(management): Shared,
    Segments(name): Segments<String>,
    view: View,
) -> Result<Response, Refusal> {
    let table = management.engine.access.table();
    let user = table.user(&name).ok_or_else(Refusal::not_found)?;
    Ok(view.object(row(user)))
}

fn row(user: &User) -> Value {
    let (algorithm, hash) = user.password.exported();
    json!({
        "name": user.name,
        "password_hash": hash,
        "hashing_algorithm": algorithm.as_str(),
        "tags": user.tags,
        "limits": user.limits,
    })
}

async fn put(
    State(management): Shared,
    Segments(name): Segments<String>,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
    let name = UserName::checked(&name).ok_or_else(|| Refusal::bad_request("name too long"))?;
    refuse_protected(&management, &name)?;
    let tags = tags(&body)?;
    let password = password(&management, &body).await?;
    let user = User {
        name,
        password,
        tags,
        limits: UserLimits::default(),
    };
    let changed = management.engine.put_user(user);
    management.durable(changed.ticket).await?;
    Ok(status(changed.change))
}

/// Tags, as a list or between commas.
fn tags(body: &JsonBody) -> Result<Tags, Refusal> {
    let refuse = |error: TagsError| Refusal::bad_request(error.to_string());
    match body.0.get("tags") {
        None => Err(Refusal::bad_request("tags_not_present")),
        Some(Value::String(text)) => Tags::parse(text).map_err(refuse),
        Some(Value::Array(list)) => {
            let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            let texts = texts.ok_or_else(|| Refusal::bad_request("tags_must_be_strings"))?;
            Tags::new(texts).map_err(refuse)
        }
        Some(other) => Err(Refusal::bad_value("not_string", other)),
    }
}

/// The password, in either of its forms; without one the user cannot log in with any.
async fn password(management: &Arc<Management>, body: &JsonBody) -> Result<PasswordHash, Refusal> {
    let (password, hash) = (body.text("password")?, body.text("password_hash")?);
    let algorithm = match body.text("hashing_algorithm")? {
        Some(name) => Some(
            HashAlgorithm::parse(name).map_err(|error| Refusal::bad_request(error.to_string()))?,
        ),
        None => None,
    };
    match (password, hash) {
        (Some(_), Some(_)) => Err(Refusal::bad_request(
            "both_password_and_password_hash_are_provided",
        )),
        // Hashed in the configured way, whatever the request says, as in RabbitMQ.
        (Some(password), None) => {
            let password = Secret::new(password.as_bytes());
            management.engine.access.check_password(&password)?;
            Arc::clone(management)
                .blocking(move |management| management.engine.access.hash(&password))
                .await
        }
        (None, Some(hash)) => PasswordHash::from_base64(algorithm.unwrap_or_default(), hash)
            .map_err(|error| match error {
                HashError::NotBase64 => Refusal::bad_value("not_base64", &json!(hash)),
                HashError::TooLong | HashError::Algorithm(_) => {
                    Refusal::bad_request(error.to_string())
                }
            }),
        (None, None) => Ok(PasswordHash::none()),
    }
}

async fn delete(
    State(management): Shared,
    Segments(name): Segments<String>,
) -> Result<StatusCode, Refusal> {
    let name = UserName::from(name);
    refuse_protected(&management, &name)?;
    let ticket = management.engine.delete_user(&name);
    management
        .durable(ticket.ok_or_else(Refusal::not_found)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whoever of them exists and is not protected goes.
async fn delete_many(State(management): Shared, body: JsonBody) -> Result<StatusCode, Refusal> {
    body.require(&["users"])?;
    let names = body.0.get("users").and_then(Value::as_array);
    let names = names.ok_or_else(|| Refusal::bad_request("users must be a list"))?;
    for name in names {
        let name = name.as_str();
        let name = name.ok_or_else(|| Refusal::bad_request("users must be a list of names"))?;
        let name = UserName::from(name);
        if refuse_protected(&management, &name).is_err() {
            continue;
        }
        if let Some(ticket) = management.engine.delete_user(&name) {
            management.durable(ticket).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

fn refuse_protected(management: &Management, name: &UserName) -> Result<(), Refusal> {
    let table = management.engine.access.table();
    match table.user(name.as_str()) {
        Some(user) if user.tags.is_protected() => Err(Refusal::bad_request(PROTECTED)),
        Some(_) | None => Ok(()),
    }
}
