//! What happened since the broker started, in all.

use super::Exposition;
use crate::engine::{Entrance, Event, SIZE_BOUNDS};
use crate::management::Management;
use crate::model::{DeathReason, QueueType};

impl Management {
    /// All of it.
    pub(super) fn expose_totals(&self, page: &mut Exposition) {
        self.expose_events(page);
        self.expose_sizes(page);
        self.expose_dead_letters(page);
        self.expose_logins(page);
    }

    /// What happened to messages in all.
    fn expose_events(&self, page: &mut Exposition) {
        let events = self.engine.traffic().events;
        let unroutable = events.of(Event::ReturnUnroutable) + events.of(Event::DropUnroutable);
        let published = events.of(Event::Publish);
        let by_protocol = [
            ("received", published),
            ("routed", published.saturating_sub(unroutable)),
            ("confirmed", events.of(Event::Confirm)),
            ("unroutable_returned", events.of(Event::ReturnUnroutable)),
            ("unroutable_dropped", events.of(Event::DropUnroutable)),
        ];
        let by_queue_type = [
            ("delivered", events.deliveries()),
            ("delivered_consume_auto_ack", events.of(Event::DeliverNoAck)),
            ("delivered_consume_manual_ack", events.of(Event::Deliver)),
            ("delivered_get_auto_ack", events.of(Event::GetNoAck)),
            ("delivered_get_manual_ack", events.of(Event::Get)),
            ("get_empty", events.of(Event::GetEmpty)),
            ("redelivered", events.of(Event::Redeliver)),
            ("acknowledged", events.of(Event::Acknowledge)),
        ];
        let protocol = [("protocol", "amqp091")];
        let mut expose = |what: &str, count| {
            let name = format!("global_messages_{what}_total");
            let help = format!("Messages: {}", what.replace('_', " "));
            page.counter(&name, &help, &protocol, count);
        };
        for (what, count) in by_protocol.into_iter().chain(by_queue_type) {
            expose(what, count);
        }
    }

    /// How large what was published was.
    fn expose_sizes(&self, page: &mut Exposition) {
        let sizes = self.engine.traffic().sizes;
        page.histogram(
            "message_size_bytes",
            "Size of messages that came from publishers",
            &[("protocol", "amqp091")],
            (&SIZE_BOUNDS, &sizes.counts, sizes.bytes),
        );
    }

    /// Messages that went to a dead-letter exchange, which is RabbitMQ's strategy "at most once"; what goes
    /// there is safer here.
    fn expose_dead_letters(&self, page: &mut Exposition) {
        for queue_type in QueueType::ALL {
            for reason in DeathReason::ALL {
                let rabbitmqs = format!("rabbit_{}_queue", queue_type.as_str());
                let labels = [
                    ("queue_type", rabbitmqs.as_str()),
                    ("dead_letter_strategy", "at_most_once"),
                ];
                let name = format!("global_messages_dead_lettered_{}_total", reason.as_str());
                let help = format!(
                    "Messages that went to a dead-letter exchange: {}",
                    reason.as_str()
                );
                let count = self.engine.counters.dead_letters.of(queue_type, reason);
                page.counter(&name, &help, &labels, count.value());
            }
        }
    }

    /// Who was let in and who was not.
    fn expose_logins(&self, page: &mut Exposition) {
        for entrance in Entrance::ALL {
            let logins = self.engine.access.logins(entrance);
            let labels = [("protocol", entrance.as_str())];
            let all = logins.succeeded.saturating_add(logins.failed);
            for (name, help, count) in [
                ("auth_attempts_total", "Logins that were tried", all),
                (
                    "auth_attempts_succeeded_total",
                    "Logins that succeeded",
                    logins.succeeded,
                ),
                (
                    "auth_attempts_failed_total",
                    "Logins that failed",
                    logins.failed,
                ),
            ] {
                page.counter(name, help, &labels, count);
            }
        }
    }
}
