//! How much of answers may wait for whoever asked, over all connections.
//!
//! An answer is read from the store only when there is room for the largest one; then the room shrinks to
//! what it came to, and is given back when the socket has taken it. Each user has a share of its own, so that
//! some who ask and do not read leave room for the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leveret_client::message::UserId;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Room is counted in pieces of so many octets.
const PIECE_BYTES: usize = 1 << 10;

/// The room of a gateway.
#[derive(Debug)]
pub(super) struct Budget {
    all: Arc<Semaphore>,
    /// Pieces of one user.
    share: u32,
    /// How long somebody waits for room; then it is to ask again.
    patience: Duration,
    /// Those who have some.
    shares: Mutex<HashMap<UserId, Arc<Semaphore>>>,
}

/// There was none in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// One user's share, forgotten when nobody uses it.
#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    user: UserId,
    pieces: Arc<Semaphore>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.budget.shares.lock();
        // This one's and the map's.
        if Arc::strong_count(&self.pieces) == 2 {
            shares.remove(&self.user);
        }
    }
}

/// Room for an answer, until this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
    // After what it counts.
    _share: Share,
}

impl Room {
    /// It came to so many octets; the rest is given back.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let pieces = bytes.div_ceil(PIECE_BYTES);
        for permit in [&mut self.own, &mut self.all] {
            let rest = permit.num_permits().saturating_sub(pieces);
            drop(permit.split(rest));
        }
    }
}

impl Budget {
    /// So many octets in all, and so many of each user.
    pub(super) fn new(bytes: usize, share_bytes: usize, patience: Duration) -> Self {
        let pieces = |bytes: usize| (bytes / PIECE_BYTES).max(1);
        let all = pieces(bytes).min(Semaphore::MAX_PERMITS);
        let share = pieces(share_bytes).min(all);
        Self {
            all: Arc::new(Semaphore::new(all)),
            share: u32::try_from(share).unwrap_or(u32::MAX),
            patience,
            shares: Mutex::default(),
        }
    }

    /// Room for an answer to this user of at most so many octets, or of its whole share.
    pub(super) async fn room(
        self: &Arc<Self>,
        user: &UserId,
        bytes: usize,
    ) -> Result<Room, NoRoom> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX);
        let pieces = pieces.min(self.share);
        let share = self.share_of(user);
        let waits = async {
            // One's own first: who has used up its share is in nobody's way.
            let own = share.pieces.clone().acquire_many_owned(pieces).await;
            let all = self.all.clone().acquire_many_owned(pieces).await;
            own.ok().zip(all.ok())
        };
        let (own, all) = timeout(self.patience, waits)
            .await
            .ok()
            .flatten()
            .ok_or(NoRoom)?;
        Ok(Room {
            own,
            all,
            _share: share,
        })
    }

    fn share_of(self: &Arc<Self>, user: &UserId) -> Share {
        let mut shares = self.shares.lock();
        let fresh = || Arc::new(Semaphore::new(self.share as usize));
        let pieces = shares.entry(user.clone()).or_insert_with(fresh).clone();
        Share {
            budget: self.clone(),
            user: user.clone(),
            pieces,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn budget() -> Arc<Budget> {
        Arc::new(Budget::new(4 * MIB, 2 * MIB, Duration::from_millis(10)))
    }

    fn users() -> [UserId; 3] {
        [UserId::random(), UserId::random(), UserId::random()]
    }

    #[tokio::test]
    async fn who_does_not_read_uses_up_its_own_share_and_no_other() {
        let budget = budget();
        let [greedy, other, _] = users();
        let first = budget.room(&greedy, MIB).await.unwrap();
        let _second = budget.room(&greedy, MIB).await.unwrap();
        assert_eq!(budget.room(&greedy, MIB).await.unwrap_err(), NoRoom);
        let others = budget.room(&other, 2 * MIB).await.unwrap();
        drop(first);
        assert!(budget.room(&greedy, MIB).await.is_ok());
        drop(others);
    }

    #[tokio::test]
    async fn all_together_hold_no_more_than_there_is() {
        let budget = budget();
        let [one, two, three] = users();
        let mut first = budget.room(&one, 2 * MIB).await.unwrap();
        let _second = budget.room(&two, 2 * MIB).await.unwrap();
        assert_eq!(budget.room(&three, MIB).await.unwrap_err(), NoRoom);
        // Its answer came to less than the largest.
        first.shrink(MIB);
        assert!(budget.room(&three, MIB).await.is_ok());
    }

    #[tokio::test]
    async fn nothing_is_left_of_those_who_are_gone() {
        let budget = budget();
        let [one, two, _] = users();
        // More than a share is a share, so that nobody waits for ever.
        let held = budget.room(&one, 100 * MIB).await.unwrap();
        assert_eq!(budget.room(&one, 1).await.unwrap_err(), NoRoom);
        drop(budget.room(&two, 1).await.unwrap());
        assert_eq!(budget.shares.lock().len(), 1);
        drop(held);
        assert!(budget.shares.lock().is_empty());
        assert_eq!(budget.all.available_permits(), 4 * MIB / PIECE_BYTES);
    }
}
