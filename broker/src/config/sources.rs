//! Flags, environment, file and defaults, put together: the first of these that gives a value wins.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::check::{self, invalid};
use super::error::{ConfigError, Origin};
use super::loaded::{ConfigValue, LoadedConfig, LogConfig};
use super::setting::{Draft, Setting};
use super::spelling::nearest;
use super::value::Value;
use super::{Config, file};

/// What our variables start with.
const PREFIX: &str = "LEVERET_";
/// The variable that names a file.
const FILE_VARIABLE: &str = "LEVERET_CONFIG";
/// Variables of RabbitMQ that change a part of the address where AMQP is spoken.
const PORT_VARIABLE: &str = "RABBITMQ_NODE_PORT";
const HOST_VARIABLE: &str = "RABBITMQ_NODE_IP_ADDRESS";

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub struct ConfigSources {
    defaults: Config,
    file: Option<PathBuf>,
    environment: BTreeMap<String, OsString>,
    flags: Vec<Flag>,
}

#[derive(Clone, Debug)]
struct Flag {
    key: String,
    name: String,
    value: String,
}

impl Config {
    /// The defaults of the server: on this machine only, on RabbitMQ's ports, with its data in
    /// `leveret-data/broker`.
    #[must_use]
    pub fn server() -> Self {
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        Self {
            data_dir: Some(PathBuf::from("leveret-data/broker")),
            amqp: Some(SocketAddr::new(loopback, 5672)),
            management: Some(SocketAddr::new(loopback, 15672)),
            prometheus: Some(SocketAddr::new(loopback, 15692)),
            ..Self::default()
        }
    }
}

impl ConfigSources {
    /// Nothing but `defaults`.
    #[must_use]
    pub fn new(defaults: Config) -> Self {
        Self {
            defaults,
            file: None,
            environment: BTreeMap::new(),
            flags: Vec::new(),
        }
    }

    /// Reads this TOML file, whatever the environment says.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Reads variables. Those that are empty count as not set.
    #[must_use]
    pub fn environment(
        mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let named = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let is_ours = name.starts_with(PREFIX) || name.starts_with("RABBITMQ_");
            (is_ours && !value.is_empty()).then_some((name, value))
        });
        self.environment.extend(named);
        self
    }

    /// Takes the option `key` from a flag, named as the user knows it.
    #[must_use]
    pub fn flag(
        mut self,
        key: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.flags.push(Flag {
            key: key.into(),
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Puts everything together. Touches nothing but the configuration file.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn load(&self) -> Result<LoadedConfig, ConfigError> {
        let mut assembly = Assembly {
            draft: Draft {
                broker: self.defaults.clone(),
                in_memory: self.defaults.data_dir.is_none(),
                log: LogConfig::default(),
            },
            origins: HashMap::new(),
        };
        self.apply_file(&mut assembly)?;
        self.apply_environment(&mut assembly)?;
        self.apply_flags(&mut assembly)?;
        assembly.settle_memory()?;
        check::fit(&assembly.draft, &|key| assembly.origin(key))?;
        Ok(assembly.finish())
    }

    fn apply_file(&self, assembly: &mut Assembly) -> Result<(), ConfigError> {
        let variable = self.environment.get(FILE_VARIABLE);
        let (path, named_by) = match (&self.file, variable) {
            (Some(path), _) => (path.clone(), Origin::Flag("--config".to_owned())),
            (None, Some(path)) => (
                PathBuf::from(path),
                Origin::Environment(FILE_VARIABLE.to_owned()),
            ),
            (None, None) => return Ok(()),
        };
        let mut entries = file::read(&path, named_by)?;
        // The first mistake in the file is reported, not the first in the alphabet.
        entries.sort_by(|one, other| one.origin.cmp(&other.origin));
        for entry in entries {
            let Some(setting) = Setting::find(&entry.key) else {
                return Err(unknown(entry.key, &entry.value, entry.origin));
            };
            assembly.apply(setting, entry.value, entry.origin)?;
        }
        Ok(())
    }

    fn apply_environment(&self, assembly: &mut Assembly) -> Result<(), ConfigError> {
        self.refuse_typing_errors()?;
        self.apply_node_address(assembly)?;
        for setting in Setting::all() {
            let variables = setting.variables();
            let Some(name) = variables
                .iter()
                .find(|name| self.environment.contains_key(*name))
            else {
                continue;
            };
            let value = self.word(setting, name)?;
            let origin = Origin::Environment(name.clone());
            assembly.apply(setting, Value::Word(value), origin)?;
        }
        Ok(())
    }

    /// A variable's value; `setting` is blamed if it is no text.
    fn word(&self, setting: Setting, name: &str) -> Result<String, ConfigError> {
        let value = self.environment.get(name).cloned().unwrap_or_default();
        value.into_string().map_err(|value| {
            let shown = setting.shown(&Value::Word(value.to_string_lossy().into_owned()));
            let origin = Origin::Environment(name.to_owned());
            invalid(setting, shown, origin, "is not UTF-8".to_owned())
        })
    }

    /// RabbitMQ gives the port and the host apart.
    fn apply_node_address(&self, assembly: &mut Assembly) -> Result<(), ConfigError> {
        let Some(setting) = Setting::find("amqp") else {
            return Ok(());
        };
        for name in [HOST_VARIABLE, PORT_VARIABLE] {
            if !self.environment.contains_key(name) {
                continue;
            }
            let word = self.word(setting, name)?;
            let origin = Origin::Environment(name.to_owned());
            let before = assembly
                .draft
                .broker
                .amqp
                .unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5672)));
            let address = if name == PORT_VARIABLE {
                let port = word.parse().ok();
                port.map(|port| SocketAddr::new(before.ip(), port))
            } else {
                let host = word.parse().ok();
                host.map(|host| SocketAddr::new(host, before.port()))
            };
            let Some(address) = address else {
                let wanted = if name == PORT_VARIABLE {
                    "a port"
                } else {
                    "an IP address"
                };
                let shown = setting.shown(&Value::Word(word));
                return Err(invalid(setting, shown, origin, format!("must be {wanted}")));
            };
            assembly.apply(setting, Value::Word(address.to_string()), origin)?;
        }
        Ok(())
    }

    /// Variables of ours that nobody reads may be for others, but not if they are nearly known.
    fn refuse_typing_errors(&self) -> Result<(), ConfigError> {
        let mut known: Vec<String> = Setting::all().flat_map(Setting::variables).collect();
        known.push(FILE_VARIABLE.to_owned());
        let own = self
            .environment
            .iter()
            .filter(|(name, _)| name.starts_with(PREFIX));
        for (name, value) in own {
            if known.contains(name) {
                continue;
            }
            let suggestion = nearest(name, PREFIX, known.iter().map(String::as_str));
            if suggestion.is_none() && !name.starts_with("LEVERET_LIMITS_") {
                continue;
            }
            let shown = Value::Word(value.to_string_lossy().into_owned());
            return Err(ConfigError::Unknown {
                key: name.clone(),
                value: shown_of_unknown(name, &shown),
                origin: Origin::Environment(name.clone()),
                suggestion,
            });
        }
        Ok(())
    }

    fn apply_flags(&self, assembly: &mut Assembly) -> Result<(), ConfigError> {
        for flag in &self.flags {
            let origin = Origin::Flag(flag.name.clone());
            let value = Value::Word(flag.value.clone());
            let Some(setting) = Setting::find(&flag.key) else {
                return Err(unknown(flag.key.clone(), &value, origin));
            };
            if setting.is_secret() {
                let reason = "a flag shows it to everybody on this machine; use the environment \
                              or a file";
                return Err(invalid(
                    setting,
                    setting.shown(&value),
                    origin,
                    reason.to_owned(),
                ));
            }
            assembly.apply(setting, value, origin)?;
        }
        Ok(())
    }
}

/// A draft, and where its values came from so far.
#[derive(Debug)]
struct Assembly {
    draft: Draft,
    origins: HashMap<&'static str, Origin>,
}

impl Assembly {
    fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    fn apply(&mut self, setting: Setting, value: Value, origin: Origin) -> Result<(), ConfigError> {
        let shown = setting.shown(&value);
        match setting.write(&mut self.draft, value) {
            Ok(()) => {
                self.origins.insert(setting.key(), origin);
                Ok(())
            }
            Err(reason) => Err(invalid(setting, shown, origin, reason)),
        }
    }

    /// A folder and "in memory" contradict each other: the stronger source wins.
    fn settle_memory(&mut self) -> Result<(), ConfigError> {
        let (folder, memory) = (self.origin("data_dir"), self.origin("in_memory"));
        if !self.draft.in_memory {
            return Ok(());
        }
        if folder.rank() > memory.rank() {
            self.draft.in_memory = false;
        } else if folder.rank() == memory.rank() && folder != Origin::Default {
            return Err(ConfigError::Invalid {
                key: "in_memory".to_owned(),
                value: "true".to_owned(),
                origin: memory,
                reason: format!("contradicts data_dir, given by {folder}"),
            });
        } else {
            self.draft.broker.data_dir = None;
        }
        Ok(())
    }

    fn finish(self) -> LoadedConfig {
        let values = Setting::all()
            .filter_map(|setting| {
                let value = setting.read(&self.draft)?;
                Some(ConfigValue {
                    key: setting.key(),
                    value: setting.shown(&value),
                    origin: self.origin(setting.key()),
                    variables: setting.variables(),
                    about: setting
                        .about()
                        .iter()
                        .map(|line| line.trim())
                        .collect::<Vec<_>>()
                        .join(" "),
                })
            })
            .collect();
        LoadedConfig {
            broker: self.draft.broker,
            log: self.draft.log,
            values,
        }
    }
}

fn unknown(key: String, value: &Value, origin: Origin) -> ConfigError {
    let suggestion = nearest(&key, "", Setting::all().map(Setting::key));
    ConfigError::Unknown {
        value: shown_of_unknown(&key, value),
        key,
        origin,
        suggestion,
    }
}

/// A mistyped name may be that of a secret.
fn shown_of_unknown(key: &str, value: &Value) -> String {
    let key = key.to_lowercase();
    if ["pas", "secret", "token", "pwd"]
        .iter()
        .any(|word| key.contains(word))
    {
        return "\"********\"".to_owned();
    }
    value.to_string()
}
