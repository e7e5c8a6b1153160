//! What was written and is not yet in the history. Pure: time comes in, posts to publish come out.
//!
//! ```text
//!             due                accepted              settled
//!   Waiting ───────► Flying ───────────────► Kept ───────────────► gone
//!      ▲               │                       │
//!      └───────────────┘ failed, disconnected  └──► published again after a while, or when
//!                                                    answers were lost with a connection
//! ```
//!
//! A conversation has at most one post in flight, so that the order in which the broker confirms is
//! the order in which they were written, whatever is refused, lost or sent again in between. *Kept*
//! means that the broker has it safe; it stays here until the service says what became of it, and is
//! published again if that takes long, which is harmless since the service knows its id.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::message::{ConversationId, MessageId, Post};

/// Between the first tries; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// After which a post that is kept, and of which the service said nothing, is published again; twice as long
/// each time. A service that is silent because it has much to do must not be given everything once more every
/// minute, by everybody.
const SILENCE: Duration = Duration::from_secs(60);
/// The same if the answer may have been lost with a connection.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// How often these are doubled, at most: to a quarter of an hour, and to three minutes.
const DOUBLINGS_MAX: u32 = 4;

/// Where a post is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is to be published, at that time or when its turn comes.
    Waiting {
        /// Not before.
        not_before: Instant,
    },
    /// It was published, and the broker has not confirmed it.
    Flying,
    /// The broker has it.
    Kept {
        /// Since.
        since: Instant,
    },
}

#[derive(Clone, Debug)]
struct Entry {
    post: Post,
    stage: Stage,
    /// Failed tries in a row.
    failures: u32,
    /// How often the broker took it.
    copies: u32,
    /// It came before what it was to follow, and waits until it is known what became of that.
    is_early: bool,
}

impl Entry {
    /// How long it waits for its answer.
    fn patience(&self, first: Duration) -> Duration {
        first * (1 << self.copies.saturating_sub(1).min(DOUBLINGS_MAX))
    }
}

/// What was written and is not yet in the history, in the order of writing.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    entries: BTreeMap<u64, Entry>,
    numbers: HashMap<MessageId, u64>,
    next_number: u64,
}

impl Outbox {
    /// Takes a post; `false` if one of this id is there already.
    pub fn push(&mut self, post: Post, now: Instant) -> bool {
        if self.numbers.contains_key(&post.id) {
            return false;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(post.id, number);
        let entry = Entry {
            post,
            stage: Stage::Waiting { not_before: now },
            failures: 0,
            copies: 0,
            is_early: false,
        };
        self.entries.insert(number, entry);
        true
    }

    /// What is to be published now, oldest first, each [`Post::after`] the one before it in its conversation
    /// if that is here still; it is in flight from here on. To be asked only while there is a connection.
    pub fn due(&mut self, now: Instant) -> Vec<Post> {
        let mut busy = self.conversations_in_flight();
        let mut before: HashMap<ConversationId, MessageId> = HashMap::new();
        let mut due = Vec::new();
        for entry in self.entries.values_mut() {
            let after = before.insert(entry.post.conv.clone(), entry.post.id);
            let is_due = match entry.stage {
                Stage::Flying => false,
                Stage::Waiting { not_before } => {
                    // Later ones of its conversation wait for it, whether its time has come or not.
                    let is_first = busy.insert(entry.post.conv.clone());
                    is_first && not_before <= now && !entry.is_early
                }
                Stage::Kept { since } => {
                    let silence = now.saturating_duration_since(since);
                    let is_silent = silence >= entry.patience(SILENCE);
                    is_silent && busy.insert(entry.post.conv.clone())
                }
            };
            if is_due {
                entry.stage = Stage::Flying;
                due.push(Post {
                    after,
                    ..entry.post.clone()
                });
            }
        }
        due
    }

    /// When to ask [`Outbox::due`] again, if nothing else happens.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let mut busy = self.conversations_in_flight();
        let mut next: Option<Instant> = None;
        for entry in self.entries.values() {
            let time = match entry.stage {
                Stage::Flying => None,
                Stage::Waiting { not_before } => {
                    let is_first = busy.insert(entry.post.conv.clone());
                    (is_first && !entry.is_early).then_some(not_before)
                }
                Stage::Kept { since } => {
                    (!busy.contains(&entry.post.conv)).then_some(since + entry.patience(SILENCE))
                }
            };
            next = match (next, time) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        next
    }

    fn conversations_in_flight(&self) -> HashSet<ConversationId> {
        let flying = |entry: &&Entry| entry.stage == Stage::Flying;
        let flying = self.entries.values().filter(flying);
        flying.map(|entry| entry.post.conv.clone()).collect()
    }

    fn entry(&mut self, id: MessageId) -> Option<&mut Entry> {
        self.entries.get_mut(self.numbers.get(&id)?)
    }

    /// The broker confirmed it.
    pub fn accepted(&mut self, id: MessageId, now: Instant) {
        if let Some(entry) = self.entry(id) {
            entry.stage = Stage::Kept { since: now };
            entry.failures = 0;
            entry.copies = entry.copies.saturating_add(1);
        }
    }

    /// The broker refused it, or said nothing in time: it is tried again, later each time.
    pub fn failed(&mut self, id: MessageId, now: Instant) {
        if let Some(entry) = self.entry(id) {
            let not_before = now + retry_delay(id, entry.failures);
            entry.failures = entry.failures.saturating_add(1);
            entry.stage = Stage::Waiting { not_before };
        }
    }

    /// The service had not yet what it is to follow. It is published again when it is known what became of that;
    /// until then it would be refused again, and so would all that follow.
    pub fn out_of_turn(&mut self, id: MessageId, now: Instant) {
        self.failed(id, now);
        let Some(&number) = self.numbers.get(&id) else {
            return;
        };
        let conversation = self.entries.get(&number).map(|entry| &entry.post.conv);
        let mut earlier = self.entries.range(..number);
        if earlier.any(|(_, earlier)| Some(&earlier.post.conv) == conversation)
            && let Some(entry) = self.entries.get_mut(&number)
        {
            entry.is_early = true;
        }
    }

    /// The connection is gone, and with it the answer for everything in flight: it is to be
    /// published again as soon as there is another.
    pub fn disconnected(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            if entry.stage == Stage::Flying {
                entry.stage = Stage::Waiting { not_before: now };
            }
        }
    }

    /// What the service said of those that are kept may have been lost: it is not waited for much longer.
    pub fn unanswered(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            if let Stage::Kept { since } = entry.stage {
                let again = now.max(since + entry.patience(ANSWER_PATIENCE));
                let shifted = again.checked_sub(entry.patience(SILENCE));
                let since = shifted.unwrap_or(since).min(since);
                entry.stage = Stage::Kept { since };
            }
        }
    }

    /// The service said what became of it. Gives it back, once.
    pub fn settled(&mut self, id: MessageId) -> Option<Post> {
        let number = self.numbers.remove(&id)?;
        let settled = self.entries.remove(&number)?.post;
        let later = self.entries.range_mut(number..).map(|(_, entry)| entry);
        let mut following = later.filter(|entry| entry.post.conv == settled.conv);
        if let Some(next) = following.next()
            && next.is_early
        {
            next.is_early = false;
            following.for_each(|entry| entry.is_early = false);
        }
        Some(settled)
    }

    /// Everything in it, oldest first.
    pub fn posts(&self) -> impl Iterator<Item = (&Post, Stage)> {
        self.entries
            .values()
            .map(|entry| (&entry.post, entry.stage))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// 1, 2, 4 … 30 seconds, three quarters to five quarters of it, by the random bits of the id: clients
/// that lost the same broker do not come back at the same moment.
fn retry_delay(id: MessageId, failures: u32) -> Duration {
    let doubled = RETRY_MIN.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX));
    let random = u32::from(id.as_bytes()[15]);
    doubled.min(RETRY_MAX) * (192 + random / 2) / 256
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Body, Timestamp};
    use proptest::prelude::*;

    fn post(conversation: &str, number: u8) -> Post {
        let mut post = Post::to_group(
            &conversation.parse().unwrap(),
            &"uana".parse().unwrap(),
            &"dterm".parse().unwrap(),
            Body::text("oi"),
            Timestamp::from_milliseconds(1_764_000_000_000),
        );
        post.id = MessageId::from_parts(post.sent_at, [number; 10]);
        post
    }

    fn ids(posts: &[Post]) -> Vec<MessageId> {
        posts.iter().map(|post| post.id).collect()
    }

    #[test]
    fn one_post_of_a_conversation_is_in_flight_and_others_are_not_held_up() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        let (a1, a2, b1) = (post("g_a", 1), post("g_a", 2), post("g_b", 3));
        for post in [&a1, &a2, &b1] {
            assert!(outbox.push(post.clone(), now));
        }
        assert!(!outbox.push(a1.clone(), now));
        assert_eq!(ids(&outbox.due(now)), [a1.id, b1.id]);
        assert_eq!(ids(&outbox.due(now)), []);
        outbox.accepted(a1.id, now);
        assert_eq!(ids(&outbox.due(now)), [a2.id]);
    }

    #[test]
    fn what_came_before_its_turn_waits_for_what_it_follows() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        let posts: Vec<_> = (1..=4).map(|number| post("g_a", number)).collect();
        for post in &posts {
            outbox.push(post.clone(), now);
        }
        for number in 0..posts.len() {
            let [flying] = &outbox.due(now)[..] else {
                panic!("one at a time");
            };
            let before = number.checked_sub(1).map(|before| posts[before].id);
            assert_eq!((flying.id, flying.after), (posts[number].id, before));
            outbox.accepted(flying.id, now);
        }
        // The second was lost on the way, or comes later.
        outbox.out_of_turn(posts[2].id, now);
        outbox.out_of_turn(posts[3].id, now);
        outbox.settled(posts[0].id);
        let later = now + SILENCE;
        assert_eq!(outbox.next_due(), Some(later));
        assert_eq!(ids(&outbox.due(now + RETRY_MAX)), []);
        assert_eq!(ids(&outbox.due(later)), [posts[1].id]);
        outbox.accepted(posts[1].id, later);
        assert_eq!(ids(&outbox.due(later)), []);
        outbox.settled(posts[1].id);
        assert_eq!(outbox.due(later)[0].after, None);
        outbox.accepted(posts[2].id, later);
        assert_eq!(outbox.due(later)[0].after, Some(posts[2].id));
        // Where nothing is before it any more it is as good as refused.
        outbox.settled(posts[2].id);
        outbox.out_of_turn(posts[3].id, later);
        let next = outbox.next_due().unwrap();
        assert!(next > later && next < later + RETRY_MAX);
        assert_eq!(ids(&outbox.due(next)), [posts[3].id]);
    }

    #[test]
    fn what_was_refused_is_tried_again_before_what_came_later() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        let (first, second) = (post("g_a", 1), post("g_a", 2));
        outbox.push(first.clone(), now);
        outbox.push(second, now);
        outbox.due(now);
        outbox.failed(first.id, now);
        assert_eq!(ids(&outbox.due(now)), []);
        let next = outbox.next_due().unwrap();
        assert!(next > now && next < now + RETRY_MAX);
        assert_eq!(ids(&outbox.due(next)), [first.id]);
    }

    #[test]
    fn what_the_service_is_silent_about_is_published_again_and_ends_once() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        let only = post("g_a", 1);
        outbox.push(only.clone(), now);
        outbox.due(now);
        outbox.accepted(only.id, now);
        let later = now + SILENCE;
        assert_eq!(outbox.next_due(), Some(later));
        assert_eq!(ids(&outbox.due(later)), [only.id]);
        outbox.accepted(only.id, later);
        assert_eq!(outbox.next_due(), Some(later + 2 * SILENCE));
        assert!(outbox.settled(only.id).is_some());
        assert!(outbox.settled(only.id).is_none());
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_may_have_been_answered_unheard_is_published_again_in_order() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        let (first, second) = (post("g_a", 1), post("g_a", 2));
        for post in [&first, &second] {
            outbox.push(post.clone(), now);
            outbox.due(now);
            outbox.accepted(post.id, now);
        }
        outbox.unanswered(now);
        assert_eq!(ids(&outbox.due(now)), []);
        let later = now + ANSWER_PATIENCE;
        assert_eq!(outbox.next_due(), Some(later));
        assert_eq!(ids(&outbox.due(later)), [first.id]);
        outbox.unanswered(later);
        outbox.accepted(first.id, later);
        assert_eq!(ids(&outbox.due(later)), [second.id]);
    }

    #[test]
    fn the_wait_between_tries_grows_to_half_a_minute_and_no_further() {
        let id = post("g_a", 255).id;
        let delays: Vec<_> = (0..40).map(|failures| retry_delay(id, failures)).collect();
        assert!(delays.is_sorted());
        assert!(delays[0] >= RETRY_MIN * 3 / 4 && delays[39] <= RETRY_MAX * 5 / 4);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(u8),
        Due,
        Accepted(usize),
        Failed(usize),
        Disconnected,
        Settled(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_u8).prop_map(Step::Push),
            Just(Step::Due),
            (0..4_usize).prop_map(Step::Accepted),
            (0..4_usize).prop_map(Step::Failed),
            Just(Step::Disconnected),
            (0..8_usize).prop_map(Step::Settled),
        ]
    }

    proptest! {
        /// Whatever happens: never two in flight of a conversation, and the order in which posts are
        /// first accepted is the order in which they were written.
        #[test]
        fn posts_of_a_conversation_are_accepted_in_the_order_of_writing(
            steps in prop::collection::vec(step(), 1..120)
        ) {
            let mut now = Instant::now();
            let mut outbox = Outbox::default();
            let mut written: HashMap<String, Vec<MessageId>> = HashMap::new();
            let mut accepted: HashMap<String, Vec<MessageId>> = HashMap::new();
            let mut flying: Vec<Post> = Vec::new();
            let mut kept: Vec<Post> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                now += Duration::from_secs(40);
                match step {
                    Step::Push(conversation) => {
                        let post = post(&format!("g_{}", ["a", "b", "c"][usize::from(conversation)]),
                            u8::try_from(number).unwrap());
                        written.entry(post.conv.to_string()).or_default().push(post.id);
                        outbox.push(post, now);
                    }
                    Step::Due => flying.extend(outbox.due(now)),
                    Step::Accepted(index) if index < flying.len() => {
                        let post = flying.remove(index);
                        outbox.accepted(post.id, now);
                        let order = accepted.entry(post.conv.to_string()).or_default();
                        if !order.contains(&post.id) {
                            order.push(post.id);
                        }
                        kept.push(post);
                    }
                    Step::Failed(index) if index < flying.len() => {
                        outbox.failed(flying.remove(index).id, now);
                    }
                    Step::Disconnected => {
                        flying.clear();
                        outbox.disconnected(now);
                    }
                    Step::Settled(index) if index < kept.len() => {
                        outbox.settled(kept.remove(index).id);
                    }
                    Step::Accepted(_) | Step::Failed(_) | Step::Settled(_) => {}
                }
                let mut conversations = HashSet::new();
                for (post, stage) in outbox.posts() {
                    if stage == Stage::Flying {
                        prop_assert!(conversations.insert(post.conv.clone()));
                    }
                }
            }
            for (conversation, order) in accepted {
                let of_conversation = &written[&conversation];
                prop_assert_eq!(&of_conversation[..order.len()], &order[..]);
            }
        }
    }
}
