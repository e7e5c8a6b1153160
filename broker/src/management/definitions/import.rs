//! Bringing in what a file defines (spec 8.4.4).
//!
//! Not all or nothing, as in RabbitMQ: what comes before the first mistake stays. Users, virtual
//! hosts, policies, parameters and rights replace those of the same name; queues, exchanges and
//! bindings that exist are left as they are.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::engine::{BindingRequest, Engine, QueueDeclaration, Rights, VirtualHost};
use crate::management::queues::NO_CONNECTION;
use crate::management::{Refusal, table};
use crate::model::policy::{PolicyDefinition, PolicyScope, json_term};
use crate::model::{
    AmqpError, Arguments, DestinationKind, ExchangeArguments, ExchangeDefinition, ExchangeKind,
    ExchangeName, HashAlgorithm, PasswordHash, Permission, QueueDefinition, QueueName, QueueType,
    Secret, Tags, TopicPermission, User, UserLimits, UserName, VirtualHostLimits,
    VirtualHostMetadata, VirtualHostName,
};

/// Objects of one kind in one file (spec 13.16).
const OBJECTS_MAX: usize = 1_000_000;

/// Why definitions are not brought in, or not all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ImportError(String);

impl ImportError {
    fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }

    /// Spells a refused declaration as RabbitMQ does.
    fn refused(error: &AmqpError) -> Self {
        Self(format!("precondition_failed: {}", error.text))
    }
}

/// Where definitions go.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Each says itself where.
    Broker,
    /// All into this virtual host.
    Host(Arc<VirtualHost>),
}

/// Reads a file; nothing at all defines nothing.
pub(super) fn parse(text: &[u8]) -> Result<Map<String, Value>, ImportError> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(text) {
        Ok(Value::Object(definitions)) => Ok(definitions),
        Ok(_) | Err(_) => Err(ImportError::new("failed_to_parse_json")),
    }
}

/// One import.
#[derive(Debug)]
pub(super) struct Import<'a> {
    pub(super) engine: &'a Arc<Engine>,
    pub(super) target: Target,
    /// Who gets all rights in virtual hosts that are made.
    pub(super) creator: Option<UserName>,
}

type Object = Map<String, Value>;
type Step<'a> = fn(&Import<'a>, &Object) -> Result<(), ImportError>;

impl<'a> Import<'a> {
    /// Brings everything in, in the order in which one thing may need another.
    pub(super) fn run(&self, file: &Object) -> Result<(), ImportError> {
        let of_broker: [(&str, Step<'a>); 4] = [
            ("vhosts", Self::virtual_host),
            ("permissions", Self::permission),
            ("topic_permissions", Self::topic_permission),
            ("global_parameters", Self::global_parameter),
        ];
        let of_hosts: [(&str, Step<'a>); 5] = [
            ("parameters", Self::parameter),
            ("policies", Self::policy),
            ("queues", Self::queue),
            ("exchanges", Self::exchange),
            ("bindings", Self::binding),
        ];
        if matches!(self.target, Target::Broker) {
            let is_old = has_md5_hashes(file);
            for user in objects(file, "users")? {
                self.user(user?, is_old)?;
            }
            self.steps(file, &of_broker)?;
        }
        self.steps(file, &of_hosts)
    }

    fn steps(&self, file: &Object, steps: &[(&str, Step<'a>)]) -> Result<(), ImportError> {
        for (name, step) in steps {
            for object in objects(file, name)? {
                step(self, object?)?;
            }
        }
        Ok(())
    }

    fn host(&self, object: &Object) -> Result<Arc<VirtualHost>, ImportError> {
        let name = match &self.target {
            Target::Host(host) => return Ok(Arc::clone(host)),
            Target::Broker => text(object, "vhost").unwrap_or("undefined"),
        };
        self.engine.virtual_host(name).ok_or_else(|| {
            ImportError(format!(
                "Please create virtual host \"{name}\" prior to importing definitions."
            ))
        })
    }

    fn user(&self, object: &Object, is_old: bool) -> Result<(), ImportError> {
        let name = UserName::from(required(object, "name")?);
        let tags = match object.get("tags") {
            Some(Value::String(tags)) => Tags::parse(tags),
            Some(Value::Array(tags)) => Tags::new(tags.iter().filter_map(Value::as_str)),
            Some(_) | None => return Err(ImportError::new("tags_not_present")),
        };
        let limits: UserLimits = parsed(object, "limits")?;
        self.engine.put_user(User {
            name: name.clone(),
            password: self.password(object, is_old)?,
            tags: tags.map_err(ImportError::new)?,
            limits,
        });
        self.engine
            .limit_user(name.as_str(), |current| *current = limits);
        Ok(())
    }

    fn password(&self, object: &Object, is_old: bool) -> Result<PasswordHash, ImportError> {
        if let Some(password) = text(object, "password") {
            let password = Secret::new(password.as_bytes());
            let access = &self.engine.access;
            access.check_password(&password).map_err(ImportError::new)?;
            return Ok(access.hash(&password));
        }
        let algorithm = match text(object, "hashing_algorithm") {
            Some(name) => HashAlgorithm::parse(name).map_err(ImportError::new)?,
            None if is_old => HashAlgorithm::Md5,
            None => HashAlgorithm::Sha256,
        };
        match object.get("password_hash") {
            None => Ok(PasswordHash::none()),
            Some(Value::String(hash)) if hash.is_empty() => Ok(PasswordHash::none()),
            Some(Value::String(hash)) => PasswordHash::from_base64(algorithm, hash)
                // The hash itself is not repeated: errors are logged.
                .map_err(|_| ImportError::new("not_base64")),
            Some(_) => Err(ImportError::new("not_base64")),
        }
    }

    fn virtual_host(&self, object: &Object) -> Result<(), ImportError> {
        let name = VirtualHostName::from(required(object, "name")?);
        let inner: Object = parsed(object, "metadata")?;
        let said = |key: &str| inner.get(key).or_else(|| object.get(key)).cloned();
        let tags = said("tags").and_then(|tags| serde_json::from_value(tags).ok());
        let text = |key: &str| said(key).and_then(|value| value.as_str().map(str::to_owned));
        let metadata = VirtualHostMetadata {
            description: text("description").unwrap_or_default(),
            tags: tags.unwrap_or_default(),
            // A type that there is not, such as streams, is no default.
            default_queue_type: text("default_queue_type").and_then(|name| QueueType::named(&name)),
            protected_from_deletion: None,
        };
        self.engine
            .put_virtual_host(&name, metadata, self.creator.as_ref())
            .map_err(ImportError::new)?;
        if let Some(protected) = said("protected_from_deletion").and_then(|said| said.as_bool()) {
            self.engine.protect_virtual_host(name.as_str(), protected);
        }
        if object.contains_key("limits") {
            let limits: VirtualHostLimits = parsed(object, "limits")?;
            self.engine
                .limit_virtual_host(name.as_str(), |current| *current = limits);
        }
        Ok(())
    }

    /// The host and the user of a right.
    fn holder(&self, object: &Object) -> Result<(VirtualHostName, UserName), ImportError> {
        let host = self.host(object)?;
        let user = required(object, "user")?;
        if self.engine.access.table().user(user).is_none() {
            let user = json_term(&Value::String(user.to_owned()));
            return Err(ImportError(format!("{{no_such_user,{user}}}")));
        }
        Ok((host.name().clone(), UserName::from(user)))
    }

    fn permission(&self, object: &Object) -> Result<(), ImportError> {
        let (host, user) = self.holder(object)?;
        let pattern = |key: &str| required(object, key).map(str::to_owned);
        let permission = Permission {
            configure: pattern("configure")?,
            write: pattern("write")?,
            read: pattern("read")?,
        };
        permission.check().map_err(ImportError::new)?;
        let set = self.engine.set_permission(&host, &user, permission);
        set.map(drop).map_err(ImportError::new)
    }

    fn topic_permission(&self, object: &Object) -> Result<(), ImportError> {
        let (host, user) = self.holder(object)?;
        let exchange = ExchangeName::from(required(object, "exchange")?);
        let permission = TopicPermission {
            write: required(object, "write")?.to_owned(),
            read: required(object, "read")?.to_owned(),
        };
        permission.check().map_err(ImportError::new)?;
        let set = self
            .engine
            .set_topic_permission(&host, &user, &exchange, permission);
        set.map(drop).map_err(ImportError::new)
    }

    fn global_parameter(&self, object: &Object) -> Result<(), ImportError> {
        let name = required(object, "name")?;
        let value = object.get("value").cloned().unwrap_or_default();
        self.engine.put_global_parameter(name, value);
        Ok(())
    }

    fn parameter(&self, object: &Object) -> Result<(), ImportError> {
        let (component, name) = (required(object, "component")?, required(object, "name")?);
        let host = self.host(object)?;
        let value = object.get("value").cloned().unwrap_or_default();
        host.put_any_parameter(self.engine, component, name, value)
            .map(drop)
            .map_err(|error| {
                let host = host.name();
                ImportError(format!(
                    "{error} (vhost: \"{host}\" / component: \"{component}\" / key: \"{name}\")"
                ))
            })
    }

    fn policy(&self, object: &Object) -> Result<(), ImportError> {
        let name = required(object, "name")?;
        let host = self.host(object)?;
        let settings = object.get("definition").and_then(Value::as_object);
        if settings.is_some_and(|settings| settings.keys().any(|key| key.starts_with("ha-"))) {
            // Of mirrored queues, which RabbitMQ no longer has either.
            tracing::warn!(policy = name, vhost = %host.name(), "a policy of mirrors is left out");
            return Ok(());
        }
        let policy = PolicyDefinition::parse(PolicyScope::User, name, object).map_err(|error| {
            let host = host.name();
            ImportError(format!("{error} (vhost: \"{host}\" key: \"{name}\")"))
        })?;
        host.put_policy(self.engine, PolicyScope::User, policy);
        Ok(())
    }

    fn queue(&self, object: &Object) -> Result<(), ImportError> {
        let name = required(object, "name")?;
        let host = self.host(object)?;
        if host.queue(name).is_some() {
            return Ok(());
        }
        let declaration = QueueDeclaration {
            definition: QueueDefinition {
                name: QueueName::from(name),
                durable: truth(object, "durable", true),
                auto_delete: truth(object, "auto_delete", false),
                exclusive: false,
                arguments: arguments(object)?,
            },
            connection: NO_CONNECTION,
            rights: Arc::new(Rights::of_the_broker(host.name())),
        };
        let declared = host.declare_queue(self.engine, declaration);
        declared
            .map(drop)
            .map_err(|error| ImportError::refused(&error))
    }

    fn exchange(&self, object: &Object) -> Result<(), ImportError> {
        let name = ExchangeName::from(required(object, "name")?);
        let host = self.host(object)?;
        // RabbitMQ's own exchange for its log, which it exports like others.
        if host.exchange(name.as_str()).is_some() || name.as_str().starts_with("amq.") {
            return Ok(());
        }
        let kind = text(object, "type").unwrap_or("undefined");
        let kind = ExchangeKind::parse(kind).ok_or_else(|| {
            ImportError(format!(
                "precondition_failed: invalid exchange type '{kind}'"
            ))
        })?;
        let arguments = arguments(object)?;
        let parsed = ExchangeArguments::parse(kind, arguments.fields())
            .map_err(|error| ImportError::refused(&error.for_exchange(&name, host.name())))?;
        let definition = ExchangeDefinition {
            name,
            kind,
            durable: truth(object, "durable", true),
            auto_delete: truth(object, "auto_delete", false),
            internal: truth(object, "internal", false),
            alternate: parsed.alternate,
            arguments,
        };
        let rights = Rights::of_the_broker(host.name());
        let declared = host.declare_exchange(self.engine, &rights, definition);
        declared
            .map(drop)
            .map_err(|error| ImportError::refused(&error))
    }

    fn binding(&self, object: &Object) -> Result<(), ImportError> {
        let source = required(object, "source")?;
        if source.is_empty() {
            // Every queue has that one by itself.
            return Ok(());
        }
        let host = self.host(object)?;
        let destination_kind = match required(object, "destination_type")? {
            "queue" => DestinationKind::Queue,
            "exchange" => DestinationKind::Exchange,
            other => return Err(ImportError(format!("'{other}' is no destination_type"))),
        };
        let request = BindingRequest {
            source: ExchangeName::from(source),
            destination_kind,
            destination: required(object, "destination")?.to_owned(),
            routing_key: required(object, "routing_key")?.to_owned(),
            arguments: arguments(object)?.sorted(),
            connection: NO_CONNECTION,
        };
        let rights = Rights::of_the_broker(host.name());
        host.bind(self.engine, &rights, &request)
            .map(drop)
            .map_err(|error| ImportError::new(error.text))
    }
}

/// The objects of one kind.
fn objects<'f>(
    file: &'f Object,
    name: &str,
) -> Result<impl Iterator<Item = Result<&'f Object, ImportError>>, ImportError> {
    let list = match file.get(name) {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(list)) => list,
        Some(_) => return Err(ImportError(format!("{name} is no list"))),
    };
    if list.len() > OBJECTS_MAX {
        return Err(ImportError(format!("more than {OBJECTS_MAX} {name}")));
    }
    let name = name.to_owned();
    Ok(list.iter().map(move |value| {
        value
            .as_object()
            .ok_or_else(|| ImportError(format!("one of the {name} is no object")))
    }))
}

fn text<'o>(object: &'o Object, key: &str) -> Option<&'o str> {
    object.get(key).and_then(Value::as_str)
}

fn required<'o>(object: &'o Object, key: &str) -> Result<&'o str, ImportError> {
    text(object, key).ok_or_else(|| ImportError(format!("[{{key_missing,{key}}}]")))
}

fn truth(object: &Object, key: &str, default: bool) -> bool {
    object.get(key).and_then(Value::as_bool).unwrap_or(default)
}

fn parsed<T: serde::de::DeserializeOwned + Default>(
    object: &Object,
    key: &str,
) -> Result<T, ImportError> {
    match object.get(key) {
        // Old versions wrote an empty list for an empty object.
        None | Some(Value::Null | Value::Array(_)) => Ok(T::default()),
        Some(value) => serde_json::from_value(value.clone()).map_err(ImportError::new),
    }
}

fn arguments(object: &Object) -> Result<Arguments, ImportError> {
    table::arguments(object.get("arguments"))
        .map_err(|refusal: Refusal| ImportError(refusal.reason()))
}

/// Whether the version that wrote the file hashed with MD5 and did not say so: those before 3.6.
fn has_md5_hashes(file: &Object) -> bool {
    let version = text(file, "rabbit_version").or_else(|| text(file, "rabbitmq_version"));
    let minor = version.and_then(|version| version.strip_prefix("3."));
    let minor = minor.and_then(|rest| rest.split('.').next());
    minor
        .and_then(|minor| minor.parse::<u32>().ok())
        .is_some_and(|minor| minor < 6)
}
