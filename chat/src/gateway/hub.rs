//! Who is connected here, and what waits for each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use leveret_client::message::{Delivery, DeviceId, ServerFrame, UserId, envelope};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::mailbox::{Mailbox, Next, Room};

/// After so long, all services have heard that somebody has come; what they said before then may be missing.
const KNOWN_AFTER: Duration = Duration::from_secs(2);

/// A connection's place: what waits for it.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    since: Instant,
    mailbox: Mutex<Mailbox>,
    wake: Notify,
    /// Its login may have ended.
    doubtful: AtomicBool,
    /// It was told to ask for what was said while it was not known yet.
    settled: AtomicBool,
}

impl Seat {
    /// The next thing for the client, if there is any.
    pub(super) fn pop(&self) -> Option<Next> {
        self.mailbox.lock().pop()
    }

    /// Returns when there may be something.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether there is something.
    pub(super) fn has_more(&self) -> bool {
        !self.mailbox.lock().is_empty()
    }

    /// There is more than was taken: wakes again.
    pub(super) fn remind(&self) {
        self.wake.notify_one();
    }

    /// Whether the login is to be looked at again; asked once.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful.swap(false, Ordering::Relaxed)
    }

    pub(super) fn resync(&self) {
        self.mailbox.lock().resync();
        self.wake.notify_one();
    }
}

/// There are too many connections of one user.
#[derive(Debug)]
pub(super) struct TooMany;

/// All connections of this gateway.
#[derive(Debug)]
pub(super) struct Hub {
    room: Room,
    per_user_max: usize,
    seats: Mutex<HashMap<UserId, Vec<Arc<Seat>>>>,
    /// The gateway's queue, while it has one.
    queue: Mutex<Option<String>>,
}

impl Hub {
    pub(super) fn new(room: Room, per_user_max: usize) -> Self {
        Self {
            room,
            per_user_max,
            seats: Mutex::default(),
            queue: Mutex::default(),
        }
    }

    /// Somebody connects.
    pub(super) fn join(&self, user: UserId, device: DeviceId) -> Result<Arc<Seat>, TooMany> {
        let mut seats = self.seats.lock();
        let own = seats.entry(user.clone()).or_default();
        if own.len() >= self.per_user_max {
            return Err(TooMany);
        }
        let seat = Arc::new(Seat {
            user,
            device,
            since: Instant::now(),
            mailbox: Mutex::new(Mailbox::new(self.room)),
            wake: Notify::new(),
            doubtful: AtomicBool::new(false),
            settled: AtomicBool::new(false),
        });
        own.push(seat.clone());
        Ok(seat)
    }

    /// It is gone. The services learn of it with the next renewal; until then they say things to nobody.
    pub(super) fn leave(&self, seat: &Arc<Seat>) {
        let mut seats = self.seats.lock();
        if let Some(own) = seats.get_mut(&seat.user) {
            own.retain(|other| !Arc::ptr_eq(other, seat));
            if own.is_empty() {
                seats.remove(&seat.user);
            }
        }
    }

    /// Whether somebody is connected.
    pub(super) fn has(&self, user: &UserId) -> bool {
        self.seats.lock().contains_key(user)
    }

    /// Everybody who is connected.
    pub(super) fn users(&self) -> Vec<UserId> {
        self.seats.lock().keys().cloned().collect()
    }

    /// Connections.
    pub(super) fn count(&self) -> usize {
        self.seats.lock().values().map(Vec::len).sum()
    }

    /// Puts something into the mailboxes that it is for.
    pub(super) fn deliver(&self, delivery: Delivery) {
        let Delivery { to, to_dev, event } = delivery;
        let frame = ServerFrame::Event(event.clone());
        let Ok(frame) = Utf8Bytes::try_from(bytes_of(&frame)) else {
            return;
        };
        let seats = self.seats.lock();
        for seat in to.iter().filter_map(|user| seats.get(user)).flatten() {
            if to_dev.as_ref().is_none_or(|device| *device == seat.device) {
                seat.mailbox.lock().push(&event, &frame);
                seat.wake.notify_one();
            }
        }
    }

    /// What was said may not have come: everybody is to ask.
    pub(super) fn resync(&self) {
        for seat in self.seats.lock().values().flatten() {
            seat.resync();
        }
    }

    /// Those who have come a little while ago ask once for what may have been said while not every service
    /// knew of them.
    pub(super) fn settle(&self, now: Instant) {
        for seat in self.seats.lock().values().flatten() {
            let is_known = now.saturating_duration_since(seat.since) >= KNOWN_AFTER;
            if is_known && !seat.settled.swap(true, Ordering::Relaxed) {
                seat.resync();
            }
        }
    }

    /// Logins of this user may have ended.
    pub(super) fn doubt(&self, user: &UserId) {
        for seat in self.seats.lock().get(user).into_iter().flatten() {
            seat.doubtful.store(true, Ordering::Relaxed);
            seat.wake.notify_one();
        }
    }

    pub(super) fn set_queue(&self, queue: Option<String>) {
        *self.queue.lock() = queue;
    }

    pub(super) fn queue(&self) -> Option<String> {
        self.queue.lock().clone()
    }
}

/// A frame as it goes over the wire.
pub(super) fn bytes_of(frame: &ServerFrame) -> axum::body::Bytes {
    envelope::encode(frame).into()
}
