//! RabbitMQ's HTTP API, on Leveret and on RabbitMQ: the same requests, the same answers.
//!
//! `RABBITMQ_URL` and `RABBITMQ_MANAGEMENT_URL` name the RabbitMQ to compare with; without them the
//! tests run on Leveret alone, and say so.

#[path = "management/admin.rs"]
mod admin;
#[path = "management/api.rs"]
mod api;
#[path = "management/authorisation.rs"]
mod authorisation;
#[path = "management/cluster.rs"]
mod cluster;
#[path = "management/hostile.rs"]
mod hostile;
#[path = "management/messages.rs"]
mod messages;
#[path = "management/metrics.rs"]
mod metrics;
#[path = "management/requests.rs"]
mod requests;
#[path = "management/routes.rs"]
mod routes;
#[path = "management/shapes.rs"]
mod shapes;
