//! `POST …/publish`: one message, published mandatory and with a confirm (spec 10.2). An alarm does
//! not stop it, as in RabbitMQ: what comes by requests, one by one, is not what fills a broker.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::exchanges::exchange_name;
use super::queues::check_name;
use super::request::{Host, JsonBody, Segments};
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared, table};
use crate::model::{AmqpError, ExchangeName, Message, MessageParts};
use crate::wire::{ContentHeader, EncodeError, PropertiesBuilder, Property};

/// The header whose keys no consumer may see (spec 5.1.8).
const BLIND_COPIES: &str = "BCC";

pub(super) fn routes(routes: Routes) -> Routes {
    routes.at(
        "/api/exchanges/{vhost}/{exchange}/publish",
        Methods::new().post(Gate::Management, publish),
    )
}

async fn publish(
    State(management): Shared,
    caller: Caller,
    Host(host): Host,
    Segments((_, exchange)): Segments<(String, String)>,
    body: JsonBody,
) -> Result<Json<Value>, Refusal> {
    let exchange = exchange_name(&exchange);
    if host.exchange(exchange.as_str()).is_none() {
        return Err(Refusal::no_such("exchange_not_found"));
    }
    let draft = Draft::read(&exchange, &body)?;
    management.check_size(draft.body.len())?;
    let rights = management.rights(&caller, host.name());
    let published = Arc::clone(&management)
        .blocking(move |management| {
            host.publish(&management.engine, &rights, draft.message()?)
                .map_err(refused)
        })
        .await??;
    management.durable(published.ticket).await?;
    if published.refused {
        let reason = "rejected Unable to publish message. Check queue limits.";
        return Err(Refusal::bad_request(reason));
    }
    Ok(Json(json!({ "routed": published.routed })))
}

/// What AMQP would close the channel with is a bad request here, whatever its code.
fn refused(error: AmqpError) -> Refusal {
    Refusal::bad_request(format!("{} {error}", error.code.number()))
}

/// A message to be.
struct Draft {
    exchange: ExchangeName,
    routing_key: String,
    properties: Map<String, Value>,
    body: Vec<u8>,
}

impl Draft {
    fn read(exchange: &ExchangeName, request: &JsonBody) -> Result<Self, Refusal> {
        request.require(&["routing_key", "properties", "payload", "payload_encoding"])?;
        let Some(Value::String(payload)) = request.0.get("payload") else {
            return Err(Refusal::bad_request("payload_not_string"));
        };
        let body = match request.text("payload_encoding")?.unwrap_or_default() {
            "string" => payload.clone().into_bytes(),
            "base64" => STANDARD
                .decode(payload)
                .map_err(|_| Refusal::bad_value("not_base64", &payload.as_str().into()))?,
            other => return Err(Refusal::bad_value("unsupported_encoding", &other.into())),
        };
        let routing_key = request.text("routing_key")?.unwrap_or_default().to_owned();
        check_name("routing key", &routing_key)?;
        let properties = match request.0.get("properties") {
            Some(Value::Object(properties)) => properties.clone(),
            // Old clients send an empty list for an empty object.
            Some(Value::Array(list)) if list.is_empty() => Map::new(),
            other => {
                let other = other.unwrap_or(&Value::Null);
                return Err(Refusal::bad_value("not_object", other));
            }
        };
        Ok(Self {
            exchange: exchange.clone(),
            routing_key,
            properties,
            body,
        })
    }

    fn message(&self) -> Result<Message, Refusal> {
        let bytes = self.properties()?.finish();
        let headers = self.properties.get("headers");
        let has_blind_copies = headers.is_some_and(|headers| headers.get(BLIND_COPIES).is_some());
        let number = |name: &str| self.properties.get(name).and_then(Value::as_u64);
        let (exchange, key) = (self.exchange.as_str(), self.routing_key.as_str());
        let mut encoded = Vec::with_capacity(self.body.len() + bytes.len() + 64);
        let mut short = |text: &str| -> Result<u8, Refusal> {
            let length = u8::try_from(text.len())
                .map_err(|_| Refusal::bad_request("a name is longer than 255 bytes"))?;
            encoded.push(length);
            encoded.extend_from_slice(text.as_bytes());
            Ok(length)
        };
        let (exchange_bytes, routing_key_bytes) = (short(exchange)?, short(key)?);
        let start = encoded.len();
        ContentHeader::write(&mut encoded, self.body.len() as u64, &bytes);
        let header_bytes = u32::try_from(encoded.len() - start)
            .map_err(|_| Refusal::bad_request("the properties are too long"))?;
        encoded.extend_from_slice(&self.body);
        let parts = MessageParts {
            exchange_bytes,
            routing_key_bytes,
            header_bytes,
            persistent: number("delivery_mode") == Some(2),
            priority: number("priority")
                .and_then(|number| u8::try_from(number).ok())
                .unwrap_or(0),
            blind_copies: has_blind_copies,
            ..MessageParts::default()
        };
        Message::new(parts, &encoded)
            .ok_or_else(|| Refusal::failed("the message could not be put together"))
    }

    fn properties(&self) -> Result<PropertiesBuilder<'static>, Refusal> {
        let mut builder = PropertiesBuilder::new();
        for property in Property::ALL {
            let name = property.name().replace('-', "_");
            let Some(value) = self.properties.get(&name) else {
                continue;
            };
            builder = add(builder, property, &name, value)?;
        }
        Ok(builder)
    }
}

fn add<'a>(
    builder: PropertiesBuilder<'a>,
    property: Property,
    name: &str,
    value: &Value,
) -> Result<PropertiesBuilder<'a>, Refusal> {
    let number = || {
        value
            .as_u64()
            .ok_or_else(|| Refusal::bad_value("not_int", &name.into()))
    };
    let octet = || u8::try_from(number()?).map_err(|_| Refusal::bad_value("not_int", &name.into()));
    match property {
        Property::Headers => {
            let headers = table::arguments(Some(value))?;
            builder.headers(headers.fields()).map_err(too_long)
        }
        Property::DeliveryMode => Ok(builder.delivery_mode(octet()?)),
        Property::Priority => Ok(builder.priority(octet()?)),
        Property::Timestamp => Ok(builder.timestamp(number()?)),
        Property::ContentType
        | Property::ContentEncoding
        | Property::CorrelationId
        | Property::ReplyTo
        | Property::Expiration
        | Property::MessageId
        | Property::Type
        | Property::UserId
        | Property::AppId
        | Property::ClusterId => match value {
            Value::String(text) => builder.text(property, text).map_err(too_long),
            _ => Err(Refusal::bad_value("not_string", &name.into())),
        },
    }
}

fn too_long(error: EncodeError) -> Refusal {
    Refusal::bad_request(error.to_string())
}

impl Management {
    /// Refuses a body that AMQP would refuse (spec 5.1.2).
    fn check_size(&self, bytes: usize) -> Result<(), Refusal> {
        let max = self.settings.message_bytes_max;
        if bytes as u64 <= max {
            return Ok(());
        }
        let reason = format!(
            "406 PRECONDITION_FAILED - message size {bytes} is larger than configured max size \
             {max}"
        );
        Err(Refusal::bad_request(reason))
    }
}
