//! Sending over HTTP: by whoever is logged in, and by a hook, whose address is its only secret.
//!
//! A request waits until the message is in the history, or refused. If neither is known in time the answer
//! is 202: the message is kept, and sending it again with the same id is harmless.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use leveret_client::message::{
    Body, Command, ConversationId, ConversationKind, DeviceId, Event, Handle, MemberChange,
    MessageId, Post, Receipt, ReceiptStatus, RejectionCode, Role, Sent, Seq, ServerFrame, Text,
    Timestamp, UserId, envelope,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::State;
use super::caller::{Asked, Caller, Named, Source, count};
use super::hub::Seat;
use super::mailbox::Next;
use super::refusal::Refusal;
use super::routes::Routes;
use super::talk;
use crate::amqp::Published;

/// How long a request waits for what becomes of its message.
const OUTCOME_PATIENCE: Duration = Duration::from_secs(10);
/// How often the store is asked, should the event that says it be lost.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// The header with the message's id.
const ID_HEADER: &str = "idempotency-key";

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .post("/v1/messages", send)
        .post("/v1/conversations/{conv}/receipts", receive)
        .post("/v1/conversations/{conv}/hooks", make_hook)
        .post("/v1/hooks/{conv}/{token}", hook)
}

/// To whom a message goes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Target {
    Conversation {
        conv: ConversationId,
        to: Option<UserId>,
    },
    Handle {
        handle: Handle,
    },
}

/// What a message says.
#[derive(Deserialize)]
#[serde(untagged)]
enum Says {
    Body { body: Body },
    Text { text: String },
}

#[derive(Deserialize)]
struct Sending {
    #[serde(flatten)]
    target: Target,
    #[serde(flatten)]
    says: Says,
    id: Option<MessageId>,
}

/// The id that the header or the body gives, or a new one.
fn message_id(headers: &HeaderMap, id: Option<MessageId>) -> Result<MessageId, Refusal> {
    let header = match headers.get(ID_HEADER) {
        Some(value) => {
            let id = value.to_str().ok().and_then(|id| id.parse().ok());
            Some(id.ok_or(RejectionCode::Malformed)?)
        }
        None => None,
    };
    match (header, id) {
        (Some(header), Some(id)) if header != id => Err(RejectionCode::Malformed.into()),
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => Ok(MessageId::new(Timestamp::now())),
    }
}

async fn send(
    Shared(state): Shared<State>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<Sending>,
) -> Result<Response, Refusal> {
    let id = message_id(&headers, asked.id)?;
    let (from, dev) = (caller.session.user, caller.session.device);
    let (conv, to) = match asked.target {
        Target::Conversation { conv, to } => (conv, to),
        Target::Handle { handle } => {
            let user = talk::find(&state, &from, handle).await?.user;
            (ConversationId::direct(&from, &user), Some(user))
        }
    };
    let body = match asked.says {
        Says::Body { body } => body,
        Says::Text { text } => Body::text(&text),
    };
    let post = Post {
        id,
        conv,
        to,
        from,
        dev,
        sent_at: Timestamp::now(),
        // Whoever sends this way is told what became of it before sending the next.
        after: None,
        body,
    };
    deliver(&state, post).await
}

/// A message's place, when it has one.
#[derive(Serialize)]
struct Stored {
    id: MessageId,
    conv: ConversationId,
    seq: Seq,
    ts: Timestamp,
}

impl From<Sent> for Stored {
    fn from(sent: Sent) -> Self {
        Self {
            id: sent.id,
            conv: sent.conv,
            seq: sent.seq,
            ts: sent.ts,
        }
    }
}

async fn deliver(state: &State, post: Post) -> Result<Response, Refusal> {
    let (id, conv) = (post.id, post.conv.clone());
    match outcome(state, post).await? {
        Some(sent) => Ok((StatusCode::CREATED, Json(Stored::from(sent))).into_response()),
        None => Ok((StatusCode::ACCEPTED, Json(json!({"id": id, "conv": conv}))).into_response()),
    }
}

/// Sends, and waits for what becomes of it; `None` if that is not known in time.
async fn outcome(state: &State, post: Post) -> Result<Option<Sent>, RejectionCode> {
    let seat = state.hub.join(post.from.clone(), post.dev.clone());
    let seat = seat.map_err(|_| RejectionCode::RateLimited)?;
    let place = Leaving(state, seat.clone());
    state.feed.came(&post.from).await;
    publish(state, &Command::Send(post.clone())).await?;
    let settled = tokio::time::timeout(OUTCOME_PATIENCE, settle(state, &seat, &post)).await;
    drop(place);
    match settled {
        Ok(result) => result.map(Some),
        Err(_) => Ok(None),
    }
}

/// Leaves the hub in every case, also when whoever asked has gone.
struct Leaving<'s>(&'s State, Arc<Seat>);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.hub.leave(&self.1);
    }
}

async fn settle(state: &State, seat: &Seat, post: &Post) -> Result<Sent, RejectionCode> {
    loop {
        while let Some(next) = seat.pop() {
            let Next::Frame(frame) = next else { continue };
            match envelope::decode(frame.as_bytes()) {
                Ok(ServerFrame::Event(Event::Sent(sent))) if sent.id == post.id => return Ok(sent),
                Ok(ServerFrame::Event(Event::Rejected(rejected))) if rejected.id == post.id => {
                    return Err(rejected.code);
                }
                Ok(_) | Err(_) => {}
            }
        }
        match state.store.message_of(&post.from, post.id).await {
            Ok(Some(message)) => {
                return Ok(Sent {
                    id: message.id,
                    conv: message.conv,
                    seq: message.seq,
                    ts: message.ts,
                });
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "what became of a message cannot be read"),
        }
        // A timeout is as good as an event: both make us look again.
        let _ = tokio::time::timeout(LOOK_INTERVAL, seat.woken()).await;
    }
}

async fn publish(state: &State, command: &Command) -> Result<(), RejectionCode> {
    let published = async { state.courier.publish(command).await?.wait().await };
    match published.await {
        Ok(Published::Confirmed) => Ok(()),
        Ok(Published::Refused | Published::Unroutable) => Err(RejectionCode::Unavailable),
        Err(error) => {
            tracing::warn!(%error, "a command was not handed over");
            Err(RejectionCode::Unavailable)
        }
    }
}

#[derive(Deserialize)]
struct Receiving {
    message: MessageId,
    seq: Seq,
    status: ReceiptStatus,
}

async fn receive(
    Shared(state): Shared<State>,
    caller: Caller,
    Named(conv): Named<ConversationId>,
    Asked(asked): Asked<Receiving>,
) -> Result<StatusCode, Refusal> {
    let receipt = Receipt {
        recipient: caller.session.user,
        dev: caller.session.device,
        conv,
        message: asked.message,
        seq: asked.seq,
        status: asked.status,
        at: Timestamp::now(),
    };
    publish(&state, &Command::Receive(receipt)).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
struct MakingHook {
    name: String,
}

/// A hook: whoever knows its address may write to one group, and read nothing.
#[derive(Serialize)]
struct Hook {
    user: UserId,
    handle: Handle,
    /// The path to post to; it is shown once.
    path: String,
}

/// Makes a bot, brings it into the group as whoever asks, and gives it an address. Who may not bring
/// anybody in makes no hook.
async fn make_hook(
    Shared(state): Shared<State>,
    caller: Caller,
    Named(conv): Named<ConversationId>,
    Asked(asked): Asked<MakingHook>,
) -> Result<(StatusCode, Json<Hook>), Refusal> {
    if conv.kind() != ConversationKind::Group {
        return Err(RejectionCode::Forbidden.into());
    }
    let (from, dev) = (caller.session.user, caller.session.device);
    let member = state.store.member(&conv, &from).await;
    let member = member.map_err(|_| RejectionCode::Unavailable)?;
    let member = member.filter(|member| member.is_present());
    let member = member.ok_or(RejectionCode::NotMember)?;
    if member.role < Role::Moderator {
        return Err(RejectionCode::Forbidden.into());
    }
    let (bot, token) = state.accounts.make_hook(asked.name).await?;
    let body = Body::Member {
        user: bot.id.clone(),
        change: MemberChange::Add { role: Role::Member },
    };
    let post = Post::to_group(&conv, &from, &dev, body, Timestamp::now());
    outcome(&state, post).await?;
    let hook = Hook {
        user: bot.id,
        handle: bot.handle,
        path: format!("/v1/hooks/{conv}/{token}"),
    };
    Ok((StatusCode::CREATED, Json(hook)))
}

#[derive(Deserialize)]
struct Hooked {
    text: String,
    id: Option<MessageId>,
}

async fn hook(
    Shared(state): Shared<State>,
    Named((conv, token)): Named<(ConversationId, String)>,
    headers: HeaderMap,
    Asked(asked): Asked<Hooked>,
) -> Result<Response, Refusal> {
    let id = message_id(&headers, asked.id)?;
    let (user, dev): (UserId, DeviceId) = {
        let session = state.accounts.authenticate_hook(&token).await?;
        (session.user, session.device)
    };
    count(&state, Source::User(user.clone()))?;
    let body = Body::Text(Text::from(asked.text.as_str()));
    let mut post = Post::to_group(&conv, &user, &dev, body, Timestamp::now());
    post.id = id;
    deliver(&state, post).await
}
