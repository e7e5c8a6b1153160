//! Runtime parameters (spec 7.8.1): values that plugins and tools keep in the broker. Those that mean
//! something here, policies and limits, are kept where they mean it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::{Map, Value};

use super::Engine;
use super::definitions::Changes;
use super::policies::PolicyPut;
use super::virtual_host::VirtualHost;
use crate::model::policy::{PolicyDefinition, PolicyError, PolicyScope, json_term};
use crate::model::{Entity, EntityKey, VirtualHostLimits};
use crate::store::Ticket;

/// The components of RabbitMQ's plugins whose parameters are kept, so that definitions pass through
/// unharmed. Nothing is done about them.
const INERT_COMPONENTS: [&str; 3] = ["federation-upstream", "federation-upstream-set", "shovel"];

/// Parameters of one virtual host, by component and name.
pub(crate) type HostParameters = RwLock<BTreeMap<(String, String), Value>>;

/// Parameters of the whole broker, by name.
pub(crate) type GlobalParameters = RwLock<BTreeMap<String, Value>>;

/// The global parameter that gives the cluster another name than the configured one.
pub(crate) const CLUSTER_NAME: &str = "cluster_name";

/// Bytes of a cluster's name: every client is told it before it has said who it is.
const CLUSTER_NAME_BYTES_MAX: usize = 255;

/// A parameter that was set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParameterPut {
    /// Whether there was one of that name.
    pub(crate) existed: bool,
    /// The answer must wait until this is durable.
    pub(crate) ticket: Ticket,
}

/// Whether parameters of that component are kept although they mean nothing here.
fn is_inert_component(component: &str) -> bool {
    INERT_COMPONENTS.contains(&component)
}

impl VirtualHost {
    /// Its parameters: component, name, value.
    pub(crate) fn parameters(&self) -> Vec<(String, String, Value)> {
        let parameters = self.parameters.read();
        parameters
            .iter()
            .map(|((component, name), value)| (component.clone(), name.clone(), value.clone()))
            .collect()
    }

    /// Sets a parameter.
    pub(crate) fn put_parameter(
        &self,
        engine: &Engine,
        component: &str,
        name: &str,
        value: Value,
    ) -> ParameterPut {
        let _definitions = self.definitions.lock();
        let mut changes = Changes::default();
        changes.put(Entity::Parameter {
            virtual_host: self.name().clone(),
            component: component.to_owned(),
            name: name.to_owned(),
            value: value.clone(),
        });
        ParameterPut {
            existed: self.restore_parameter(component.to_owned(), name.to_owned(), value),
            ticket: changes.submit(engine),
        }
    }

    /// Removes a parameter; `None` if there is none.
    pub(crate) fn remove_parameter(
        &self,
        engine: &Engine,
        component: &str,
        name: &str,
    ) -> Option<Ticket> {
        let _definitions = self.definitions.lock();
        let key = (component.to_owned(), name.to_owned());
        self.parameters.write().remove(&key)?;
        let mut changes = Changes::default();
        changes.remove(self.parameter_key(key));
        Some(changes.submit(engine))
    }

    /// Takes over a parameter without recording it; whether there was one.
    pub(super) fn restore_parameter(&self, component: String, name: String, value: Value) -> bool {
        let mut parameters = self.parameters.write();
        parameters.insert((component, name), value).is_some()
    }

    /// Removes all parameters, with a host that goes.
    pub(super) fn drop_parameters(&self, changes: &mut Changes) {
        for key in std::mem::take(&mut *self.parameters.write()).into_keys() {
            changes.remove(self.parameter_key(key));
        }
    }

    fn parameter_key(&self, (component, name): (String, String)) -> EntityKey {
        EntityKey::Parameter {
            virtual_host: self.name().clone(),
            component,
            name,
        }
    }
}

impl Engine {
    /// The parameters of the whole broker.
    pub(crate) fn global_parameters(&self) -> BTreeMap<String, Value> {
        self.global_parameters.read().clone()
    }

    /// The name that was given to the cluster at run time, if it is one that clients can be told.
    pub(crate) fn cluster_name(&self) -> Option<String> {
        let parameters = self.global_parameters.read();
        let name = parameters.get(CLUSTER_NAME)?.as_str()?;
        (name.len() <= CLUSTER_NAME_BYTES_MAX).then(|| name.to_owned())
    }

    /// Sets a parameter of the whole broker.
    pub(crate) fn put_global_parameter(&self, name: &str, value: Value) -> ParameterPut {
        let _administration = self.administration.lock();
        let mut changes = Changes::default();
        changes.put(Entity::GlobalParameter {
            name: name.to_owned(),
            value: value.clone(),
        });
        ParameterPut {
            existed: self.restore_global_parameter(name.to_owned(), value),
            ticket: changes.submit(self),
        }
    }

    /// Removes a parameter of the whole broker; `None` if there is none.
    pub(crate) fn remove_global_parameter(&self, name: &str) -> Option<Ticket> {
        let _administration = self.administration.lock();
        self.global_parameters.write().remove(name)?;
        let mut changes = Changes::default();
        changes.remove(EntityKey::GlobalParameter {
            name: name.to_owned(),
        });
        Some(changes.submit(self))
    }

    /// Takes over a parameter without recording it; whether there was one.
    pub(super) fn restore_global_parameter(&self, name: String, value: Value) -> bool {
        self.global_parameters.write().insert(name, value).is_some()
    }
}

/// A parameter as RabbitMQ lists it: policies and limits among them.
#[derive(Clone, Debug)]
pub(crate) struct AnyParameter {
    /// What it is for.
    pub(crate) component: String,
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: Value,
}

/// Why a parameter is not set; the text is RabbitMQ's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParameterError {
    /// It is a policy, and not a good one.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Nobody knows such parameters.
    #[error("Validation failed\n\ncomponent {0} not found\n")]
    NoComponent(String),
    /// It is a policy without some of its parts.
    #[error("Validation failed\n\n{}", .keys.iter().map(|key| format!("Key \"{key}\" not found in {name}\n")).collect::<String>())]
    Missing {
        /// Its name.
        name: String,
        /// What it lacks.
        keys: Vec<&'static str>,
    },
    /// It has to be an object.
    #[error("Validation failed\n\n{name} not a list {}\n", json_term(.value))]
    NoObject {
        /// Its name.
        name: String,
        /// What it is.
        value: Value,
    },
    /// It is a limit, and not a good one.
    #[error("Validation failed\n\n{0}\n")]
    Limits(String),
}

/// The component of limits, and the one name that they have there.
const LIMITS: (&str, &str) = ("vhost-limits", "limits");

impl VirtualHost {
    /// Everything that RabbitMQ keeps as parameters: policies, limits, and the rest.
    pub(crate) fn all_parameters(&self) -> Vec<AnyParameter> {
        let any = |component: &str, name: &str, value: Value| AnyParameter {
            component: component.to_owned(),
            name: name.to_owned(),
            value,
        };
        let mut all = Vec::new();
        for scope in [PolicyScope::Operator, PolicyScope::User] {
            let policies = self.policies(scope).into_iter();
            all.extend(policies.map(|policy| any(scope.component(), &policy.name, policy.value())));
        }
        let limits = self.limits();
        if !limits.is_empty() {
            let value = serde_json::to_value(limits).unwrap_or_default();
            all.push(any(LIMITS.0, LIMITS.1, value));
        }
        let others = self.parameters().into_iter();
        all.extend(others.map(|(component, name, value)| any(&component, &name, value)));
        all
    }

    /// Sets a parameter of whatever component.
    pub(crate) fn put_any_parameter(
        &self,
        engine: &Arc<Engine>,
        component: &str,
        name: &str,
        value: Value,
    ) -> Result<ParameterPut, ParameterError> {
        let scopes = [PolicyScope::User, PolicyScope::Operator];
        if let Some(scope) = scopes
            .into_iter()
            .find(|scope| scope.component() == component)
        {
            let policy = PolicyDefinition::parse(scope, name, policy_body(name, &value)?)?;
            let PolicyPut { existed, ticket } = self.put_policy(engine, scope, policy);
            return Ok(ParameterPut { existed, ticket });
        }
        if (component, name) == LIMITS {
            let limits = limits(object(name, &value)?).map_err(ParameterError::Limits)?;
            let existed = !self.limits().is_empty();
            let ticket = engine
                .limit_virtual_host(self.name().as_str(), |current| *current = limits)
                .unwrap_or_default();
            return Ok(ParameterPut { existed, ticket });
        }
        if !is_inert_component(component) {
            return Err(ParameterError::NoComponent(component.to_owned()));
        }
        Ok(self.put_parameter(engine, component, name, value))
    }

    /// Removes a parameter of whatever component; `None` if there is none.
    pub(crate) fn remove_any_parameter(
        &self,
        engine: &Arc<Engine>,
        component: &str,
        name: &str,
    ) -> Option<Ticket> {
        let scopes = [PolicyScope::User, PolicyScope::Operator];
        if let Some(scope) = scopes
            .into_iter()
            .find(|scope| scope.component() == component)
        {
            return self.remove_policy(engine, scope, name);
        }
        if (component, name) == LIMITS {
            if self.limits().is_empty() {
                return None;
            }
            let none = VirtualHostLimits::default();
            return engine.limit_virtual_host(self.name().as_str(), |current| *current = none);
        }
        self.remove_parameter(engine, component, name)
    }
}

fn object<'v>(name: &str, value: &'v Value) -> Result<&'v Map<String, Value>, ParameterError> {
    value.as_object().ok_or_else(|| ParameterError::NoObject {
        name: name.to_owned(),
        value: value.clone(),
    })
}

/// A policy as a parameter; there it needs a priority, too.
fn policy_body<'v>(name: &str, value: &'v Value) -> Result<&'v Map<String, Value>, ParameterError> {
    let body = object(name, value)?;
    let mut keys = vec!["definition", "pattern", "priority"];
    keys.retain(|key| !body.contains_key(*key));
    if keys.is_empty() {
        return Ok(body);
    }
    let name = name.to_owned();
    Err(ParameterError::Missing { name, keys })
}

/// Reads limits (spec 7.8.2), or says what is wrong with them.
fn limits(entries: &Map<String, Value>) -> Result<VirtualHostLimits, String> {
    let mut limits = VirtualHostLimits::default();
    for (name, value) in entries {
        let Some(limit) = limits.named(name) else {
            let name = json_term(&Value::String(name.clone()));
            return Err(format!(
                "Unrecognised terms [{{{name},{}}}] in limits",
                json_term(value)
            ));
        };
        let number = value.as_i64();
        *limit = Some(number.ok_or_else(|| {
            format!(
                "{name} should be a number, actually was {}",
                json_term(value)
            )
        })?);
    }
    Ok(limits)
}
