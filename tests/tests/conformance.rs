//! The conformance suites: each behaviour once, on our broker and on a real RabbitMQ.
//!
//! One binary for all of them, since linking is what takes the time. A test's doc comment names
//! the lines of the behavioural specification that it proves, as in `Spec 1.1.1.`; the table in
//! `docs/compatibility.md` is made from these.

#[path = "conformance/access.rs"]
mod access;
#[path = "conformance/administration.rs"]
mod administration;
#[path = "conformance/alarms.rs"]
mod alarms;
#[path = "conformance/arguments.rs"]
mod arguments;
#[path = "conformance/channel.rs"]
mod channel;
#[path = "conformance/confirm.rs"]
mod confirm;
#[path = "conformance/connection.rs"]
mod connection;
#[path = "conformance/consume.rs"]
mod consume;
#[path = "conformance/dead_letter.rs"]
mod dead_letter;
#[path = "conformance/deduplication.rs"]
mod deduplication;
#[path = "conformance/definitions.rs"]
mod definitions;
#[path = "conformance/delayed.rs"]
mod delayed;
#[path = "conformance/dying.rs"]
mod dying;
#[path = "conformance/exchange.rs"]
mod exchange;
#[path = "conformance/exclusive.rs"]
mod exclusive;
#[path = "conformance/expiry.rs"]
mod expiry;
#[path = "conformance/flow.rs"]
mod flow;
#[path = "conformance/frames.rs"]
mod frames;
#[path = "conformance/frameworks.rs"]
mod frameworks;
#[path = "conformance/hashes.rs"]
mod hashes;
#[path = "conformance/hostile.rs"]
mod hostile;
#[path = "conformance/hosting.rs"]
mod hosting;
#[path = "conformance/length.rs"]
mod length;
#[path = "conformance/lifecycle.rs"]
mod lifecycle;
#[path = "conformance/parameters.rs"]
mod parameters;
#[path = "conformance/policies.rs"]
mod policies;
#[path = "conformance/policy_settings.rs"]
mod policy_settings;
#[path = "conformance/priority.rs"]
mod priority;
#[path = "conformance/properties.rs"]
mod properties;
#[path = "conformance/publish.rs"]
mod publish;
#[path = "conformance/qos.rs"]
mod qos;
#[path = "conformance/queue.rs"]
mod queue;
#[path = "conformance/quorum.rs"]
mod quorum;
#[path = "conformance/reply_to.rs"]
mod reply_to;
#[path = "conformance/routing.rs"]
mod routing;
#[path = "conformance/sasl.rs"]
mod sasl;
#[path = "conformance/settle.rs"]
mod settle;
#[path = "conformance/single_active.rs"]
mod single_active;
#[path = "conformance/states.rs"]
mod states;
#[path = "conformance/tables.rs"]
mod tables;
#[path = "conformance/timeouts.rs"]
mod timeouts;
#[path = "conformance/ttl.rs"]
mod ttl;
#[path = "conformance/tx.rs"]
mod tx;
#[path = "conformance/vanish.rs"]
mod vanish;
#[path = "conformance/virtual_hosts.rs"]
mod virtual_hosts;
