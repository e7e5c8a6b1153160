//! `/api/channels`: the channels of connections (spec 10.2).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::connections::{ends, is_in, no_erlang};
use super::history::{Ranges, Subject};
use super::list::View;
use super::request::{Host, Segments};
use super::routes::{Gate, Methods, Routes};
use super::time::timestamp;
use super::{Management, Refusal, Shared, stats};
use crate::engine::{ChannelMeter, ChannelMode, Client};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .at("/api/channels", Methods::new().get(Gate::Management, list))
        .at(
            "/api/channels/{channel}",
            Methods::new().get(Gate::Management, show),
        )
        .at(
            "/api/connections/{connection}/channels",
            Methods::new().get(Gate::Management, list_of_connection),
        )
        .at(
            "/api/vhosts/{vhost}/channels",
            Methods::new().get(Gate::Visible, list_of_host),
        )
}

/// A channel, its connection, and its name.
struct Listed {
    name: String,
    client: Arc<Client>,
    channel: Arc<ChannelMeter>,
}

async fn list(State(management): Shared, caller: Caller, view: View) -> Result<Response, Refusal> {
    management
        .blocking(move |management| {
            let clients = management.clients_for(&caller);
            management.channel_list(clients, &view)
        })
        .await?
}

async fn list_of_host(
    State(management): Shared,
    Host(host): Host,
    caller: Caller,
    view: View,
) -> Result<Response, Refusal> {
    management
        .blocking(move |management| {
            let mut clients = management.clients_for(&caller);
            clients.retain(|client| is_in(client, host.name().as_str()));
            management.channel_list(clients, &view)
        })
        .await?
}

async fn list_of_connection(
    State(management): Shared,
    caller: Caller,
    Segments(name): Segments<String>,
    view: View,
) -> Result<Response, Refusal> {
    management
        .blocking(move |management| {
            let client = management.client_for(&caller, &name)?;
            management.channel_list(vec![client], &view)
        })
        .await?
}

async fn show(
    State(management): Shared,
    caller: Caller,
    Segments(name): Segments<String>,
    view: View,
) -> Result<Response, Refusal> {
    let ranges = Ranges::read(view.query())?;
    let row = management
        .blocking(move |management| {
            let listed = management.channel_for(&caller, &name)?;
            let mut row = management.channel_row(&listed, &ranges);
            let number = listed.channel.number;
            let consumers = management.consumers_of(&listed.client, number);
            row.insert("consumer_details".to_owned(), consumers.into());
            row.insert("publishes".to_owned(), json!([]));
            row.insert("deliveries".to_owned(), json!([]));
            Ok::<_, Refusal>(Value::Object(row))
        })
        .await??;
    Ok(view.object(row))
}

/// What RabbitMQ calls a channel.
pub(super) fn channel_name(connection: &str, number: u16) -> String {
    format!("{connection} ({number})")
}

impl Management {
    fn channel_for(&self, caller: &Caller, name: &str) -> Result<Listed, Refusal> {
        let (title, number) = name
            .strip_suffix(')')
            .and_then(|name| name.rsplit_once(" ("))
            .ok_or_else(Refusal::not_found)?;
        let client = self.client_for(caller, title)?;
        let mut channels = client.meter.channels().into_iter();
        let channel = channels
            .find(|channel| channel.number.to_string() == number)
            .ok_or_else(Refusal::not_found)?;
        Ok(Listed {
            name: name.to_owned(),
            client,
            channel,
        })
    }

    fn channel_list(&self, clients: Vec<Arc<Client>>, view: &View) -> Result<Response, Refusal> {
        let ranges = Ranges::read(view.query())?;
        let channels = clients.into_iter().flat_map(|client| {
            let title = client.title();
            let channels = client.meter.channels().into_iter();
            channels.map(move |channel| Listed {
                name: channel_name(&title, channel.number),
                client: Arc::clone(&client),
                channel,
            })
        });
        view.list(
            channels.collect(),
            |listed| &listed.name,
            |listed| Value::Object(self.channel_row(listed, &ranges)),
        )
    }

    fn channel_row(&self, listed: &Listed, ranges: &Ranges) -> Map<String, Value> {
        let (client, channel) = (&listed.client, &listed.channel);
        let subject = Subject::Channel(client.facts.number, channel.number);
        let counts = stats::message_counts(&channel.tally());
        let (peer_host, peer_port) = ends(Some(client));
        let mode = channel.mode();
        let mut row = no_erlang();
        let facts = json!({
            "name": listed.name,
            "number": channel.number,
            "node": self.engine.settings().node_name,
            "user": client.facts.user.as_str(),
            "user_who_performed_action": client.facts.user.as_str(),
            "vhost": client.facts.virtual_host.as_str(),
            "connection_details": {
                "name": client.title(),
                "peer_host": peer_host,
                "peer_port": peer_port,
            },
            "state": "running",
            "confirm": mode == ChannelMode::Confirm,
            "transactional": mode == ChannelMode::Transactional,
            "consumer_count": channel.consumers.value(),
            "prefetch_count": channel.prefetch.value(),
            "global_prefetch_count": channel.global_prefetch(),
            "messages_unacknowledged": channel.unacknowledged(),
            "messages_unconfirmed": channel.unconfirmed.value(),
            "messages_uncommitted": channel.uncommitted.value(),
            "acks_uncommitted": channel.uncommitted_settlements.value(),
        });
        if let Value::Object(facts) = facts {
            row.extend(facts);
        }
        if let Some(stats) = self.event_details(subject, &counts, ranges) {
            row.insert("message_stats".to_owned(), stats);
        }
        if let Some(since) = self.history.idle_since_ms(subject) {
            row.insert("idle_since".to_owned(), timestamp(since).into());
        }
        row
    }
}
