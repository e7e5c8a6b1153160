//! Arguments of queues, exchanges, bindings and consumers.

use rand::RngExt as _;

use super::{EXCHANGES, Feature, Generator, KEYS};
use crate::script::{Field, Fields};

fn text(text: &str) -> Field {
    Field::Text(text.to_owned())
}

impl Generator {
    /// An integer in one of the types that clients send.
    fn integer(&mut self, number: i64) -> Field {
        match self.random.random_range(0..3) {
            0 => i8::try_from(number).map_or(Field::Long(number), Field::Byte),
            1 => i32::try_from(number).map_or(Field::Long(number), Field::Int),
            _ => Field::Long(number),
        }
    }

    fn add(&mut self, fields: &mut Fields, key: &str, numbers: &[i64]) {
        let number = self.pick(numbers).unwrap_or_default();
        let field = self.integer(number);
        fields.push((key.to_owned(), field));
    }

    /// Arguments that a classic queue takes.
    pub(super) fn queue_arguments(&mut self) -> Fields {
        let mut fields = Fields::new();
        if self.has(Feature::TimeToLive) && self.one_in(3) {
            self.add(&mut fields, "x-message-ttl", &[0, 1, 20, 3_600_000]);
        }
        if self.has(Feature::TimeToLive) && self.one_in(8) {
            self.add(&mut fields, "x-expires", &[3_600_000]);
        }
        if self.has(Feature::DeadLetters) && self.one_in(2) {
            self.dead_letters(&mut fields);
        }
        if self.has(Feature::LengthLimits) && self.one_in(2) {
            self.limits(&mut fields);
        }
        if self.has(Feature::Priorities) && self.one_in(2) {
            self.add(&mut fields, "x-max-priority", &[1, 3, 10]);
        }
        if self.has(Feature::SingleActiveConsumer) && self.one_in(2) {
            fields.push(("x-single-active-consumer".to_owned(), Field::Bool(true)));
        }
        if self.one_in(10) {
            fields.push(("x-queue-type".to_owned(), text("classic")));
        }
        if self.one_in(15) {
            fields.push(("x-own".to_owned(), Field::Int(1)));
        }
        fields
    }

    /// Arguments that a quorum queue takes.
    pub(super) fn quorum_arguments(&mut self) -> Fields {
        let mut fields = vec![("x-queue-type".to_owned(), text("quorum"))];
        if self.has(Feature::DeadLetters) && self.one_in(2) {
            self.dead_letters(&mut fields);
        }
        if self.one_in(2) {
            self.add(&mut fields, "x-delivery-limit", &[0, 1, 2]);
        }
        if self.has(Feature::LengthLimits) && self.one_in(3) {
            self.add(&mut fields, "x-max-length", &[1, 2]);
        }
        if self.has(Feature::TimeToLive) && self.one_in(3) {
            self.add(&mut fields, "x-message-ttl", &[0, 1, 20, 3_600_000]);
        }
        if self.has(Feature::SingleActiveConsumer) && self.one_in(2) {
            fields.push(("x-single-active-consumer".to_owned(), Field::Bool(true)));
        }
        fields
    }

    fn dead_letters(&mut self, fields: &mut Fields) {
        let exchange = if self.one_in(2) {
            String::new()
        } else {
            self.text(&EXCHANGES)
        };
        let by_default = exchange.is_empty();
        fields.push(("x-dead-letter-exchange".to_owned(), Field::Text(exchange)));
        if by_default || self.one_in(2) {
            let key = self.text(&["q0", "q1", "q2", "a", "a.b"]);
            fields.push(("x-dead-letter-routing-key".to_owned(), Field::Text(key)));
        }
    }

    fn limits(&mut self, fields: &mut Fields) {
        if self.one_in(3) {
            self.add(fields, "x-max-length-bytes", &[0, 4, 20]);
        } else {
            self.add(fields, "x-max-length", &[0, 1, 2, 3]);
        }
        if self.one_in(2) {
            let overflow = self.text(&["drop-head", "reject-publish", "reject-publish-dlx"]);
            fields.push(("x-overflow".to_owned(), Field::Text(overflow)));
        }
    }

    /// Arguments that a queue refuses, or nearly so.
    pub(super) fn wrong_arguments(&mut self) -> Fields {
        let all = [
            ("x-message-ttl", text("1000")),
            ("x-message-ttl", Field::Int(-1)),
            ("x-message-ttl", Field::Long(315_360_000_001)),
            ("x-message-ttl", Field::Double(1.5)),
            ("x-expires", Field::Int(0)),
            ("x-expires", Field::Bool(true)),
            ("x-max-length", Field::Int(-5)),
            ("x-max-length", text("5")),
            ("x-max-length-bytes", Field::Long(-1)),
            ("x-overflow", text("drop-tail")),
            ("x-overflow", Field::Int(1)),
            ("x-dead-letter-exchange", Field::Int(1)),
            ("x-dead-letter-routing-key", text("a")),
            ("x-max-priority", Field::Int(256)),
            ("x-max-priority", Field::Int(-1)),
            ("x-max-priority", text("1")),
            ("x-single-active-consumer", text("true")),
            ("x-queue-type", text("unknown")),
            ("x-queue-type", Field::Int(1)),
            ("x-max-age", text("1h")),
            ("x-delivery-limit", Field::Int(1)),
            ("x-quorum-initial-group-size", Field::Int(1)),
            ("x-queue-leader-locator", text("nowhere")),
        ];
        let chosen = self.pick(&all);
        chosen
            .into_iter()
            .map(|(key, field)| (key.to_owned(), field))
            .collect()
    }

    pub(super) fn exchange_arguments(&mut self) -> Fields {
        if !self.one_in(4) {
            return Fields::new();
        }
        let alternate = self.text(&EXCHANGES);
        vec![("alternate-exchange".to_owned(), Field::Text(alternate))]
    }

    /// Headers, or what a binding compares them with.
    pub(super) fn headers(&mut self) -> Fields {
        let mut fields = Fields::new();
        for key in ["h", "k", "x-h"] {
            if self.one_in(2) {
                let field = match self.random.random_range(0..8) {
                    0 => Field::Int(1),
                    1 => Field::Long(1),
                    2 => text("1"),
                    3 => Field::Bool(true),
                    4 => Field::Double(1.0),
                    5 => Field::Void,
                    6 => Field::List(vec![text("a"), Field::Int(1)]),
                    _ => text("v"),
                };
                fields.push((key.to_owned(), field));
            }
        }
        fields
    }

    pub(super) fn match_arguments(&mut self) -> Fields {
        let mut fields = self.headers();
        let how = match self.random.random_range(0..16) {
            0 => return fields,
            1 => text("some"),
            2 => Field::Int(1),
            3..8 => text("any"),
            8..10 => text("any-with-x"),
            10..12 => text("all-with-x"),
            _ => text("all"),
        };
        fields.push(("x-match".to_owned(), how));
        fields
    }

    pub(super) fn consumer_arguments(&mut self) -> Fields {
        let mut fields = Fields::new();
        if self.one_in(4) {
            self.add(&mut fields, "x-priority", &[-1, 0, 1, 5]);
        }
        fields
    }

    pub(super) fn wrong_consumer_arguments(&mut self) -> Fields {
        let all = [
            Fields::new(),
            vec![("x-priority".to_owned(), text("1"))],
            vec![("x-stream-offset".to_owned(), text("first"))],
        ];
        self.pick(&all).unwrap_or_default()
    }

    /// The keys of a CC or BCC header.
    pub(super) fn more_keys(&mut self) -> Field {
        let count = self.random.random_range(0..3);
        let keys = (0..count).map(|_| Field::Text(self.text(&KEYS)));
        Field::List(keys.collect())
    }
}
