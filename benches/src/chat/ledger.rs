//! What was written, what was shown, and what was wrong with it. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Ids of a kind that are told, at most.
const TOLD_MAX: usize = 10;

/// A message of the benchmark: which writer, and its how many-eth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Number {
    pub(crate) writer: u32,
    pub(crate) place: u32,
}

impl Number {
    /// What the message says.
    pub(crate) fn text(self) -> String {
        format!("{} {}", self.writer, self.place)
    }

    /// What the message says, with so many octets in all.
    pub(crate) fn padded(self, octets: usize) -> String {
        let mut text = self.text();
        text.push(' ');
        let words = "so many words ".bytes().cycle().map(char::from);
        text.extend(words.take(octets.saturating_sub(text.len())));
        text
    }

    /// Reads what a message says; others than the benchmark's say something else. What follows is not
    /// looked at.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        Some(Self {
            writer: words.next()?.parse().ok()?,
            place: words.next()?.parse().ok()?,
        })
    }
}

/// A message was shown, by which process of the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// Microseconds since 1970.
    pub(crate) at: u64,
    pub(crate) number: Number,
}

/// What was wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Findings {
    /// Promised to the writer, and never shown.
    pub(crate) lost: Vec<String>,
    /// Shown twice.
    pub(crate) doubled: Vec<String>,
    /// Shown after a later one of the same writer.
    pub(crate) out_of_order: Vec<String>,
    /// Never written.
    pub(crate) phantoms: Vec<String>,
}

impl Findings {
    fn kinds(&self) -> [(&'static str, &[String]); 4] {
        [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("out of order", &self.out_of_order),
            ("never written", &self.phantoms),
        ]
    }

    /// The same, with the reader's name before each id.
    pub(crate) fn of(mut self, reader: &str) -> Self {
        let Self {
            lost,
            doubled,
            out_of_order,
            phantoms,
        } = &mut self;
        for id in [lost, doubled, out_of_order, phantoms]
            .into_iter()
            .flatten()
        {
            *id = format!("{reader}: {id}");
        }
        self
    }

    /// Takes over what another reader's screen came to.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.doubled.extend(other.doubled);
        self.out_of_order.extend(other.out_of_order);
        self.phantoms.extend(other.phantoms);
    }

    /// In words, with the first ids.
    pub(crate) fn faults(&self) -> Vec<String> {
        let kinds = self.kinds();
        let found = kinds.iter().filter(|(_, ids)| !ids.is_empty());
        let words = found.map(|(name, ids)| {
            let first = &ids[..ids.len().min(TOLD_MAX)];
            let more = if ids.len() > first.len() { ", ..." } else { "" };
            format!("{} {name}: {}{more}", ids.len(), first.join(", "))
        });
        words.collect()
    }
}

/// Judges what was shown, in the order of showing, of what was promised: so many messages of each writer.
pub(crate) fn judge(promised: &[u32], shown: &[Shown]) -> Findings {
    let mut findings = Findings::default();
    let mut times: BTreeMap<Number, u32> = BTreeMap::new();
    let mut last: BTreeMap<u32, u32> = BTreeMap::new();
    for Shown { number, .. } in shown {
        let count = promised.get(number.writer as usize).copied();
        if count.is_none_or(|count| number.place >= count) {
            findings.phantoms.push(number.text());
            continue;
        }
        let times = times.entry(*number).or_default();
        *times += 1;
        if *times > 1 {
            findings.doubled.push(number.text());
            continue;
        }
        let last = last.entry(number.writer).or_default();
        if number.place < *last {
            findings.out_of_order.push(number.text());
        }
        *last = number.place.max(*last);
    }
    for (writer, count) in (0_u32..).zip(promised) {
        let all = (0..*count).map(|place| Number { writer, place });
        let missing = all.filter(|number| !times.contains_key(number));
        findings.lost.extend(missing.map(Number::text));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(numbers: &[(u32, u32)]) -> Vec<Shown> {
        let one = |(at, (writer, place)): (u64, &(u32, u32))| Shown {
            at,
            number: Number {
                writer: *writer,
                place: *place,
            },
        };
        (0..).zip(numbers).map(one).collect()
    }

    #[test]
    fn what_is_shown_once_and_in_each_writers_order_is_sound() {
        let findings = judge(&[3, 2], &shown(&[(0, 0), (1, 0), (0, 1), (0, 2), (1, 1)]));
        assert_eq!(findings, Findings::default());
        assert!(findings.faults().is_empty());
    }

    #[test]
    fn planted_faults_are_found_each_by_its_name() {
        let text = |text: &str| vec![text.to_owned()];
        let lost = judge(&[3], &shown(&[(0, 0), (0, 2)]));
        assert_eq!(lost.lost, text("0 1"));
        let doubled = judge(&[2], &shown(&[(0, 0), (0, 1), (0, 0)]));
        assert_eq!(
            (doubled.doubled, doubled.out_of_order.len()),
            (text("0 0"), 0)
        );
        let swapped = judge(&[2], &shown(&[(0, 1), (0, 0)]));
        assert_eq!(swapped.out_of_order, text("0 0"));
        let phantom = judge(&[1], &shown(&[(0, 0), (0, 1), (7, 0)]));
        assert_eq!(phantom.phantoms, ["0 1", "7 0"]);
        assert_eq!(phantom.faults(), ["2 never written: 0 1, 7 0"]);
    }

    #[test]
    fn a_message_says_its_number() {
        let number = Number {
            writer: 3,
            place: 41,
        };
        assert_eq!(Number::parse(&number.text()), Some(number));
        let padded = number.padded(400);
        assert_eq!((Number::parse(&padded), padded.len()), (Some(number), 400));
        assert_eq!(Number::parse("oi!"), None);
    }
}
