//! `/api/bindings`, and the bindings of exchanges and queues (spec 10.2).
//!
//! Every queue is bound to the default exchange by its name. Nobody made these bindings and nobody
//! can remove them, but they are shown.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::caller::Caller;
use super::exchanges::exchange_name;
use super::list::View;
use super::queues::{NO_CONNECTION, check_name};
use super::request::{Host, JsonBody, Segments};
use super::routes::{Gate, Methods, Routes};
use super::{Refusal, Shared, table};
use crate::engine::{BindingRequest, VirtualHost};
use crate::model::{Arguments, BindingDefinition, DestinationKind, ExchangeName};

pub(super) fn routes(routes: Routes) -> Routes {
    let between = |kind: DestinationKind| {
        Methods::new()
            .get(Gate::Visible, async move |shared, host, ends, view| {
                list_between(shared, host, kind, ends, view).await
            })
            .post(
                Gate::Management,
                async move |shared, caller, host, ends, body| {
                    bind(shared, caller, host, kind, ends, body).await
                },
            )
    };
    let one = |kind: DestinationKind| {
        Methods::new()
            .get(Gate::Visible, async move |shared, host, names, view| {
                show(shared, host, kind, names, view).await
            })
            .delete(
                Gate::Management,
                async move |shared, caller, host, names| {
                    unbind(shared, caller, host, kind, names).await
                },
            )
    };
    routes
        .at("/api/bindings", Methods::new().get(Gate::Management, list))
        .at(
            "/api/bindings/{vhost}",
            Methods::new().get(Gate::Visible, list_of_host),
        )
        .at(
            "/api/bindings/{vhost}/e/{exchange}/q/{destination}",
            between(DestinationKind::Queue),
        )
        .at(
            "/api/bindings/{vhost}/e/{exchange}/e/{destination}",
            between(DestinationKind::Exchange),
        )
        .at(
            "/api/bindings/{vhost}/e/{exchange}/q/{destination}/{properties}",
            one(DestinationKind::Queue),
        )
        .at(
            "/api/bindings/{vhost}/e/{exchange}/e/{destination}/{properties}",
            one(DestinationKind::Exchange),
        )
        .at(
            "/api/exchanges/{vhost}/{exchange}/bindings/source",
            Methods::new().get(Gate::Visible, list_from),
        )
        .at(
            "/api/exchanges/{vhost}/{exchange}/bindings/destination",
            Methods::new().get(Gate::Visible, list_to_exchange),
        )
        .at(
            "/api/queues/{vhost}/{queue}/bindings",
            Methods::new().get(Gate::Visible, list_to_queue),
        )
}

type Ends = Segments<(String, String, String)>;
type Names = Segments<(String, String, String, String)>;

async fn list(State(management): Shared, caller: Caller, view: View) -> Result<Response, Refusal> {
    management
        .blocking(move |management| shown(&management.hosts_for(&caller), |_| true, &view))
        .await
}

async fn list_of_host(
    State(management): Shared,
    Host(host): Host,
    view: View,
) -> Result<Response, Refusal> {
    management
        .blocking(move |_| shown(&[host], |_| true, &view))
        .await
}

async fn list_from(
    State(management): Shared,
    Host(host): Host,
    Segments((_, exchange)): Segments<(String, String)>,
    view: View,
) -> Result<Response, Refusal> {
    let source = exchange_name(&exchange);
    management
        .blocking(move |_| shown(&[host], |binding| binding.source == source, &view))
        .await
}

async fn list_to_exchange(
    State(management): Shared,
    Host(host): Host,
    Segments((_, exchange)): Segments<(String, String)>,
    view: View,
) -> Result<Response, Refusal> {
    let destination = exchange_name(&exchange);
    let leads_there = move |binding: &BindingDefinition| {
        leads_to(binding, DestinationKind::Exchange, destination.as_str())
    };
    management
        .blocking(move |_| shown(&[host], leads_there, &view))
        .await
}

async fn list_to_queue(
    State(management): Shared,
    Host(host): Host,
    Segments((_, queue)): Segments<(String, String)>,
    view: View,
) -> Result<Response, Refusal> {
    if host.queue(&queue).is_none() {
        return Err(Refusal::not_found());
    }
    let leads_there =
        move |binding: &BindingDefinition| leads_to(binding, DestinationKind::Queue, &queue);
    management
        .blocking(move |_| shown(&[host], leads_there, &view))
        .await
}

async fn list_between(
    State(management): Shared,
    Host(host): Host,
    kind: DestinationKind,
    Segments((_, source, destination)): Ends,
    view: View,
) -> Result<Response, Refusal> {
    let source = exchange_name(&source);
    let is_meant = move |binding: &BindingDefinition| {
        binding.source == source && leads_to(binding, kind, &destination)
    };
    management
        .blocking(move |_| shown(&[host], is_meant, &view))
        .await
}

async fn bind(
    State(management): Shared,
    caller: Caller,
    Host(host): Host,
    kind: DestinationKind,
    Segments((_, source, destination)): Ends,
    body: JsonBody,
) -> Result<Response, Refusal> {
    let routing_key = body.text("routing_key")?.unwrap_or_default().to_owned();
    check_name("routing key", &routing_key)?;
    let arguments = table::arguments(body.0.get("arguments"))?.sorted();
    let place = format!(
        "{}/{}",
        quoted(&destination),
        quoted(&properties_key(&routing_key, &arguments))
    );
    let request = BindingRequest {
        source: exchange_name(&source),
        destination_kind: kind,
        destination,
        routing_key,
        arguments,
        connection: NO_CONNECTION,
    };
    let ticket = Arc::clone(&management)
        .blocking(move |management| {
            let rights = management.rights(&caller, host.name());
            host.bind(&management.engine, &rights, &request)
        })
        .await??;
    management.durable(ticket).await?;
    // A quoted text is letters, digits and a few signs, and so always makes a header.
    let place = HeaderValue::from_str(&place).unwrap_or(HeaderValue::from_static("~"));
    Ok((StatusCode::CREATED, [(header::LOCATION, place)]).into_response())
}

async fn show(
    State(management): Shared,
    Host(host): Host,
    kind: DestinationKind,
    Segments((_, source, destination, key)): Names,
    view: View,
) -> Result<Response, Refusal> {
    let shown_host = Arc::clone(&host);
    let binding = management
        .blocking(move |_| find(&host, &source, kind, &destination, &key))
        .await?
        .ok_or_else(Refusal::not_found)?;
    Ok(view.object(row(&shown_host, &binding)))
}

async fn unbind(
    State(management): Shared,
    caller: Caller,
    Host(host): Host,
    kind: DestinationKind,
    Segments((_, source, destination, key)): Names,
) -> Result<StatusCode, Refusal> {
    let ticket = Arc::clone(&management)
        .blocking(move |management| {
            let binding =
                find(&host, &source, kind, &destination, &key).ok_or_else(Refusal::not_found)?;
            let request = BindingRequest {
                source: binding.source,
                destination_kind: binding.destination_kind,
                destination: binding.destination,
                routing_key: binding.routing_key,
                arguments: binding.arguments,
                connection: NO_CONNECTION,
            };
            let rights = management.rights(&caller, host.name());
            Ok::<_, Refusal>(host.unbind(&management.engine, &rights, &request)?)
        })
        .await??;
    management.durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn leads_to(binding: &BindingDefinition, kind: DestinationKind, name: &str) -> bool {
    binding.destination_kind == kind && binding.destination == name
}

fn find(
    host: &VirtualHost,
    source: &str,
    kind: DestinationKind,
    destination: &str,
    key: &str,
) -> Option<BindingDefinition> {
    let source = exchange_name(source);
    let mut between = bindings(host);
    between.retain(|binding| binding.source == source && leads_to(binding, kind, destination));
    // What is itself encoded stands in a path that is encoded, once more or not.
    let spellings: [fn(&BindingDefinition) -> String; 2] = [
        |binding| properties_key(&binding.routing_key, &binding.arguments),
        |binding| plain_key(&binding.routing_key, &binding.arguments),
    ];
    let position = spellings
        .into_iter()
        .find_map(|spelling| between.iter().position(|binding| spelling(binding) == key))?;
    Some(between.swap_remove(position))
}

/// All bindings of a host, those of the default exchange first.
fn bindings(host: &VirtualHost) -> Vec<BindingDefinition> {
    let mut bindings: Vec<BindingDefinition> = host
        .all_queues()
        .into_iter()
        .map(|queue| BindingDefinition {
            source: ExchangeName::from(""),
            destination_kind: DestinationKind::Queue,
            destination: queue.name().as_str().to_owned(),
            routing_key: queue.name().as_str().to_owned(),
            arguments: Arguments::default(),
        })
        .collect();
    for exchange in host.all_exchanges() {
        bindings.extend(exchange.bindings());
    }
    bindings.sort_by(|left, right| {
        let key = |binding: &BindingDefinition| {
            (
                binding.source.clone(),
                binding.destination.clone(),
                binding.destination_kind,
                binding.routing_key.clone(),
            )
        };
        key(left)
            .cmp(&key(right))
            .then_with(|| left.arguments.as_wire().cmp(right.arguments.as_wire()))
    });
    bindings
}

fn shown(
    hosts: &[Arc<VirtualHost>],
    is_meant: impl Fn(&BindingDefinition) -> bool,
    view: &View,
) -> Response {
    let mut all = Vec::new();
    for host in hosts {
        let meant = bindings(host)
            .into_iter()
            .filter(|binding| is_meant(binding));
        all.extend(meant.map(|binding| (Arc::clone(host), binding)));
    }
    view.whole(&all, |(host, binding)| row(host, binding))
}

fn row(host: &VirtualHost, binding: &BindingDefinition) -> Value {
    let kind = match binding.destination_kind {
        DestinationKind::Queue => "queue",
        DestinationKind::Exchange => "exchange",
    };
    json!({
        "source": binding.source.as_str(),
        "vhost": host.name().as_str(),
        "destination": binding.destination,
        "destination_type": kind,
        "routing_key": binding.routing_key,
        "arguments": table::to_json(binding.arguments.fields()),
        "properties_key": properties_key(&binding.routing_key, &binding.arguments),
    })
}

/// What tells the bindings between the same two ends apart: key and arguments (spec 10.2). Programs
/// keep it, so it is the same for ever.
fn properties_key(routing_key: &str, arguments: &Arguments) -> String {
    plain_key(&quoted(routing_key), arguments)
}

/// The same of a key that is written as it is.
fn plain_key(routing_key: &str, arguments: &Arguments) -> String {
    if !arguments.is_empty() {
        let fingerprint = fingerprint(arguments.sorted().as_wire()).to_be_bytes();
        format!("{routing_key}~{}", URL_SAFE_NO_PAD.encode(fingerprint))
    } else if routing_key.is_empty() {
        "~".to_owned()
    } else {
        routing_key.to_owned()
    }
}

/// FNV-1a: short, and of bytes that everybody may choose, so that two may well be equal. Then the
/// first of them is meant.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The text as it stands in a form: spaces are plus signs.
fn quoted(text: &str) -> String {
    text.bytes().fold(String::new(), |mut quoted, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                quoted.push(char::from(byte));
            }
            b' ' => quoted.push('+'),
            _ => quoted.push_str(&format!("%{byte:02X}")),
        }
        quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{TableWriter, Value as Field};

    #[test]
    fn keys_are_spelled_as_rabbitmq_spells_them() {
        for (routing_key, expected) in [
            ("", "~"),
            ("a.*", "a.%2A"),
            ("k k/~", "k+k%2F%7E"),
            ("ä_-", "%C3%A4_-"),
        ] {
            assert_eq!(properties_key(routing_key, &Arguments::default()), expected);
        }
    }

    #[test]
    fn arguments_tell_bindings_apart_whatever_their_order() {
        let arguments = |fields: &[(&str, i64)]| {
            let mut table = TableWriter::new();
            for (name, value) in fields {
                table
                    .entry(name, Field::LongLongInt(*value))
                    .expect("short");
            }
            Arguments::from_wire(&table.finish())
        };
        let key = |fields: &[(&str, i64)]| properties_key("k", &arguments(fields));
        assert_eq!(key(&[("a", 1), ("b", 2)]), key(&[("b", 2), ("a", 1)]));
        assert_ne!(key(&[("a", 1)]), key(&[("a", 2)]));
        // Programs keep these: a change here would lose their bindings.
        assert_eq!(key(&[("a", 1)]), "k~pXRVG47QSi4");
    }
}
