//! A script: steps on channels of some connections, in a form that is generated, printed, pasted and shrunk.
//!
//! One step is one line of JSON. Names such as `q1` and `x2`, wherever they stand, become names of the
//! script's own on each broker; `''`, `amq.…` and everything else stay as they are.

use std::fmt;

use anyhow::{Context as _, Result};
use leveret_tests::raw::value::{Table, Value};
use serde::{Deserialize, Serialize};

/// A whole script.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Script(pub(crate) Vec<Step>);

/// One thing done on one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) on: Slot,
    #[serde(rename = "do")]
    pub(crate) action: Action,
}

/// A connection and a channel of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Slot {
    pub(crate) connection: usize,
    pub(crate) channel: u16,
}

impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = char::from(b'a' + u8::try_from(self.connection).unwrap_or(25));
        write!(formatter, "{letter}{}", self.channel)
    }
}

impl From<Slot> for String {
    fn from(slot: Slot) -> Self {
        slot.to_string()
    }
}

impl TryFrom<String> for Slot {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.split_at_checked(1).and_then(|(letter, channel)| {
            let connection = letter.bytes().next()?.checked_sub(b'a')?;
            Some(Self {
                connection: connection.into(),
                channel: channel.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| format!("{text} is no connection with a channel, like a1"))
    }
}

/// Arguments or headers, in their order.
pub(crate) type Fields = Vec<(String, Field)>;

/// A value of a field table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Field {
    Bool(bool),
    Byte(i8),
    Short(i16),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(String),
    Time(u64),
    Void,
    Table(Fields),
    List(Vec<Self>),
}

/// What can be done. Fields that are left out are false, empty or absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Action {
    DeclareQueue(DeclareQueue),
    DeleteQueue {
        queue: String,
        #[serde(default, skip_serializing_if = "is_false")]
        if_unused: bool,
        #[serde(default, skip_serializing_if = "is_false")]
        if_empty: bool,
        #[serde(default, skip_serializing_if = "is_false")]
        no_wait: bool,
    },
    PurgeQueue {
        queue: String,
    },
    DeclareExchange(DeclareExchange),
    DeleteExchange {
        exchange: String,
        #[serde(default, skip_serializing_if = "is_false")]
        if_unused: bool,
        #[serde(default, skip_serializing_if = "is_false")]
        no_wait: bool,
    },
    Bind(Binding),
    Unbind(Binding),
    BindExchange(Binding),
    UnbindExchange(Binding),
    Publish(Publish),
    Get {
        queue: String,
        #[serde(default, skip_serializing_if = "is_false")]
        no_ack: bool,
    },
    Consume(Consume),
    Cancel {
        tag: String,
    },
    Qos {
        #[serde(default)]
        size: u32,
        count: u16,
        #[serde(default, skip_serializing_if = "is_false")]
        global: bool,
    },
    Settle(Settle),
    Recover {
        requeue: bool,
        #[serde(default, skip_serializing_if = "is_false")]
        without_reply: bool,
    },
    SelectConfirms,
    SelectTransaction,
    Commit,
    Rollback,
    Flow {
        active: bool,
    },
    /// Closes the channel and opens it again.
    CloseChannel,
    /// Closes the connection in order and opens it again.
    CloseConnection,
    /// Lets the socket go without a word, and opens a new connection.
    DropConnection,
}

impl Action {
    /// Whether unsettled messages are ready again after it, if nothing goes wrong.
    pub(crate) fn gives_back(&self) -> bool {
        match self {
            Self::Settle(settle) => settle.requeue,
            Self::Recover { .. }
            | Self::Commit
            | Self::CloseChannel
            | Self::CloseConnection
            | Self::DropConnection => true,
            Self::DeclareQueue(_)
            | Self::DeleteQueue { .. }
            | Self::PurgeQueue { .. }
            | Self::DeclareExchange(_)
            | Self::DeleteExchange { .. }
            | Self::Bind(_)
            | Self::Unbind(_)
            | Self::BindExchange(_)
            | Self::UnbindExchange(_)
            | Self::Publish(_)
            | Self::Get { .. }
            | Self::Consume(_)
            | Self::Cancel { .. }
            | Self::Qos { .. }
            | Self::SelectConfirms
            | Self::SelectTransaction
            | Self::Rollback
            | Self::Flow { .. } => false,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DeclareQueue {
    pub(crate) queue: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) passive: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) durable: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) exclusive: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) auto_delete: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) no_wait: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) arguments: Fields,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DeclareExchange {
    pub(crate) exchange: String,
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) passive: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) durable: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) auto_delete: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) internal: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) no_wait: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) arguments: Fields,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Binding {
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) key: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) arguments: Fields,
}

/// The body is the step's number, and as many dots as `padding` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Publish {
    pub(crate) exchange: String,
    pub(crate) key: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) mandatory: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) immediate: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) padding: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) headers: Option<Fields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivery_mode: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expiration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Consume {
    pub(crate) queue: String,
    pub(crate) tag: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) no_ack: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) exclusive: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) no_wait: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) arguments: Fields,
}

/// Which delivery is settled, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settle {
    pub(crate) how: Verdict,
    pub(crate) which: Which,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) multiple: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) requeue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    Ack,
    Nack,
    Reject,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Which {
    /// This one of the outstanding deliveries, counted from the oldest, and round again; none of them: no step.
    Outstanding(usize),
    /// Tag 0.
    Zero,
    /// A tag that was never given.
    Unknown,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl DeclareQueue {
    /// Whether it asks for a quorum queue.
    pub(crate) fn is_quorum(&self) -> bool {
        let mut arguments = self.arguments.iter();
        arguments
            .any(|(key, field)| key == "x-queue-type" && *field == Field::Text("quorum".to_owned()))
    }
}

impl Script {
    /// Reads what [`fmt::Display`] writes; empty lines and lines that begin with `#` are skipped.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let steps = lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned()));
        Ok(Self(steps.collect::<Result<_>>()?))
    }

    /// The queues that it names, `q1` and the like.
    pub(crate) fn names(&self, first: char) -> Vec<String> {
        let text = self.to_string();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let mut names: Vec<_> = words
            .filter(|word| is_own_name(word) && word.starts_with(first))
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

impl fmt::Display for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            let line = serde_json::to_string(step).map_err(|_| fmt::Error)?;
            writeln!(formatter, "{line}")?;
        }
        Ok(())
    }
}

/// Whether this is a queue or an exchange of the script's own.
pub(crate) fn is_own_name(text: &str) -> bool {
    let digits = text.strip_prefix(['q', 'x']);
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// A name as a broker sees it.
pub(crate) fn real(prefix: &str, name: &str) -> String {
    if is_own_name(name) {
        format!("{prefix}{name}")
    } else {
        name.to_owned()
    }
}

/// Fields as a broker sees them.
pub(crate) fn table(prefix: &str, fields: &Fields) -> Table {
    let entries = fields.iter();
    Table(
        entries
            .map(|(key, field)| (key.clone(), value(prefix, field)))
            .collect(),
    )
}

fn value(prefix: &str, field: &Field) -> Value {
    match field {
        Field::Bool(bool) => Value::Bool(*bool),
        Field::Byte(number) => Value::I8(*number),
        Field::Short(number) => Value::I16(*number),
        Field::Int(number) => Value::I32(*number),
        Field::Long(number) => Value::I64(*number),
        Field::Double(number) => Value::F64(*number),
        Field::Text(text) => Value::text(&real(prefix, text)),
        Field::Time(seconds) => Value::Timestamp(*seconds),
        Field::Void => Value::Void,
        Field::Table(fields) => Value::Table(table(prefix, fields)),
        Field::List(items) => Value::Array(items.iter().map(|item| value(prefix, item)).collect()),
    }
}
