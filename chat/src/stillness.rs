//! Who of those that route stands still.
//!
//! Whoever routes says so again and again, over an exchange from which each service hears everybody, itself as well. All
//! words come by one queue in one order: so who judges compares the silence of another with its own words, and not with a
//! clock. If those were late themselves it is the broker, the machine or this process that is slow, and nobody is blamed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use leveret_client::message::MessageId;

/// So often a process says that it routes: often enough to be missed within a second, and some tens of words per second
/// in a deployment of usual size.
pub(crate) const SAY_EVERY: Duration = Duration::from_millis(250);
/// Between two of our own words; with more between them nobody is judged, and everybody gets a fresh span.
const OWN_GAP_MAX: Duration = Duration::from_millis(700);
/// The same process is not thrown out sooner again: each time what is in its hands is charged with one of the ten tries
/// after which it is a dead letter.
const SPARED_FOR: Duration = Duration::from_secs(60);
/// Remembered processes; who is not remembered is not judged, and loses its shards by its heartbeats.
const OTHERS_MAX: usize = 1_000;

/// What is known of the others' signs of life. It has no clock: time is an argument.
#[derive(Debug)]
pub(crate) struct Stillness {
    own: MessageId,
    /// Who says nothing for so long stands still.
    silence_max: Duration,
    own_heard: Option<Instant>,
    /// When each was heard last, or the time from which on its silence counts.
    others: HashMap<MessageId, Instant>,
    thrown_out: HashMap<MessageId, Instant>,
}

impl Stillness {
    /// Of the others, as this process sees them.
    pub(crate) fn new(own: MessageId, silence_max: Duration) -> Self {
        Self {
            own,
            silence_max,
            own_heard: None,
            others: HashMap::new(),
            thrown_out: HashMap::new(),
        }
    }

    /// Hears from now on over another connection: nobody is judged who was not heard over it.
    pub(crate) fn begin(&mut self) {
        self.own_heard = None;
        self.others.clear();
    }

    /// A process said that it routes. Gives those that stand still and are to be thrown out: only our own word, which
    /// comes in time, tells.
    pub(crate) fn heard(&mut self, instance: MessageId, now: Instant) -> Vec<MessageId> {
        if instance == self.own {
            return self.judge(now);
        }
        if self.others.len() < OTHERS_MAX || self.others.contains_key(&instance) {
            self.others.insert(instance, now);
        }
        Vec::new()
    }

    /// A process said that it routes no more.
    pub(crate) fn ended(&mut self, instance: MessageId) {
        self.others.remove(&instance);
    }

    fn judge(&mut self, now: Instant) -> Vec<MessageId> {
        let since = |at: Instant| now.saturating_duration_since(at);
        let before = self.own_heard.replace(now);
        if before.is_none_or(|before| since(before) > OWN_GAP_MAX) {
            for heard in self.others.values_mut() {
                *heard = now;
            }
            return Vec::new();
        }
        self.thrown_out.retain(|_, at| since(*at) < SPARED_FOR);
        let silent = self
            .others
            .extract_if(|_, heard| since(*heard) >= self.silence_max);
        let mut still = Vec::new();
        for (instance, _) in silent {
            if self.thrown_out.len() < OTHERS_MAX && !self.thrown_out.contains_key(&instance) {
                self.thrown_out.insert(instance, now);
                still.push(instance);
            }
        }
        still
    }
}

#[cfg(test)]
mod tests {
    use leveret_client::message::Timestamp;
    use proptest::prelude::*;

    use super::*;

    const SILENCE_MAX: Duration = Duration::from_millis(1_200);

    fn instance() -> MessageId {
        MessageId::new(Timestamp::now())
    }

    /// Somebody who judges, and the time.
    struct Judge {
        stillness: Stillness,
        own: MessageId,
        now: Instant,
    }

    impl Judge {
        fn new() -> Self {
            let own = instance();
            Self {
                stillness: Stillness::new(own, SILENCE_MAX),
                own,
                now: Instant::now(),
            }
        }

        fn hears(&mut self, other: MessageId) {
            let told = self.stillness.heard(other, self.now);
            assert!(told.is_empty(), "another's word judges nobody");
        }

        /// Time goes by, with our own words in it.
        fn waits(&mut self, time: Duration) -> Vec<MessageId> {
            let end = self.now + time;
            let mut still = Vec::new();
            while self.now < end {
                self.now += SAY_EVERY;
                still.extend(self.stillness.heard(self.own, self.now));
            }
            still
        }

        /// Time goes by in which nothing is heard, not even ourselves; then our own word.
        fn hears_nothing_for(&mut self, time: Duration) -> Vec<MessageId> {
            self.now += time;
            self.stillness.heard(self.own, self.now)
        }
    }

    #[test]
    fn who_was_heard_and_says_nothing_any_more_is_thrown_out_once() {
        let (mut judge, other) = (Judge::new(), instance());
        judge.waits(SAY_EVERY);
        judge.hears(other);
        assert_eq!(judge.waits(SILENCE_MAX - SAY_EVERY), []);
        assert_eq!(judge.waits(SAY_EVERY), [other]);
        assert_eq!(judge.waits(3 * SPARED_FOR), [], "it is forgotten");
    }

    #[test]
    fn nobody_is_thrown_out_twice_within_a_minute_but_then_again() {
        let (mut judge, other) = (Judge::new(), instance());
        judge.waits(SAY_EVERY);
        judge.hears(other);
        assert_eq!(judge.waits(2 * SILENCE_MAX), [other]);
        judge.hears(other);
        assert_eq!(judge.waits(SPARED_FOR), [], "heartbeats do the rest");
        judge.hears(other);
        assert_eq!(judge.waits(2 * SILENCE_MAX), [other]);
    }

    #[test]
    fn nobody_is_judged_by_who_hears_nothing_at_all() {
        let (mut judge, other) = (Judge::new(), instance());
        judge.waits(SAY_EVERY);
        judge.hears(other);
        // The broker, the machine or this process stood still.
        let long = Duration::from_secs(20);
        assert_eq!(judge.hears_nothing_for(long), []);
        assert_eq!(judge.waits(SILENCE_MAX - SAY_EVERY), [], "a fresh span");
        judge.hears(other);
        assert_eq!(judge.waits(SILENCE_MAX - SAY_EVERY), []);
        assert_eq!(judge.waits(SAY_EVERY), [other]);
    }

    #[test]
    fn who_said_that_it_ends_is_not_missed() {
        let (mut judge, other) = (Judge::new(), instance());
        judge.waits(SAY_EVERY);
        judge.hears(other);
        judge.stillness.ended(other);
        assert_eq!(judge.waits(2 * SILENCE_MAX), []);
    }

    #[test]
    fn who_was_not_heard_over_this_connection_is_not_judged() {
        let (mut judge, other) = (Judge::new(), instance());
        judge.waits(SAY_EVERY);
        judge.hears(other);
        judge.stillness.begin();
        assert_eq!(judge.waits(2 * SILENCE_MAX), []);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut judge = Judge::new();
        judge.waits(SAY_EVERY);
        for _ in 0..2 {
            for _ in 0..OTHERS_MAX + 10 {
                judge.hears(instance());
            }
            assert_eq!(judge.stillness.others.len(), OTHERS_MAX);
            judge.waits(2 * SILENCE_MAX);
            assert_eq!(judge.stillness.others.len(), 0);
            assert_eq!(judge.stillness.thrown_out.len(), OTHERS_MAX);
        }
    }

    /// What is heard next, and after how many milliseconds.
    fn words() -> impl Strategy<Value = Vec<(u64, usize)>> {
        let pause = prop_oneof![20 => 0_u64..300, 1 => 600_u64..900];
        let who = prop_oneof![5 => Just(0_usize), 1 => 1_usize..4];
        prop::collection::vec((pause, who), 0..600)
    }

    proptest! {
        /// Whoever is thrown out was heard, is silent for the whole span by our own words, which came in time all the while,
        /// and was not thrown out within a minute.
        #[test]
        fn only_who_is_silent_while_we_are_heard_is_thrown_out(words in words()) {
            let (mut judge, others) = (Judge::new(), [instance(), instance(), instance()]);
            let mut own = Vec::new();
            let mut heard = HashMap::new();
            let mut thrown_out: HashMap<MessageId, Instant> = HashMap::new();
            for (pause, who) in words {
                judge.now += Duration::from_millis(pause);
                let now = judge.now;
                if let Some(other) = who.checked_sub(1) {
                    judge.hears(others[other]);
                    heard.insert(others[other], now);
                    continue;
                }
                own.push(now);
                for still in judge.stillness.heard(judge.own, now) {
                    let since = heard.remove(&still).expect("it was heard");
                    prop_assert!(now - since >= SILENCE_MAX);
                    let from = now - SILENCE_MAX;
                    let span: Vec<_> = own.iter().filter(|at| **at >= from).collect();
                    prop_assert!(span.windows(2).all(|pair| *pair[1] - *pair[0] <= OWN_GAP_MAX));
                    prop_assert!(*span[0] - from <= OWN_GAP_MAX);
                    let before = thrown_out.insert(still, now);
                    prop_assert!(before.is_none_or(|before| now - before >= SPARED_FOR));
                }
            }
        }

        /// A sign of life in time is enough, whatever else is heard.
        #[test]
        fn who_is_heard_in_time_is_never_thrown_out(pauses in prop::collection::vec(0_u64..1_200, 1..200)) {
            let (mut judge, other) = (Judge::new(), instance());
            judge.hears(other);
            for pause in pauses {
                let until = judge.now + Duration::from_millis(pause);
                while judge.now + SAY_EVERY < until {
                    prop_assert_eq!(judge.waits(SAY_EVERY), []);
                }
                judge.now = until;
                judge.hears(other);
            }
        }
    }
}
