//! What ends things: deletions, closes, and mistakes.

use super::*;

impl Generator {
    pub(super) fn delete_queue(&mut self) {
        let (on, queue) = (self.slot(), self.queue());
        let conditional = !(self.has_quorum && self.has_no_ack);
        let (if_unused, if_empty) = (conditional && self.one_in(3), conditional && self.one_in(3));
        if !if_unused && !if_empty {
            self.queues.remove(queue.as_str());
        }
        let no_wait = self.one_in(8);
        self.push(
            on,
            Action::DeleteQueue {
                queue,
                if_unused,
                if_empty,
                no_wait,
            },
        );
    }

    pub(super) fn delete_exchange(&mut self) {
        let (on, exchange) = (self.slot(), self.exchange());
        let if_unused = self.one_in(2);
        if !if_unused {
            self.exchanges.remove(exchange.as_str());
        }
        let no_wait = self.one_in(8);
        self.push(
            on,
            Action::DeleteExchange {
                exchange,
                if_unused,
                no_wait,
            },
        );
    }

    pub(super) fn close(&mut self) {
        let on = self.slot();
        let action = match self.random.random_range(0..4) {
            _ if self.has_no_ack => Action::CloseChannel,
            0 => Action::CloseConnection,
            1 => Action::DropConnection,
            _ => Action::CloseChannel,
        };
        let gone = |slot: &Slot| match action {
            Action::CloseChannel => *slot == on,
            _ => slot.connection == on.connection,
        };
        self.tags.retain(|(slot, _)| !gone(slot));
        self.modes.retain(|slot, _| !gone(slot));
        self.push(on, action);
    }

    /// Something that is refused, or at least odd.
    pub(super) fn mistake(&mut self) {
        let on = self.slot();
        let queue = self.queue();
        // The first five end the connection.
        let first = if self.has_no_ack { 5 } else { 0 };
        let action = match self.random.random_range(first..14) {
            0 => Action::Qos {
                size: 1,
                count: 1,
                global: false,
            },
            1 => Action::Recover {
                requeue: false,
                without_reply: false,
            },
            2 => Action::Flow { active: false },
            11 => Action::DeclareExchange(DeclareExchange {
                exchange: "x0".to_owned(),
                kind: self.text(&["", "unknown", "Direct", "x-unknown"]),
                ..DeclareExchange::default()
            }),
            12 => Action::DeclareQueue(DeclareQueue {
                queue: self.text(&["amq.q", "q0", "q1"]),
                arguments: self.wrong_arguments(),
                durable: true,
                ..DeclareQueue::default()
            }),
            5 => Action::DeclareExchange(DeclareExchange {
                exchange: self.text(&["", "amq.x", "amq.direct"]),
                kind: "direct".to_owned(),
                durable: true,
                ..DeclareExchange::default()
            }),
            6 => Action::DeleteExchange {
                exchange: self.text(&["", "amq.direct", "x9"]),
                if_unused: false,
                no_wait: false,
            },
            7 => Action::Bind(Binding {
                source: self.text(&["", "x9", "amq.direct"]),
                destination: self.text(&["q9", "", "q0"]),
                ..Binding::default()
            }),
            4 => Action::Publish(Publish {
                immediate: true,
                ..self.publish()
            }),
            8 => Action::Publish(self.wrong_publish()),
            9 => Action::Commit,
            10 => Action::DeclareQueue(DeclareQueue {
                queue: self.text(&["q9", "q0", ""]),
                passive: true,
                ..DeclareQueue::default()
            }),
            3 => Action::Consume(Consume {
                queue,
                tag: self
                    .tags
                    .first()
                    .map_or_else(|| "c0".to_owned(), |(_, tag)| tag.clone()),
                arguments: self.wrong_consumer_arguments(),
                ..Consume::default()
            }),
            _ => Action::Cancel {
                tag: "nobody".to_owned(),
            },
        };
        self.push(on, action);
    }
}
