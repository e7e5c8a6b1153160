//! The queue as a whole.

use std::sync::Arc;

use super::consumers::{Cancelled, ConsumeRefusal, Consumer, ConsumerView, Consumers};
use super::effect::{Admission, DeadLetter, DeadLetters, Effect};
use super::lease::{self, LeaseRecord};
use super::level::Level;
use super::mask::LevelMask;
use super::mortality::Mortality;
use super::notes::Notes;
use super::succession::Sharing;
use super::tally::{Counts, Tally};
use crate::model::{ConsumerKey, DeathReason, Message, Now, Overflow, QueueTerms, Seq};

/// What a queue is, for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many priority levels it has: one more than its highest priority. At least 1, at most
    /// 256; anything else is taken for the nearer of the two.
    pub levels: u16,
    /// The priority of messages that have none.
    pub default_priority: u8,
    /// What is recorded on disk.
    pub recording: Recording,
    /// Who of its consumers gets messages.
    pub sharing: Sharing,
    /// Which of its messages expire in time.
    pub expiry: Expiry,
}

/// Whose head expires when its time has come; whatever is behind that waits (spec 7.4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// That of the highest level with anything in it.
    #[default]
    OfHighest,
    /// That of each level.
    OfEvery,
}

/// Which messages a queue records on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// None: they go with the process.
    Nothing,
    /// Those that their publishers called persistent.
    Persistent,
    /// All (spec 4.4.3).
    Everything,
}

/// One queue: its messages in order, who has them in hand, and who wants the next.
///
/// `C` is what the sink needs to know of a consumer.
#[derive(Debug)]
pub struct QueueState<C> {
    pub(super) settings: Settings,
    pub(super) terms: Arc<QueueTerms>,
    pub(super) block_bits: u32,
    /// As many as were needed so far.
    pub(super) levels: Vec<Level>,
    /// Levels that may have something ready.
    pub(super) occupied: LevelMask,
    pub(super) consumers: Consumers<C>,
    pub(super) tally: Tally,
    pub(super) notes: Notes,
    pub(super) last_delivery_ms: u64,
    /// The last [`Self::get`] has to come again: what it waits for is not to be released meanwhile.
    pub(super) awaited: bool,
    /// When a lease may be tightened.
    pub(super) deadline_ms: Option<u64>,
    pub(super) mortality: Mortality,
}

impl<C> QueueState<C> {
    /// A new, empty queue without limits.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::with_block_bits(settings, super::BLOCK_PLACES.trailing_zeros())
    }

    pub(super) fn with_block_bits(settings: Settings, block_bits: u32) -> Self {
        Self {
            settings,
            terms: QueueTerms::default().shared(),
            block_bits,
            levels: Vec::new(),
            occupied: LevelMask::default(),
            consumers: Consumers::new(settings.sharing),
            tally: Tally::default(),
            notes: Notes::default(),
            last_delivery_ms: 0,
            awaited: false,
            deadline_ms: None,
            mortality: Mortality::default(),
        }
    }

    /// The same queue on these terms.
    #[must_use]
    pub fn on_terms(mut self, terms: QueueTerms) -> Self {
        self.terms = terms.shared();
        self
    }

    /// The same queue on terms that others have, too.
    #[must_use]
    pub fn on_shared_terms(mut self, terms: Arc<QueueTerms>) -> Self {
        self.terms = terms;
        self
    }

    /// What the queue is, for as long as it exists.
    #[must_use]
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    /// Whether nothing tells the queue from a new one on the same terms: it has given no place away, has
    /// no consumers, and waits for no time.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.levels.is_empty()
            && self.consumers.is_like_new()
            && self.terms.expires_ms.is_none()
            && !self.awaited
            && self.deadline().is_none()
            && self.notes.is_empty()
    }

    /// Puts the queue on other terms. Limits count at once; how long a message lives was settled
    /// when it arrived (spec 7.1.3, 7.3.3).
    pub fn set_terms(&mut self, terms: QueueTerms) {
        self.terms = terms.shared();
    }

    /// What holds for the queue now.
    #[must_use]
    pub const fn terms(&self) -> &Arc<QueueTerms> {
        &self.terms
    }

    /// Whether one more message would be too many for a queue that refuses the newest (spec 7.3.2).
    #[must_use]
    pub fn refuses(&self, message: &Message) -> bool {
        match self.terms.overflow {
            Overflow::DropHead => false,
            Overflow::RejectPublish | Overflow::RejectPublishDeadLetter => {
                let counts = self.counts();
                let bytes = counts.ready_bytes + message.body().len() as u64;
                self.terms.is_exceeded(counts.ready + 1, bytes)
            }
        }
    }

    /// Whether the message's places in this queue are recorded on disk.
    #[must_use]
    pub fn records(&self, message: &Message) -> bool {
        match self.settings.recording {
            Recording::Nothing => false,
            Recording::Persistent => message.is_persistent(),
            Recording::Everything => true,
        }
    }

    /// Whether the message is a duplicate of one that the queue has or had lately (spec 4.3.2). It is to
    /// be dropped then: to its publisher it is as good as enqueued.
    #[must_use]
    pub fn is_duplicate(&self, now: Now, message: &Message) -> bool {
        let deduplication = self.terms.deduplication.as_ref();
        deduplication.is_some_and(|terms| self.notes.is_duplicate(now, message, terms))
    }

    /// Notes the key of a message that was recovered at that place; what its key is known for begins
    /// now.
    pub fn remember(&mut self, now: Now, seq: Seq, message: &Message) {
        if let Some(deduplication) = &self.terms.deduplication {
            self.notes.remember(now, seq, message, deduplication);
        }
    }

    fn level_of(&self, message: &Message) -> usize {
        let priority = match (message.parts().priority, self.settings.default_priority) {
            // Absent or 0.
            (0, default) if default > 0 => message.properties().priority().unwrap_or(default),
            (priority, _) => priority,
        };
        usize::from(priority).min(self.levels_max() - 1)
    }

    fn levels_max(&self) -> usize {
        usize::from(self.settings.levels.clamp(1, 256))
    }

    /// Makes levels until there are `count`, or all that there may be.
    pub(super) fn grow(&mut self, count: usize) {
        let count = count.min(self.levels_max());
        while self.levels.len() < count
            && let Ok(number) = u8::try_from(self.levels.len())
        {
            self.levels.push(Level::new(number, self.block_bits));
        }
    }

    /// Turns a message away that [`refuses`](Self::refuses) said is too many.
    pub fn refuse(&self, message: Message, effects: &mut Vec<Effect>) {
        match (self.terms.overflow, &self.terms.dead_letter) {
            (Overflow::RejectPublishDeadLetter, Some(target)) => {
                let letter = DeadLetter {
                    place: None,
                    message,
                    reason: DeathReason::MaxLength,
                };
                effects.push(Effect::DeadLetters(DeadLetters {
                    letters: vec![letter],
                    target: target.clone(),
                    from_head: false,
                }));
            }
            (Overflow::RejectPublishDeadLetter, None)
            | (Overflow::DropHead | Overflow::RejectPublish, _) => {}
        }
    }

    /// Takes a message in at the end of its level.
    ///
    /// A message that [`is_duplicate`](Self::is_duplicate) said is one is not to come here, nor one that
    /// the queue [`refuses`](Self::refuses).
    ///
    /// What this pushes to `effects` is to be handed to the log before the enqueue itself: a lease
    /// that precedes the message in the log is what allows to deliver it without a wait.
    pub fn enqueue(&mut self, now: Now, message: Message, effects: &mut Vec<Effect>) -> Admission {
        let record = self.records(&message);
        let deadline_ms = self.deadline_of(now, &message);
        let index = self.level_of(&message);
        self.grow(index + 1);
        let level = &mut self.levels[index];
        if let Some(deduplication) = &self.terms.deduplication {
            let seq = level.seq(level.next);
            self.notes.remember(now, seq, &message, deduplication);
        }
        if record && self.consumers.any_can_take() {
            let record =
                level
                    .lease
                    .extend_for_arrival(now.monotonic_ms, level.next, level.backlog());
            if let Some(record) = record {
                effects.push(Effect::extend_lease(level.number, record));
                let pause_ends = now.monotonic_ms + lease::PAUSE_MS;
                self.deadline_ms.get_or_insert(pause_ends);
            }
        }
        let position = level.push(message, record, deadline_ms, &mut self.tally);
        self.occupied.insert(u16::from(level.number));
        Admission::Accepted {
            seq: level.seq(position),
            record,
            deadline_ms,
        }
    }

    /// When a message that arrives now expires (spec 7.1.1); 0 for never.
    fn deadline_of(&mut self, now: Now, message: &Message) -> u64 {
        let ttls = [self.terms.message_ttl_ms, message.expiration_ms()];
        let Some(ttl_ms) = ttls.into_iter().flatten().min() else {
            return 0;
        };
        self.mortality.mortal = true;
        now.wall_ms.saturating_add(ttl_ms).max(1)
    }

    /// Adds a consumer.
    ///
    /// # Errors
    ///
    /// Refuses where exclusive use forbids it.
    pub fn consume(&mut self, consumer: Consumer<C>) -> Result<(), ConsumeRefusal> {
        self.consumers.add(consumer)
    }

    /// Removes a consumer. What it has in hand stays unacked. `None` if there is no such consumer.
    pub fn cancel(&mut self, key: ConsumerKey) -> Option<Cancelled<C>> {
        self.consumers.cancel(key)
    }

    /// Changes how many messages a consumer may have unacked; 0 for any number.
    pub fn set_prefetch(&mut self, key: ConsumerKey, prefetch: u32) {
        self.consumers.set_prefetch(key, prefetch);
    }

    /// A consumer whose sink had no room is to be tried again.
    pub fn resume(&mut self, key: ConsumerKey) {
        self.consumers.resume(key);
    }

    /// The consumers, in no particular order.
    pub fn consumers(&self) -> impl Iterator<Item = ConsumerView<'_, C>> {
        self.consumers.iter()
    }

    /// What the queue holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            ready: self.tally.ready + self.tally.unread,
            ready_bytes: self.tally.ready_bytes + self.tally.unread_bytes,
            unacked: self.tally.unacked,
            unacked_bytes: self.tally.unacked_bytes,
            resident_bytes: self.tally.resident_bytes,
            key_bytes: self.notes.key_bytes(),
            consumers: self.consumers.len(),
        }
    }

    /// The place that the next message of a level gets; `None` if nothing was ever there.
    #[must_use]
    pub fn next_seq(&self, level: u8) -> Option<Seq> {
        let level = self.levels.get(usize::from(level))?;
        Some(level.seq(level.next))
    }

    /// When [`Self::tick`] is due, in monotonic milliseconds. It can come nearer with each
    /// enqueue, dispatch and get.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let all = [self.deadline_ms, self.next_death_ms()];
        all.into_iter().flatten().min()
    }

    /// The lease that an [`Effect::ExtendLease`] asked for is on disk, and so is every earlier one
    /// of its level. These reports may come in any order.
    pub fn lease_written(&mut self, up_to: Seq, generation: u32) {
        if let Some(level) = self.levels.get_mut(usize::from(up_to.level())) {
            level.lease.written(LeaseRecord {
                bound: up_to.position() + 1,
                generation,
            });
        }
    }

    /// Does what time has made due, and says when it wants to be called next.
    ///
    /// It does not look at messages; [`Self::enforce`] does.
    pub fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) -> Option<u64> {
        if self.is_expired(now) {
            effects.push(Effect::Unused);
        }
        if self.deadline_ms.is_some_and(|due| due <= now.monotonic_ms) {
            self.tighten_after_pause(now, effects);
        }
        self.deadline()
    }

    fn tighten_after_pause(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let pause_ends = self.last_delivery_ms + lease::PAUSE_MS;
        if now.monotonic_ms < pause_ends {
            self.deadline_ms = Some(pause_ends);
            return;
        }
        let mut waits = false;
        for level in &mut self.levels {
            if let Some(record) = level.lease.tighten() {
                effects.push(Effect::extend_lease(level.number, record));
            }
            waits |= level.lease.is_loose();
            level.shrink();
        }
        self.deadline_ms = waits.then(|| now.monotonic_ms + lease::PAUSE_MS);
    }

    /// Lowers every lease to what was delivered, for a clean stop. From now on recorded messages
    /// that were not delivered before stay where they are.
    pub fn tighten(&mut self, effects: &mut Vec<Effect>) {
        for level in &mut self.levels {
            if let Some(record) = level.lease.seal() {
                effects.push(Effect::extend_lease(level.number, record));
            }
        }
        self.deadline_ms = None;
    }
}
