//! Definitions as a file has them (spec 8.4.1, 8.4.2, 8.4.3).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::engine::{Engine, VirtualHost};
use crate::management::table;
use crate::model::policy::PolicyScope;
use crate::model::{AccessTable, DestinationKind};

/// What a file says of where it comes from.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) product: String,
    pub(super) version: String,
    pub(super) cluster: String,
}

impl About {
    fn facts(&self, format: &str, explanation: String) -> Map<String, Value> {
        [
            ("rabbit_version", self.version.clone()),
            ("rabbitmq_version", self.version.clone()),
            ("product_name", self.product.clone()),
            ("product_version", self.version.clone()),
            ("rabbitmq_definition_format", format.to_owned()),
            ("explanation", explanation),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
    }
}

/// Everything that is defined.
pub(super) fn of_broker(engine: &Engine, about: &About) -> Value {
    let cluster = &about.cluster;
    let mut file = about.facts("cluster", format!("Definitions of cluster '{cluster}'"));
    let mut hosts = engine.virtual_hosts();
    hosts.sort_by(|left, right| left.name().cmp(right.name()));
    let access = engine.access.table();
    let listed: Vec<Value> = hosts
        .iter()
        .map(|host| {
            json!({ "name": host.name(), "metadata": metadata(host), "limits": host.limits() })
        })
        .collect();
    file.insert("original_cluster_name".to_owned(), cluster.as_str().into());
    file.insert("vhosts".to_owned(), listed.into());
    file.insert("users".to_owned(), users(&access));
    let (permissions, topics) = permissions(&access);
    file.insert("permissions".to_owned(), permissions);
    file.insert("topic_permissions".to_owned(), topics);
    file.insert("global_parameters".to_owned(), globals(engine, cluster));
    for (name, list) in LISTS {
        let items = hosts.iter().flat_map(|host| {
            let place = host.name().as_str();
            list(host).into_iter().map(move |mut item| {
                item["vhost"] = place.into();
                item
            })
        });
        file.insert(name.to_owned(), items.collect());
    }
    Value::Object(file)
}

/// Everything that is defined in one virtual host.
pub(super) fn of_host(host: &Arc<VirtualHost>, about: &About) -> Value {
    let name = host.name();
    let explanation = format!("Definitions of virtual host '{name}'");
    let mut file = about.facts("single_virtual_host", explanation);
    let metadata = metadata(host);
    file.insert("original_vhost_name".to_owned(), name.as_str().into());
    file.insert("description".to_owned(), metadata["description"].clone());
    file.insert("metadata".to_owned(), metadata);
    file.insert("limits".to_owned(), json!(host.limits()));
    for (name, list) in LISTS {
        file.insert(name.to_owned(), list(host).into());
    }
    Value::Object(file)
}

fn metadata(host: &VirtualHost) -> Value {
    let metadata = host.metadata();
    let mut shown = json!({
        "description": metadata.description,
        "tags": metadata.tags,
        "default_queue_type": metadata.default_queue_type.unwrap_or_default().as_str(),
    });
    if let Some(protected) = metadata.protected_from_deletion {
        shown["protected_from_deletion"] = protected.into();
    }
    shown
}

fn users(access: &AccessTable) -> Value {
    let users = access.users().map(|user| {
        let (algorithm, hash) = user.password.exported();
        json!({
            "name": user.name,
            "password_hash": hash,
            "hashing_algorithm": algorithm.as_str(),
            "tags": user.tags,
            "limits": user.limits,
        })
    });
    users.collect()
}

fn permissions(access: &AccessTable) -> (Value, Value) {
    let (mut permissions, mut topics) = (Vec::new(), Vec::new());
    for (host, user, row) in access.rows() {
        if let Some(permission) = &row.permission {
            permissions.push(json!({
                "user": user, "vhost": host, "configure": permission.configure,
                "write": permission.write, "read": permission.read,
            }));
        }
        topics.extend(row.topics.iter().map(|(exchange, permission)| {
            json!({
                "user": user, "vhost": host, "exchange": exchange, "write": permission.write,
                "read": permission.read,
            })
        }));
    }
    (permissions.into(), topics.into())
}

fn globals(engine: &Engine, cluster: &str) -> Value {
    let mut globals = engine.global_parameters();
    globals
        .entry("cluster_name".to_owned())
        .or_insert_with(|| cluster.into());
    let globals = globals.into_iter();
    globals
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect()
}

type List = fn(&VirtualHost) -> Vec<Value>;

/// What every virtual host has lists of.
const LISTS: [(&str, List); 5] = [
    ("parameters", parameters),
    ("policies", policies),
    ("queues", queues),
    ("exchanges", exchanges),
    ("bindings", bindings),
];

fn parameters(host: &VirtualHost) -> Vec<Value> {
    let parameters = host.all_parameters().into_iter();
    parameters
        .filter(|parameter| parameter.component != PolicyScope::User.component())
        .map(|parameter| {
            json!({
                "component": parameter.component, "name": parameter.name,
                "value": parameter.value,
            })
        })
        .collect()
}

fn policies(host: &VirtualHost) -> Vec<Value> {
    let policies = host.policies(PolicyScope::User).into_iter();
    policies
        .map(|policy| {
            let mut value = policy.value();
            value["name"] = policy.name.as_str().into();
            value
        })
        .collect()
}

fn queues(host: &VirtualHost) -> Vec<Value> {
    let mut queues = host.all_queues();
    queues.retain(|queue| !queue.definition().exclusive);
    queues.sort_by(|left, right| left.name().cmp(right.name()));
    let listed = queues.iter().map(|queue| {
        let definition = queue.definition();
        let queue_type = queue.arguments().queue_type().as_str();
        let mut arguments = table::to_json(definition.arguments.fields());
        if arguments.get("x-queue-type").is_none() {
            arguments["x-queue-type"] = queue_type.into();
        }
        json!({
            "name": definition.name, "type": queue_type, "durable": definition.durable,
            "auto_delete": definition.auto_delete, "arguments": arguments,
        })
    });
    listed.collect()
}

/// Those that the broker makes by itself, and internal ones, are left out.
fn exchanges(host: &VirtualHost) -> Vec<Value> {
    let mut exchanges = host.all_exchanges();
    exchanges.retain(|exchange| {
        let definition = &exchange.definition;
        !definition.internal && !VirtualHost::is_predeclared(definition.name.as_str())
    });
    exchanges.sort_by(|left, right| left.definition.name.cmp(&right.definition.name));
    let listed = exchanges.iter().map(|exchange| {
        let definition = &exchange.definition;
        json!({
            "name": definition.name, "type": definition.kind.as_str(),
            "durable": definition.durable, "auto_delete": definition.auto_delete,
            "arguments": table::to_json(definition.arguments.fields()),
        })
    });
    listed.collect()
}

fn bindings(host: &VirtualHost) -> Vec<Value> {
    let bindings = host.shared_bindings().into_iter();
    bindings
        .map(|binding| {
            let kind = match binding.destination_kind {
                DestinationKind::Queue => "queue",
                DestinationKind::Exchange => "exchange",
            };
            json!({
                "source": binding.source, "destination": binding.destination,
                "destination_type": kind, "routing_key": binding.routing_key,
                "arguments": table::to_json(binding.arguments.fields()),
            })
        })
        .collect()
}
