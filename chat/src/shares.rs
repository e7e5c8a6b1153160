//! How send shards are spread over the processes that route.
//!
//! A broker gives a shard to the router that asked first, and to the next one when that goes. So who comes
//! late would have none: whoever deals with more than its share leaves a shard, and asks for it again, as the last.
//!
//! Consumer priorities would spread them without a word among routers. But in RabbitMQ 4.3 a quorum queue whose
//! active consumer dies while one of a higher priority waits for what it holds may be left without any consumer for good
//! (docs/compatibility.md, 5.3.7): a shard would stand still.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret_client::message::{MessageId, SendShard, ShardCount};
use parking_lot::Mutex;

/// Who was not heard for so long does not route.
const HEARD_FOR: Duration = Duration::from_secs(7);
/// A shard without a message for so long costs nobody anything.
const BUSY_FOR: Duration = Duration::from_secs(5);
/// A shard that was left and came back stays so long: nobody else may be there to take it, and what is in hand is
/// charged with a try each time.
const STAYS_FOR: Duration = Duration::from_secs(20);
/// Remembered processes; with more of them nobody has more than one shard anyway.
const OTHERS_MAX: usize = 1_000;

/// The shards of this process, and who else routes.
#[derive(Debug)]
pub(crate) struct Shares {
    instance: MessageId,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    others: HashMap<MessageId, Instant>,
    shards: Vec<Shard>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Shard {
    /// When it last had a message for this process.
    busy: Option<Instant>,
    left: Option<Instant>,
}

impl Shares {
    pub(crate) fn new(instance: MessageId, shards: ShardCount) -> Self {
        let shards = shards.shards().map(|_| Shard::default()).collect();
        let others = HashMap::new();
        let known = Mutex::new(Known { others, shards });
        Self { instance, known }
    }

    /// A process said that it routes.
    pub(crate) fn heard(&self, instance: MessageId, now: Instant) {
        let mut known = self.known.lock();
        if instance != self.instance
            && (known.others.len() < OTHERS_MAX || known.others.contains_key(&instance))
        {
            known.others.insert(instance, now);
        }
    }

    /// A shard has a message for this process: says whether to leave it to another one instead.
    fn leaves(&self, shard: usize, now: Instant) -> bool {
        let mut known = self.known.lock();
        let recent = |at: &Instant, span| now.saturating_duration_since(*at) < span;
        known.others.retain(|_, heard| recent(heard, HEARD_FOR));
        let share = known.shards.len().div_ceil(known.others.len() + 1);
        let Some(this) = known.shards.get_mut(shard) else {
            return false;
        };
        this.busy = Some(now);
        let stays = this.left.is_some_and(|left| recent(&left, STAYS_FOR));
        let is_busy = |shard: &&Shard| shard.busy.is_some_and(|at| recent(&at, BUSY_FOR));
        let busy = known.shards.iter().filter(is_busy).count();
        let leaves = busy > share && !stays;
        if leaves {
            known.shards[shard] = Shard {
                busy: None,
                left: Some(now),
            };
        }
        leaves
    }
}

/// One shard of a process.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    shard: usize,
}

impl Share {
    pub(crate) fn new(shares: &Arc<Shares>, shard: SendShard) -> Self {
        Self {
            shares: shares.clone(),
            shard: usize::from(shard.number()),
        }
    }

    /// The shard has a message for this process: says whether to leave it to another one instead.
    pub(crate) fn leaves(&self, now: Instant) -> bool {
        self.shares.leaves(self.shard, now)
    }
}

#[cfg(test)]
mod tests {
    use leveret_client::message::Timestamp;

    use super::*;

    fn shares(shards: u16) -> Shares {
        let shards = ShardCount::try_from(shards).expect("a count");
        Shares::new(MessageId::new(Timestamp::now()), shards)
    }

    fn another() -> MessageId {
        MessageId::new(Timestamp::now())
    }

    #[test]
    fn who_is_alone_leaves_nothing() {
        let (shares, now) = (shares(8), Instant::now());
        shares.heard(shares.instance, now);
        assert!((0..8).all(|shard| !shares.leaves(shard, now)));
    }

    #[test]
    fn more_than_a_share_is_left_once() {
        let (shares, now) = (shares(8), Instant::now());
        for shard in 0..8 {
            assert!(!shares.leaves(shard, now));
        }
        for _ in 0..3 {
            shares.heard(another(), now);
        }
        let left = (0..8).filter(|shard| shares.leaves(*shard, now)).count();
        assert_eq!(left, 6, "two of eight are a fourth");
        let back = (0..6).all(|shard| !shares.leaves(shard, now));
        assert!(back, "what nobody took stays");
        let later = now + STAYS_FOR;
        assert!((0..8).all(|shard| !shares.leaves(shard, later)), "alone");
    }

    #[test]
    fn a_shard_without_messages_does_not_count() {
        let (shares, now) = (shares(4), Instant::now());
        for shard in 0..4 {
            assert!(!shares.leaves(shard, now));
        }
        let later = now + BUSY_FOR;
        shares.heard(another(), later);
        assert!(!shares.leaves(0, later));
        assert!(!shares.leaves(1, later));
        assert!(shares.leaves(2, later));
    }
}
