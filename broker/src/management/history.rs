//! What counts were like of late: rates, and samples for charts (spec 10.1.6).
//!
//! Everything is looked at once in [`TICK`], and noted if it has changed: what stands still costs
//! one note. The notes of all objects together are bounded; what is more is not kept, and what has
//! no notes has no rate.

use std::collections::VecDeque;
use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::Refusal;
use super::request::Query;

/// How often counts are looked at, as RabbitMQ does.
pub(super) const TICK: Duration = Duration::from_secs(5);

/// Rates over less time than this would jump with every single message.
const SPAN_MIN_MS: u64 = 1_000;

/// How long notes about single objects are kept, as RabbitMQ's basic policy has it.
const OBJECT_AGE_MS: u64 = 600_000;

/// How long notes about the whole broker are kept, as RabbitMQ's global policy has it.
const BROKER_AGE_MS: u64 = 86_400_000;

/// Notes of all objects together, about 200 bytes each.
const NOTES_MAX: usize = 100_000;

/// Samples in one answer, as in RabbitMQ.
const SAMPLES_MAX: i64 = 500;

/// What has counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// The broker's counts of events and messages.
    Broker,
    /// The machine's figures.
    Node,
    /// An exchange, by its number.
    Exchange(u64),
    /// A queue, by its number.
    Queue(u64),
    /// A connection, by its number.
    Connection(u64),
    /// A channel, by its connection's number and its own.
    Channel(u64, u16),
}

impl Subject {
    const fn age_max_ms(self) -> u64 {
        match self {
            Self::Broker | Self::Node => BROKER_AGE_MS,
            Self::Exchange(_) | Self::Queue(_) | Self::Connection(_) | Self::Channel(..) => {
                OBJECT_AGE_MS
            }
        }
    }
}

/// One count of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    /// Its name in answers.
    pub(super) name: &'static str,
    /// How much it is.
    pub(super) value: u64,
    /// Which samples of it a query may ask for.
    pub(super) kind: Kind,
}

/// Kinds of counts, each with its own samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Messages that are there.
    Lengths,
    /// What happened to messages; such counts only grow.
    Messages,
    /// Bytes that came and went; such counts only grow.
    Data,
    /// Figures of the node that go up and down.
    Node,
}

impl Kind {
    /// Whether its counts began at 0 and only grow.
    const fn grows(self) -> bool {
        match self {
            Self::Messages | Self::Data => true,
            Self::Lengths | Self::Node => false,
        }
    }
}

impl Count {
    /// A count.
    pub(super) const fn new(kind: Kind, name: &'static str, value: u64) -> Self {
        Self { name, value, kind }
    }
}

/// A count with what is known of its past.
#[derive(Clone, Debug)]
pub(super) struct Detailed {
    /// The count.
    pub(super) count: Count,
    /// Its rate, and samples where some are asked for.
    details: Value,
}

/// Adds counts and their details to an object.
pub(super) fn insert(object: &mut Map<String, Value>, all: impl IntoIterator<Item = Detailed>) {
    for Detailed { count, details } in all {
        object.insert(count.name.to_owned(), count.value.into());
        object.insert(format!("{}_details", count.name), details);
    }
}

/// The counts of one subject at one moment.
#[derive(Clone, Debug)]
struct Note {
    at_ms: u64,
    values: Box<[u64]>,
}

/// The changes of one subject, oldest first.
#[derive(Clone, Debug, Default)]
struct Track(VecDeque<Note>);

/// What is known of the past.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    tracks: AHashMap<Subject, Track>,
    count: usize,
    /// The last two looks.
    last_ms: u64,
    before_ms: u64,
}

impl History {
    /// Takes a look at everything there is. Subjects that are not among them are forgotten.
    pub(super) fn look(&self, now_ms: u64, subjects: Vec<(Subject, Vec<Count>)>) {
        let mut notes = self.0.lock();
        notes.before_ms = notes.last_ms;
        notes.last_ms = now_ms;
        let mut present = AHashSet::with_capacity(subjects.len());
        for (subject, counts) in subjects {
            present.insert(subject);
            notes.note(now_ms, subject, &counts);
        }
        notes.tracks.retain(|subject, _| present.contains(subject));
        notes.tidy(now_ms);
    }

    /// Forgets the past: rates and samples begin anew.
    pub(super) fn forget(&self) {
        *self.0.lock() = Notes::default();
    }

    /// The counts with their rates, and samples as far as the query asks for some.
    pub(super) fn detailed(
        &self,
        now_ms: u64,
        subject: Subject,
        counts: &[Count],
        ranges: &Ranges,
    ) -> Vec<Detailed> {
        let notes = self.0.lock();
        let track = notes.tracks.get(&subject);
        let detailed = counts.iter().enumerate().map(|(index, count)| {
            let mut details = Map::new();
            let rate = notes.rate(now_ms, track, index, *count);
            details.insert("rate".to_owned(), rate.into());
            if let Some(range) = ranges.of(count.kind) {
                let count = *count;
                range.describe(
                    now_ms,
                    &Past {
                        track,
                        index,
                        count,
                    },
                    &mut details,
                );
            }
            Detailed {
                count: *count,
                details: Value::Object(details),
            }
        });
        detailed.collect()
    }

    /// Since when nothing has changed, in milliseconds since 1970; `None` while things change.
    pub(super) fn idle_since_ms(&self, subject: Subject) -> Option<u64> {
        let notes = self.0.lock();
        let newest = notes.tracks.get(&subject)?.0.back()?.at_ms;
        (newest < notes.last_ms).then_some(newest)
    }
}

impl Notes {
    fn note(&mut self, now_ms: u64, subject: Subject, counts: &[Count]) {
        let values: Box<[u64]> = counts.iter().map(|count| count.value).collect();
        let is_known = self.tracks.contains_key(&subject);
        if !is_known && (self.count >= NOTES_MAX || values.iter().all(|value| *value == 0)) {
            return;
        }
        let track = self.tracks.entry(subject).or_default();
        let unchanged = track.0.back().is_some_and(|newest| newest.values == values);
        if !unchanged {
            let at_ms = now_ms;
            track.0.push_back(Note { at_ms, values });
        }
    }

    /// Forgets what is too old, and then the older half of everything while it is too much.
    fn tidy(&mut self, now_ms: u64) {
        for (subject, track) in &mut self.tracks {
            let oldest_ms = now_ms.saturating_sub(subject.age_max_ms());
            // The last note from before is what counted when the time began.
            while track.0.get(1).is_some_and(|next| next.at_ms <= oldest_ms) {
                track.0.pop_front();
            }
        }
        let count = |tracks: &AHashMap<Subject, Track>| tracks.values().map(|t| t.0.len()).sum();
        self.count = count(&self.tracks);
        if self.count > NOTES_MAX {
            for track in self.tracks.values_mut() {
                let half = track.0.len() / 2;
                track.0.drain(..half);
            }
            self.count = count(&self.tracks);
        }
    }

    /// How fast a count has changed since the look before the last, in units per second.
    fn rate(&self, now_ms: u64, track: Option<&Track>, index: usize, count: Count) -> f64 {
        let base_ms = self.before_ms;
        let before = match track.and_then(|track| track.at(base_ms, index)) {
            Some(before) => before,
            None if count.kind.grows() => 0,
            None => return 0.0,
        };
        let span_ms = now_ms.saturating_sub(base_ms).max(SPAN_MIN_MS);
        // A broker that has just started has not looked at anything before.
        let span_ms = if base_ms == 0 { SPAN_MIN_MS } else { span_ms };
        (count.value as f64 - before as f64) * 1_000.0 / span_ms as f64
    }
}

impl Track {
    /// The count as it was at that moment; `None` if that is not known.
    fn at(&self, at_ms: u64, index: usize) -> Option<u64> {
        let later = self.0.partition_point(|note| note.at_ms <= at_ms);
        let note = self.0.get(later.checked_sub(1)?)?;
        note.values.get(index).copied()
    }
}

/// One count of a subject's past.
struct Past<'a> {
    track: Option<&'a Track>,
    index: usize,
    count: Count,
}

/// The samples that a query asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    lengths: Option<Range>,
    messages: Option<Range>,
    data: Option<Range>,
    node: Option<Range>,
}

impl Ranges {
    /// What the query says.
    ///
    /// # Errors
    ///
    /// Ranges that make no sense, or ask for too much.
    pub(super) fn read(query: &Query) -> Result<Self, Refusal> {
        Ok(Self {
            lengths: Range::read(query, "lengths")?,
            messages: Range::read(query, "msg_rates")?,
            data: Range::read(query, "data_rates")?,
            node: Range::read(query, "node_stats")?,
        })
    }

    const fn of(&self, kind: Kind) -> Option<Range> {
        match kind {
            Kind::Lengths => self.lengths,
            Kind::Messages => self.messages,
            Kind::Data => self.data,
            Kind::Node => self.node,
        }
    }
}

/// How far back samples go, and how far they are apart: checked, so that there are not too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    samples: u64,
    step_ms: u64,
}

impl Range {
    /// What the query says of one kind of counts, such as `lengths`.
    ///
    /// # Errors
    ///
    /// Ranges that make no sense, or ask for too much.
    pub(super) fn read(query: &Query, kind: &str) -> Result<Option<Self>, Refusal> {
        let number =
            |part: &str| -> Option<i64> { query.value(&format!("{kind}_{part}"))?.parse().ok() };
        let (Some(age), Some(step)) = (number("age"), number("incr")) else {
            return Ok(None);
        };
        let refuse =
            || Refusal::bad_request(format!("Invalid range parameters: age {age}, incr {step}"));
        if age <= 0 || step <= 0 || age / step > SAMPLES_MAX {
            return Err(refuse());
        }
        let samples = u64::try_from(age / step).map_err(|_| refuse())?;
        let step_ms = u64::try_from(step)
            .ok()
            .and_then(|step| step.checked_mul(1_000))
            .ok_or_else(refuse)?;
        Ok(Some(Self { samples, step_ms }))
    }

    fn describe(self, now_ms: u64, past: &Past<'_>, details: &mut Map<String, Value>) {
        let newest_ms = now_ms - now_ms % self.step_ms;
        let samples: Vec<(u64, u64)> = (0..=self.samples)
            .map_while(|back| newest_ms.checked_sub(back.checked_mul(self.step_ms)?))
            .map_while(|at_ms| {
                let known = past.track.and_then(|track| track.at(at_ms, past.index));
                known.map(|value| (at_ms, value))
            })
            .collect();
        let values = samples.iter().map(|(_, value)| *value as f64);
        let average = match samples.len() {
            0 => past.count.value as f64,
            count => values.sum::<f64>() / count as f64,
        };
        let average_rate = match (samples.first(), samples.last()) {
            (Some((newest, last)), Some((oldest, first))) if newest > oldest => {
                (*last as f64 - *first as f64) * 1_000.0 / (newest - oldest) as f64
            }
            _ => 0.0,
        };
        let samples: Vec<Value> = samples
            .iter()
            .map(|(at_ms, value)| json!({ "sample": value, "timestamp": at_ms }))
            .collect();
        details.insert("samples".to_owned(), samples.into());
        details.insert("avg".to_owned(), average.into());
        details.insert("avg_rate".to_owned(), average_rate.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000_000;

    fn look(history: &History, seconds: u64, value: u64) {
        let counts = vec![Count::new(Kind::Lengths, "n", value)];
        history.look(START + seconds * 1_000, vec![(Subject::Queue(1), counts)]);
    }

    fn shown(history: &History, seconds: u64, value: u64, ranges: &Ranges) -> Value {
        let now = START + seconds * 1_000;
        let counts = [Count::new(Kind::Lengths, "n", value)];
        let mut shown = history.detailed(now, Subject::Queue(1), &counts, ranges);
        shown.remove(0).details
    }

    fn ranges(query: &str) -> Result<Ranges, Refusal> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ranges::read(&Query::from_pairs(pairs.collect()))
    }

    #[test]
    fn a_rate_covers_the_time_since_the_look_before_the_last() {
        let (history, none) = (History::default(), Ranges::default());
        look(&history, 0, 0);
        look(&history, 5, 100);
        look(&history, 10, 200);
        assert_eq!(shown(&history, 10, 200, &none)["rate"], 20.0);
        assert_eq!(shown(&history, 15, 200, &none)["rate"], 10.0);
        look(&history, 15, 200);
        look(&history, 20, 200);
        assert_eq!(shown(&history, 20, 200, &none)["rate"], 0.0);
    }

    #[test]
    fn samples_are_taken_at_whole_steps_and_go_back_as_far_as_is_known() {
        let history = History::default();
        for tick in 1..=8 {
            look(&history, tick * 5, tick);
        }
        let ranges = ranges("lengths_age=60&lengths_incr=10").expect("a range");
        let details = shown(&history, 42, 8, &ranges);
        let samples = json!([
            { "sample": 8, "timestamp": START + 40_000 },
            { "sample": 6, "timestamp": START + 30_000 },
            { "sample": 4, "timestamp": START + 20_000 },
            { "sample": 2, "timestamp": START + 10_000 },
        ]);
        assert_eq!(details["samples"], samples);
        assert_eq!(details["avg"], 5.0);
        assert_eq!(details["avg_rate"], 0.2);
    }

    #[test]
    fn ranges_that_would_be_endless_are_refused() {
        for bad in [
            "lengths_age=501&lengths_incr=1",
            "lengths_age=60&lengths_incr=0",
            "lengths_age=-60&lengths_incr=5",
            "lengths_age=9223372036854775807&lengths_incr=1",
            "lengths_age=9223372036854775807&lengths_incr=9223372036854775807",
        ] {
            assert!(ranges(bad).is_err(), "{bad}");
        }
        assert_eq!(
            ranges("lengths_age=x&lengths_incr=5"),
            Ok(Ranges::default())
        );
    }

    #[test]
    fn what_stands_still_is_noted_once_and_what_is_gone_is_forgotten() {
        let history = History::default();
        for tick in 0..100 {
            look(&history, tick * 5, 7);
        }
        assert_eq!(history.0.lock().count, 1);
        assert_eq!(history.idle_since_ms(Subject::Queue(1)), Some(START));
        history.look(START + 600_000, Vec::new());
        assert_eq!(history.0.lock().count, 0);
    }

    #[test]
    fn notes_are_bounded() {
        let history = History::default();
        let all = |value: u64| {
            let subjects = 0..60_000;
            subjects
                .map(|number| {
                    (
                        Subject::Queue(number),
                        vec![Count::new(Kind::Lengths, "n", value)],
                    )
                })
                .collect()
        };
        for tick in 1..5 {
            history.look(START + tick * 5_000, all(tick));
            assert!(history.0.lock().count <= NOTES_MAX);
        }
    }
}
