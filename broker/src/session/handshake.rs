//! From the first byte to an open virtual host, as states that cannot be taken out of order.
//!
//! ```text
//! AwaitHeader ──header──► AwaitStartOk ──start-ok──► AwaitTuneOk ──tune-ok──► AwaitOpen ──open──► Opened
//!                              │ (login)                  │                       │
//!                              └──────────── Refusal: with or without a frame ────┘
//! ```
//!
//! Pure: frames in, frames out. The login itself needs a slow hash, so `start-ok` gives the
//! credentials out and the caller comes back with the verdict.

use crate::model::{AmqpError, Arguments, LoginRequest, ReplyCode, UserName};
use crate::wire::method::connection;
use crate::wire::{FrameLimit, Method, TableReader, TableWriter, Value, encoder};

use super::sasl;
use super::settings::SessionSettings;

/// Why a connection ends before it is open.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The peer is told at once.
    Close(AmqpError),
    /// The peer is told nothing, after a delay (spec 1.2.6, 1.3.6).
    Silent(AmqpError),
}

/// What the client told about itself in `start-ok`.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientProperties {
    /// Whether it wants a 403 instead of a dropped socket.
    pub(super) authentication_failure_close: bool,
    /// Whether it wants to know when a queue of its consumers is gone.
    pub(super) consumer_cancel_notify: bool,
    /// Whether it wants to know when it is blocked, and when no longer.
    pub(super) connection_blocked: bool,
    /// The name that it gives itself.
    pub(super) connection_name: Option<String>,
    /// How it logged in.
    pub(super) mechanism: &'static str,
    /// Everything that it told, to be shown.
    pub(super) table: Arguments,
}

impl ClientProperties {
    fn read(properties: TableReader<'_>, mechanism: &'static str) -> Self {
        let capability = |name: &str| {
            properties
                .get("capabilities")
                .and_then(|value| value.as_table())
                .and_then(|table| table.get(name))
                .and_then(|value| value.as_boolean())
                .unwrap_or(false)
        };
        Self {
            authentication_failure_close: capability("authentication_failure_close"),
            consumer_cancel_notify: capability("consumer_cancel_notify"),
            connection_blocked: capability("connection.blocked"),
            connection_name: properties
                .get("connection_name")
                .and_then(|value| value.as_text())
                .map(str::to_owned),
            mechanism,
            table: Arguments::from_wire(properties.as_bytes()),
        }
    }
}

/// `connection.start` is sent; the client must log in.
#[derive(Debug)]
pub(super) struct AwaitStartOk;

/// What `start-ok` brought: to be checked, slowly.
#[derive(Debug)]
pub(super) struct Login {
    /// Who wants in.
    pub(super) request: LoginRequest,
    /// What the client told about itself.
    pub(super) client: ClientProperties,
    /// The mechanism, for the text of a refusal.
    pub(super) mechanism: &'static str,
}

/// `connection.tune` is sent.
#[derive(Debug)]
pub(super) struct AwaitTuneOk {
    user: UserName,
    client: ClientProperties,
}

/// The limits are agreed; the client must open a virtual host.
#[derive(Debug)]
pub(super) struct AwaitOpen {
    user: UserName,
    client: ClientProperties,
    tuning: Tuning,
}

/// What was agreed in `tune-ok`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuning {
    /// How many channels there may be; 0 for no limit.
    pub(super) channel_max: u16,
    /// The largest frame.
    pub(super) frame_limit: FrameLimit,
    /// Seconds between heartbeats; 0 for none.
    pub(super) heartbeat_seconds: u16,
}

/// The virtual host that the client wants; the engine says whether it may have it.
#[derive(Debug)]
pub(super) struct OpenRequest {
    /// Who logged in.
    pub(super) user: UserName,
    /// What the client told about itself.
    pub(super) client: ClientProperties,
    /// What was agreed.
    pub(super) tuning: Tuning,
    /// The virtual host's name.
    pub(super) virtual_host: String,
}

impl AwaitStartOk {
    /// Sends `connection.start` and waits for the answer.
    pub(super) fn start(settings: &SessionSettings, cluster_name: &str, out: &mut Vec<u8>) -> Self {
        let properties = server_properties(settings, cluster_name);
        // The properties are short; only the configured names could make them too long, and those
        // are bounded when the configuration is read.
        let _ = encoder::method(
            out,
            0,
            connection::Start {
                version_major: 0,
                version_minor: 9,
                server_properties: TableReader::new(&properties),
                mechanisms: sasl::mechanisms(settings.anonymous.is_some()),
                locales: b"en_US",
            },
            FrameLimit::INITIAL,
        );
        Self
    }

    /// Takes a method.
    pub(super) fn advance(
        self,
        method: &Method<'_>,
        settings: &SessionSettings,
    ) -> Result<Login, Refusal> {
        let Method::Connection(connection::Method::StartOk(start)) = method else {
            return Err(wrong_state(method, "starting"));
        };
        let response = start.response.expose();
        let (mechanism, request) =
            sasl::read(start.mechanism, response, settings.anonymous.as_ref())
                .map_err(|error| Refusal::Silent(error.blaming(10, 11)))?;
        Ok(Login {
            request,
            client: ClientProperties::read(start.client_properties, mechanism),
            mechanism,
        })
    }
}

impl Login {
    /// The login was good: sends `connection.tune`.
    pub(super) fn accepted(
        self,
        user: UserName,
        settings: &SessionSettings,
        out: &mut Vec<u8>,
    ) -> AwaitTuneOk {
        let _ = encoder::method(
            out,
            0,
            connection::Tune {
                channel_max: settings.channel_max,
                frame_max: settings.frame_max,
                heartbeat: settings.heartbeat_seconds,
            },
            FrameLimit::INITIAL,
        );
        AwaitTuneOk {
            user,
            client: self.client,
        }
    }

    /// The login was bad; which part of it was, nobody learns (spec 1.3.7).
    pub(super) fn refused(&self) -> Refusal {
        let error = AmqpError::new(
            ReplyCode::AccessRefused,
            format!(
                "Login was refused using authentication mechanism {}. For details see the broker \
                 logfile.",
                self.mechanism
            ),
        )
        .hard();
        if self.client.authentication_failure_close {
            Refusal::Close(error)
        } else {
            Refusal::Silent(error)
        }
    }
}

impl AwaitTuneOk {
    /// Takes a method.
    pub(super) fn advance(
        self,
        method: &Method<'_>,
        settings: &SessionSettings,
    ) -> Result<AwaitOpen, Refusal> {
        let Method::Connection(connection::Method::TuneOk(tune)) = method else {
            return Err(wrong_state(method, "tuning"));
        };
        let (frame_max, channel_max) = (tune.frame_max, u32::from(tune.channel_max));
        check_negotiated(
            "frame_max",
            frame_max,
            settings.frame_max,
            settings.frame_min,
        )?;
        check_negotiated(
            "channel_max",
            channel_max,
            u32::from(settings.channel_max),
            1,
        )?;
        let tuning = Tuning {
            channel_max: tune.channel_max,
            frame_limit: FrameLimit::negotiated(frame_max).unwrap_or(FrameLimit::INITIAL),
            heartbeat_seconds: tune.heartbeat,
        };
        Ok(AwaitOpen {
            user: self.user,
            client: self.client,
            tuning,
        })
    }
}

impl AwaitOpen {
    /// The limit on frames from now on.
    pub(super) const fn frame_limit(&self) -> FrameLimit {
        self.tuning.frame_limit
    }

    /// Takes a method.
    pub(super) fn advance(self, method: &Method<'_>) -> Result<OpenRequest, Refusal> {
        let Method::Connection(connection::Method::Open(open)) = method else {
            return Err(wrong_state(method, "opening"));
        };
        Ok(OpenRequest {
            user: self.user,
            client: self.client,
            tuning: self.tuning,
            virtual_host: open.virtual_host.to_owned(),
        })
    }
}

/// Spec 1.4.2.
fn check_negotiated(name: &str, client: u32, server: u32, minimum: u32) -> Result<(), Refusal> {
    let refuse = |text: String| {
        Err(Refusal::Close(
            AmqpError::new(ReplyCode::NotAllowed, text).blaming(10, 31),
        ))
    };
    if client != 0 && client < minimum {
        return refuse(format!(
            "negotiated {name} = {client} is lower than the minimum allowed value ({minimum})"
        ));
    }
    if server != 0 && client == 0 {
        return refuse(format!(
            "negotiated {name} = 0 (no limit) is higher than the maximum allowed value ({server})"
        ));
    }
    if server != 0 && client > server {
        return refuse(format!(
            "negotiated {name} = {client} is higher than the maximum allowed value ({server})"
        ));
    }
    Ok(())
}

/// Spec 1.2.6.
fn wrong_state(method: &Method<'_>, state: &str) -> Refusal {
    Refusal::Silent(
        AmqpError::new(
            ReplyCode::ChannelError,
            format!("unexpected method in connection state {state}"),
        )
        .hard()
        .blaming(method.class_id(), method.method_id()),
    )
}

/// Spec 1.2.2 and 1.2.3.
fn server_properties(settings: &SessionSettings, cluster_name: &str) -> Vec<u8> {
    const CAPABILITIES: [&str; 9] = [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ];
    let mut capabilities = TableWriter::new();
    for name in CAPABILITIES {
        let _ = capabilities.entry(name, Value::Boolean(true));
    }
    let platform = concat!("Leveret ", env!("CARGO_PKG_VERSION"));
    let texts = [
        ("cluster_name", cluster_name),
        ("copyright", "Copyright (c) the Leveret authors"),
        (
            "information",
            "Leveret, an embeddable AMQP 0-9-1 broker. Licensed under MIT OR Apache-2.0",
        ),
        ("platform", platform),
        ("product", settings.product.as_str()),
        ("version", settings.version.as_str()),
    ];
    let mut properties = TableWriter::new();
    let _ = properties.entry("capabilities", Value::Table(capabilities.as_reader()));
    for (name, text) in texts {
        let _ = properties.entry(name, Value::LongString(text.as_bytes()));
    }
    properties.finish()
}
