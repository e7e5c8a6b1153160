//! What is published.

use rand::RngExt as _;

use super::{Feature, Generator, KEYS};
use crate::script::{Field, Fields, Publish};

/// A table with a key twice means nothing: RabbitMQ drops the second here and there.
fn replace(headers: &mut Fields, header: (String, Field)) {
    headers.retain(|(key, _)| *key != header.0);
    headers.push(header);
}

impl Generator {
    pub(super) fn publish(&mut self) -> Publish {
        let mut publish = Publish {
            mandatory: self.one_in(5),
            ..Publish::default()
        };
        if self.one_in(2) {
            publish.key = self.queue();
        } else {
            publish.exchange = self.exchange();
            publish.key = self.text(&KEYS);
        }
        if self.one_in(2) {
            publish.delivery_mode = self.pick(&[1, 2]);
        }
        if self.one_in(4) {
            publish.padding = self.random.random_range(1..12);
        }
        if self.one_in(3) {
            publish.headers = Some(self.headers());
        }
        if self.one_in(12) {
            let (key, keys) = (self.text(&["CC", "BCC"]), self.more_keys());
            let headers = publish.headers.get_or_insert_default();
            headers.push((key, keys));
        }
        if self.has(Feature::Priorities) && self.one_in(2) {
            publish.priority = self.pick(&[0, 1, 2, 5, 255]);
        }
        if self.has(Feature::TimeToLive) && self.one_in(4) {
            let expiration = self.text(&["0", "1", "20", "3600000"]);
            publish.expiration = Some(expiration);
        }
        if self.one_in(10) {
            publish.message_id = Some("id".to_owned());
            publish.timestamp = self.pick(&[0, 1, u64::MAX]);
        }
        publish
    }

    /// A message that is refused, or nearly so.
    pub(super) fn wrong_publish(&mut self) -> Publish {
        let mut publish = self.publish();
        match self.random.random_range(1..7) {
            1 => publish.exchange = "x9".to_owned(),
            2 => publish.user_id = Some("nobody".to_owned()),
            3 => publish.user_id = Some("guest".to_owned()),
            4 => {
                let wrong = ["", "abc", "10x", "-1", "+7000", "315360000001", " 1"];
                publish.expiration = Some(self.text(&wrong));
            }
            5 => {
                let header = ("CC".to_owned(), Field::Text("a".to_owned()));
                replace(publish.headers.get_or_insert_default(), header);
            }
            _ => {
                let header = ("BCC".to_owned(), Field::List(vec![Field::Int(1)]));
                replace(publish.headers.get_or_insert_default(), header);
            }
        }
        publish
    }
}
