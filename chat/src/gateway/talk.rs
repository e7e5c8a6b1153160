//! Conversations over HTTP: what the WebSocket does, one request at a time. For bots and scripts.

use std::convert::Infallible;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use leveret_client::message::{
    ConversationId, Handle, HistoryRange, MessageId, RejectionCode, Reply, Request, Seq, Toggle,
    UserId, UserSummary, envelope,
};
use serde::{Deserialize, Serialize};

use super::State;
use super::budget::NoRoom;
use super::caller::{Asked, Caller, Named, With};
use super::refusal::Refusal;
use super::routes::Routes;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .get("/v1/conversations", conversations)
        .get("/v1/conversations/{conv}/messages", history)
        .get("/v1/conversations/{conv}/members", members)
        .get("/v1/conversations/{conv}/cursors", cursors)
        .put("/v1/conversations/{conv}/mute", mute)
        .get("/v1/messages/{id}", status)
        .get("/v1/search", search)
        .get("/v1/users/{handle}", user)
        .put("/v1/receipts", receipts)
}

/// Octets of an answer that are handed to the socket at once.
const PIECE_BYTES: usize = 16 << 10;

type Answer = Result<Response, Refusal>;

async fn ask(state: &State, caller: &Caller, request: Request) -> Answer {
    let user = &caller.session.user;
    let bytes_max = state.desk.answer_bytes_max(&request);
    let room = state.answers.room(user, bytes_max).await;
    let mut room = room.map_err(|NoRoom| RejectionCode::Unavailable)?;
    let reply = match state.desk.answer(user, request).await {
        Reply::Refused { code } => return Err(code.into()),
        reply => Bytes::from(envelope::encode(&reply)),
    };
    room.shrink(reply.len());
    let length = reply.len();
    let pieces = stream::unfold((reply, room), async |(mut rest, room)| {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        // The room is held until the socket has asked for what comes after the last piece.
        Some((Ok::<_, Infallible>(piece), (rest, room)))
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CONTENT_LENGTH, HeaderValue::from(length)),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

async fn conversations(Shared(state): Shared<State>, caller: Caller) -> Answer {
    ask(&state, &caller, Request::Conversations).await
}

/// How many messages, if it is not said.
fn limit_default() -> u32 {
    100
}

#[derive(Deserialize)]
struct Piece {
    before: Option<Seq>,
    after: Option<Seq>,
    #[serde(default = "limit_default")]
    limit: u32,
}

async fn history(
    Shared(state): Shared<State>,
    caller: Caller,
    Named(conv): Named<ConversationId>,
    With(piece): With<Piece>,
) -> Answer {
    let range = match (piece.before, piece.after) {
        (Some(_), Some(_)) => return Err(RejectionCode::Malformed.into()),
        (Some(seq), None) => HistoryRange::Before(seq),
        (None, Some(seq)) => HistoryRange::After(seq),
        (None, None) => HistoryRange::NEWEST,
    };
    let limit = piece.limit;
    ask(&state, &caller, Request::History { conv, range, limit }).await
}

async fn members(
    Shared(state): Shared<State>,
    caller: Caller,
    Named(conv): Named<ConversationId>,
) -> Answer {
    ask(&state, &caller, Request::Members { conv }).await
}

async fn cursors(
    Shared(state): Shared<State>,
    caller: Caller,
    Named(conv): Named<ConversationId>,
) -> Answer {
    ask(&state, &caller, Request::Cursors { conv }).await
}

#[derive(Deserialize)]
struct Switch {
    state: Toggle,
}

async fn mute(
    Shared(state): Shared<State>,
    caller: Caller,
    Named(conv): Named<ConversationId>,
    Asked(asked): Asked<Switch>,
) -> Result<StatusCode, Refusal> {
    let request = Request::Mute {
        conv,
        state: asked.state,
    };
    ask(&state, &caller, request).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn receipts(
    Shared(state): Shared<State>,
    caller: Caller,
    Asked(asked): Asked<Switch>,
) -> Result<StatusCode, Refusal> {
    let request = Request::Receipts { state: asked.state };
    ask(&state, &caller, request).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn status(
    Shared(state): Shared<State>,
    caller: Caller,
    Named(id): Named<MessageId>,
) -> Answer {
    ask(&state, &caller, Request::Status { id }).await
}

#[derive(Deserialize)]
struct Words {
    text: String,
    conv: Option<ConversationId>,
    #[serde(default = "limit_default")]
    limit: u32,
}

async fn search(Shared(state): Shared<State>, caller: Caller, With(words): With<Words>) -> Answer {
    let Words { text, conv, limit } = words;
    ask(&state, &caller, Request::Search { text, conv, limit }).await
}

/// Somebody, and where to write to it.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    user: UserSummary,
    /// The direct conversation of whoever asks with it.
    direct: ConversationId,
}

async fn user(
    Shared(state): Shared<State>,
    caller: Caller,
    Named(handle): Named<Handle>,
) -> Result<Json<Found>, Refusal> {
    let user = find(&state, &caller.session.user, handle).await?;
    let direct = ConversationId::direct(&caller.session.user, &user.user);
    Ok(Json(Found { user, direct }))
}

/// Who has this name.
pub(super) async fn find(
    state: &State,
    asker: &UserId,
    handle: Handle,
) -> Result<UserSummary, RejectionCode> {
    match state.desk.answer(asker, Request::User { handle }).await {
        Reply::Users { users } => users.into_iter().next().ok_or(RejectionCode::NoSuchUser),
        Reply::Refused { code } => Err(code),
        _ => Err(RejectionCode::Unavailable),
    }
}
