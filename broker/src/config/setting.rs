//! Every option: its names, how it is read out of a configuration and written into one.

use std::path::PathBuf;

use super::limits::{LIMITS, Limit};
use super::loaded::{LogConfig, LogFormat};
use super::value::Value;
use super::{Config, DefaultQueueType, Durability, Part, Password, parse};

/// A configuration that is being put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) broker: Config,
    /// Whether to write nothing, whatever the folder.
    pub(super) in_memory: bool,
    pub(super) log: LogConfig,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub(super) enum Setting {
    Plain(&'static Plain),
    Limit(&'static Limit),
}

/// An option that is no limit.
#[derive(Debug)]
pub(super) struct Plain {
    key: &'static str,
    about: &'static [&'static str],
    /// Variables that RabbitMQ or others know it by, beside its own.
    aliases: &'static [&'static str],
    is_secret: bool,
    /// `None` if there is nothing to show.
    read: fn(&Draft) -> Option<Value>,
    write: fn(&mut Draft, Value) -> Result<(), String>,
}

impl Setting {
    /// All options, in the order in which they are shown.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let limits = LIMITS.iter().map(Self::Limit);
        PLAIN.iter().map(Self::Plain).chain(limits)
    }

    /// The option of that name.
    pub(super) fn find(key: &str) -> Option<Self> {
        Self::all().find(|setting| setting.key() == key)
    }

    /// Its name in a file.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Plain(plain) => plain.key,
            Self::Limit(limit) => limit.key,
        }
    }

    /// What it is for, line by line.
    pub(super) const fn about(self) -> &'static [&'static str] {
        match self {
            Self::Plain(plain) => plain.about,
            Self::Limit(limit) => limit.about,
        }
    }

    /// Its environment variables, the one that wins first.
    pub(super) fn variables(self) -> Vec<String> {
        let own = format!("LEVERET_{}", self.key().to_uppercase().replace('.', "_"));
        let aliases = match self {
            Self::Plain(plain) => plain.aliases,
            Self::Limit(_) => &[],
        };
        let aliases = aliases.iter().map(|&alias| alias.to_owned());
        std::iter::once(own).chain(aliases).collect()
    }

    /// Whether its value must not be shown.
    pub(super) const fn is_secret(self) -> bool {
        match self {
            Self::Plain(plain) => plain.is_secret,
            Self::Limit(_) => false,
        }
    }

    /// Its value in `draft`.
    pub(super) fn read(self, draft: &Draft) -> Option<Value> {
        match self {
            Self::Plain(plain) => (plain.read)(draft),
            Self::Limit(limit) => {
                let value = (limit.read)(&draft.broker.limits);
                Some(Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
            }
        }
    }

    /// Its value as it may be shown.
    pub(super) fn shown(self, value: &Value) -> String {
        if self.is_secret() {
            return "\"********\"".to_owned();
        }
        value.to_string()
    }

    /// Puts `value` into `draft`, or says what would have fitted.
    pub(super) fn write(self, draft: &mut Draft, value: Value) -> Result<(), String> {
        match self {
            Self::Plain(plain) => (plain.write)(draft, value),
            Self::Limit(limit) => {
                let number = parse::limit(value, limit)?;
                (limit.write)(&mut draft.broker.limits, number);
                Ok(())
            }
        }
    }
}

fn shown(text: impl ToString) -> Option<Value> {
    Some(Value::Text(text.to_string()))
}

fn address(address: Option<std::net::SocketAddr>) -> Option<Value> {
    shown(address.map_or_else(|| "none".to_owned(), |address| address.to_string()))
}

fn part(part: Option<Part>) -> Option<Value> {
    shown(part.map_or_else(|| "none".to_owned(), |part| part.to_string()))
}

fn size(bytes: Option<u64>) -> Option<Value> {
    let Some(bytes) = bytes else {
        return shown("none");
    };
    Some(Value::Integer(i64::try_from(bytes).unwrap_or(i64::MAX)))
}

const PLAIN: &[Plain] = &[
    Plain {
        key: "data_dir",
        about: &["Where durable queues live. Made if it does not exist."],
        aliases: &[],
        is_secret: false,
        read: |draft| shown(draft.broker.data_dir.as_ref()?.display()),
        write: |draft, value| {
            let text = parse::text(value)?;
            if text.is_empty() {
                return Err("must name a folder".to_owned());
            }
            draft.broker.data_dir = Some(PathBuf::from(text));
            Ok(())
        },
    },
    Plain {
        key: "in_memory",
        about: &["Whether to keep everything in memory and write nothing."],
        aliases: &[],
        is_secret: false,
        read: |draft| Some(Value::Boolean(draft.in_memory)),
        write: |draft, value| parse::boolean(value).map(|truth| draft.in_memory = truth),
    },
    Plain {
        key: "amqp",
        about: &["Where AMQP is spoken, or none."],
        aliases: &[],
        is_secret: false,
        read: |draft| address(draft.broker.amqp),
        write: |draft, value| parse::address(value).map(|address| draft.broker.amqp = address),
    },
    Plain {
        key: "management",
        about: &["Where the HTTP API answers, or none."],
        aliases: &[],
        is_secret: false,
        read: |draft| address(draft.broker.management),
        write: |draft, value| {
            parse::address(value).map(|address| draft.broker.management = address)
        },
    },
    Plain {
        key: "prometheus",
        about: &["Where metrics for Prometheus are shown, without a login, or none."],
        aliases: &[],
        is_secret: false,
        read: |draft| address(draft.broker.prometheus),
        write: |draft, value| {
            parse::address(value).map(|address| draft.broker.prometheus = address)
        },
    },
    Plain {
        key: "durability",
        about: &[
            "What a confirm promises: commit (synced to disk), interval=MILLISECONDS (synced that",
            "often), os (synced when the system sees fit).",
        ],
        aliases: &[],
        is_secret: false,
        read: |draft| shown(draft.broker.durability),
        write: |draft, value| {
            let durability: Durability = parse::text(value)?.parse()?;
            draft.broker.durability = durability;
            Ok(())
        },
    },
    Plain {
        key: "default_user",
        about: &["The user that an empty data folder starts with; an administrator."],
        aliases: &["RABBITMQ_DEFAULT_USER"],
        is_secret: false,
        read: |draft| shown(&draft.broker.default_user),
        write: |draft, value| parse::name(value).map(|name| draft.broker.default_user = name),
    },
    Plain {
        key: "default_pass",
        about: &["That user's password."],
        aliases: &["RABBITMQ_DEFAULT_PASS"],
        is_secret: true,
        read: |draft| shown(draft.broker.default_pass.expose()),
        write: |draft, value| {
            let text = parse::text(value)?;
            if text.is_empty() {
                return Err("must not be empty: an empty password opens nothing".to_owned());
            }
            draft.broker.default_pass = Password::from(text.as_str());
            Ok(())
        },
    },
    Plain {
        key: "default_vhost",
        about: &["The virtual host that an empty data folder starts with."],
        aliases: &["RABBITMQ_DEFAULT_VHOST"],
        is_secret: false,
        read: |draft| shown(&draft.broker.default_vhost),
        write: |draft, value| parse::name(value).map(|name| draft.broker.default_vhost = name),
    },
    Plain {
        key: "default_queue_type",
        about: &[
            "The type of queues that are declared without x-queue-type: classic or quorum. What a",
            "quorum queue cannot be (exclusive, transient, auto-delete) is a classic one all the same.",
        ],
        aliases: &[],
        is_secret: false,
        read: |draft| shown(draft.broker.default_queue_type),
        write: |draft, value| {
            let queue_type: DefaultQueueType = parse::text(value)?.parse()?;
            draft.broker.default_queue_type = queue_type;
            Ok(())
        },
    },
    Plain {
        key: "loopback_users",
        about: &["Users who may log in from this machine only."],
        aliases: &[],
        is_secret: false,
        read: |draft| Some(Value::List(draft.broker.loopback_users.clone())),
        write: |draft, value| parse::list(value).map(|users| draft.broker.loopback_users = users),
    },
    Plain {
        key: "password_hashing",
        about: &[
            "How new passwords are hashed: rabbit_password_hashing_sha256, _sha512, or argon2id, which",
            "is slow on purpose and which no other broker can take over.",
        ],
        aliases: &[],
        is_secret: false,
        read: |draft| shown(draft.broker.password_hashing.as_str()),
        write: |draft, value| {
            draft.broker.password_hashing = parse::text(value)?.parse()?;
            Ok(())
        },
    },
    Plain {
        key: "anonymous_login",
        about: &[
            "Whether the mechanism ANONYMOUS logs in as guest, as long as guest's password is guest.",
        ],
        aliases: &[],
        is_secret: false,
        read: |draft| Some(Value::Boolean(draft.broker.anonymous_login)),
        write: |draft, value| {
            parse::boolean(value).map(|truth| draft.broker.anonymous_login = truth)
        },
    },
    Plain {
        key: "product",
        about: &["What clients take the broker for. Some only use features that RabbitMQ has."],
        aliases: &[],
        is_secret: false,
        read: |draft| shown(&draft.broker.product),
        write: |draft, value| parse::name(value).map(|name| draft.broker.product = name),
    },
    Plain {
        key: "product_version",
        about: &["The version that clients take it for."],
        aliases: &[],
        is_secret: false,
        read: |draft| shown(&draft.broker.product_version),
        write: |draft, value| parse::name(value).map(|name| draft.broker.product_version = name),
    },
    Plain {
        key: "cluster_name",
        about: &["The name of the cluster that clients see."],
        aliases: &[],
        is_secret: false,
        read: |draft| shown(&draft.broker.cluster_name),
        write: |draft, value| parse::name(value).map(|name| draft.broker.cluster_name = name),
    },
    Plain {
        key: "load_definitions",
        about: &[
            "A file of definitions, as RabbitMQ exports them, to be brought in at each start, or none.",
            "Users come from it, too: no default user is made.",
        ],
        aliases: &[],
        is_secret: false,
        read: |draft| {
            let path = draft.broker.load_definitions.as_ref();
            shown(path.map_or_else(|| "none".to_owned(), |path| path.display().to_string()))
        },
        write: |draft, value| {
            let path = parse::optional(value, parse::text)?;
            draft.broker.load_definitions = path.map(PathBuf::from);
            Ok(())
        },
    },
    Plain {
        key: "log_format",
        about: &["How the server writes its log: text or json."],
        aliases: &[],
        is_secret: false,
        read: |draft| shown(draft.log.format),
        write: |draft, value| {
            draft.log.format = match parse::text(value)?.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err("must be text or json".to_owned()),
            };
            Ok(())
        },
    },
    Plain {
        key: "log_level",
        about: &[
            "What the server logs: off, error, warn, info, debug, trace; by part: leveret=debug,…",
        ],
        aliases: &["LEVERET_LOG"],
        is_secret: false,
        read: |draft| shown(&draft.log.level),
        write: |draft, value| parse::log_level(value).map(|level| draft.log.level = level),
    },
    // Tables come last, as a file has them.
    Plain {
        key: "vm_memory_high_watermark.relative",
        about: &[
            "Publishers wait while the process has more than this part of the memory: of the",
            "machine's, or of what its control group allows.",
        ],
        aliases: &[],
        is_secret: false,
        read: |draft| part(Some(draft.broker.vm_memory_high_watermark.relative)),
        write: |draft, value| {
            parse::part(value).map(|part| draft.broker.vm_memory_high_watermark.relative = part)
        },
    },
    Plain {
        key: "vm_memory_high_watermark.absolute",
        about: &["The same in bytes, for example 2GB; takes precedence. Or none."],
        aliases: &[],
        is_secret: false,
        read: |draft| size(draft.broker.vm_memory_high_watermark.absolute),
        write: |draft, value| {
            let bytes = parse::optional(value, parse::size)?;
            draft.broker.vm_memory_high_watermark.absolute = bytes;
            Ok(())
        },
    },
    Plain {
        key: "disk_free_limit.absolute",
        about: &[
            "Publishers wait while less space than this is free where the data lies, in bytes. With",
            "none here and below it is 256 MiB; less than 4 MiB is never enough.",
        ],
        aliases: &[],
        is_secret: false,
        read: |draft| size(draft.broker.disk_free_limit.absolute),
        write: |draft, value| {
            let bytes = parse::optional(value, parse::size)?;
            draft.broker.disk_free_limit.absolute = bytes;
            Ok(())
        },
    },
    Plain {
        key: "disk_free_limit.relative",
        about: &["The same in parts of the memory, unless it is given in bytes. Or none."],
        aliases: &[],
        is_secret: false,
        read: |draft| part(draft.broker.disk_free_limit.relative),
        write: |draft, value| {
            let part = parse::optional(value, parse::part)?;
            draft.broker.disk_free_limit.relative = part;
            Ok(())
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of all values in a table and the tables in it.
    fn names(prefix: &str, table: &toml::Table, found: &mut Vec<String>) {
        for (name, value) in table {
            match value.as_table() {
                Some(inner) => names(&format!("{prefix}{name}."), inner, found),
                None => found.push(format!("{prefix}{name}")),
            }
        }
    }

    #[test]
    fn every_field_of_a_configuration_is_an_option() {
        let mut fields = Vec::new();
        let table = toml::Table::try_from(Config::server()).unwrap();
        names("", &table, &mut fields);
        assert!(fields.contains(&"limits.frame_max".to_owned()));
        for field in fields {
            assert!(Setting::find(&field).is_some(), "{field} is no option");
        }
    }

    #[test]
    fn what_is_read_out_of_a_configuration_can_be_written_into_one() {
        let mut draft = Draft {
            broker: Config::server(),
            in_memory: false,
            log: LogConfig::default(),
        };
        let before = draft.clone();
        for setting in Setting::all() {
            let value = setting.read(&draft).unwrap();
            setting.write(&mut draft, value).unwrap();
        }
        assert_eq!(draft, before);
    }
}
