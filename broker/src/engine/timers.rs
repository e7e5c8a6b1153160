//! One task for everything that no socket drives: leases that were written, queues for which time
//! has something to do, dead letters that were too many for whoever caused them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::Engine;
use super::afterwork::Afterwork;
use super::burial::Burial;
use super::queue::Queue;
use crate::model::Seq;
use crate::store::Ticket;

/// Queues that are looked at before other tasks have their turn.
const QUEUES_AT_A_TIME: usize = 64;

/// Never in `Queue::scheduled_ms`.
const NEVER: u64 = u64::MAX;

/// What waits for time or for the disk.
#[derive(Debug, Default)]
pub(super) struct Timers {
    leases: Mutex<VecDeque<PendingLease>>,
    /// Queues by the monotonic millisecond at which they want to be looked at, each once.
    schedule: Mutex<BTreeMap<(u64, u64), Weak<Queue>>>,
    burials: Mutex<VecDeque<Burial>>,
    work: Notify,
}

#[derive(Debug)]
struct PendingLease {
    ticket: Ticket,
    queue: Arc<Queue>,
    up_to: Seq,
    generation: u32,
}

/// When there is something to do again.
enum Next {
    /// Now, but others first.
    Now,
    /// In a while.
    After(Duration),
    /// When somebody says so.
    Never,
}

impl Engine {
    /// Tells `queue` once its lease is written.
    pub(super) fn await_lease(
        &self,
        queue: &Arc<Queue>,
        ticket: Ticket,
        up_to: Seq,
        generation: u32,
    ) {
        self.timers.leases.lock().push_back(PendingLease {
            ticket,
            queue: Arc::clone(queue),
            up_to,
            generation,
        });
        self.timers.work.notify_one();
    }

    /// Looks at `queue` at `deadline_ms`, or earlier if that was agreed before. No lock may be held.
    pub(super) fn schedule(&self, queue: &Arc<Queue>, deadline_ms: Option<u64>) {
        let Some(deadline_ms) = deadline_ms else {
            return;
        };
        if queue.scheduled_ms.load(Ordering::Acquire) <= deadline_ms {
            return;
        }
        let mut schedule = self.timers.schedule.lock();
        let scheduled_ms = queue.scheduled_ms.load(Ordering::Acquire);
        if scheduled_ms <= deadline_ms {
            return;
        }
        schedule.remove(&(scheduled_ms, queue.number()));
        let is_first = schedule
            .first_key_value()
            .is_none_or(|((first_ms, _), _)| deadline_ms < *first_ms);
        schedule.insert((deadline_ms, queue.number()), Arc::downgrade(queue));
        queue.scheduled_ms.store(deadline_ms, Ordering::Release);
        drop(schedule);
        if is_first {
            self.timers.work.notify_one();
        }
    }

    /// Forgets a queue that is gone.
    pub(super) fn unschedule(&self, queue: &Queue) {
        let mut schedule = self.timers.schedule.lock();
        let scheduled_ms = queue.scheduled_ms.swap(NEVER, Ordering::AcqRel);
        schedule.remove(&(scheduled_ms, queue.number()));
    }

    /// Looks at every queue once: what has expired while the broker was down dies now that all
    /// queues are there (spec 9.7).
    pub(super) fn schedule_all(&self) {
        for host in self.virtual_hosts() {
            for queue in host.all_queues() {
                let now_ms = self.now().monotonic_ms;
                let holds_something = queue.counts().ready > 0;
                let deadline = holds_something.then_some(now_ms).or(queue.deadline());
                self.schedule(&queue, deadline);
            }
        }
    }

    /// Moves dead letters on, but not before others had their turn.
    pub(super) fn bury_later(&self, burials: Vec<Burial>) {
        self.timers.burials.lock().extend(burials.into_iter().rev());
        self.timers.work.notify_one();
    }

    /// Runs until the engine is dropped or told to stop.
    pub(crate) async fn run_timers(engine: Weak<Self>, mut stop: watch::Receiver<bool>) {
        let Some(mut progress) = engine.upgrade().map(|engine| engine.progress()) else {
            return;
        };
        loop {
            let Some(engine) = engine.upgrade() else {
                return;
            };
            engine.grant_leases();
            let next = engine.look_at_due_queues();
            let waits_for_disk = !engine.timers.leases.lock().is_empty();
            let (pause, sleeps) = match next {
                Next::Now => {
                    if *stop.borrow() {
                        return;
                    }
                    tokio::task::yield_now().await;
                    continue;
                }
                Next::After(pause) => (pause, true),
                Next::Never => (Duration::ZERO, false),
            };
            tokio::select! {
                changed = stop.changed() => if changed.is_err() || *stop.borrow() { return },
                changed = progress.changed(), if waits_for_disk => if changed.is_err() { return },
                () = engine.timers.work.notified() => {}
                () = tokio::time::sleep(pause), if sleeps => {}
            }
        }
    }

    /// Tells queues that their lease is written; what is written survives the process.
    fn grant_leases(self: &Arc<Self>) {
        let written = self.store().progress().written;
        loop {
            let lease = {
                let mut leases = self.timers.leases.lock();
                match leases.front() {
                    Some(lease) if lease.ticket <= written => leases.pop_front(),
                    Some(_) | None => None,
                }
            };
            let Some(lease) = lease else { return };
            let PendingLease {
                queue,
                up_to,
                generation,
                ..
            } = lease;
            queue.lease_written(self, up_to, generation);
        }
    }

    /// Looks at some of the queues whose time has come, and moves some dead letters on.
    fn look_at_due_queues(self: &Arc<Self>) -> Next {
        let burial = self.timers.burials.lock().pop_front();
        if let Some(burial) = burial {
            let mut work = Afterwork::default();
            work.burials.push(burial);
            self.work_off(work);
        }
        for _ in 0..QUEUES_AT_A_TIME {
            let Some(queue) = self.next_due_queue() else {
                break;
            };
            if let Some(queue) = queue.upgrade() {
                queue.tick(self);
            }
        }
        if !self.timers.burials.lock().is_empty() {
            return Next::Now;
        }
        let schedule = self.timers.schedule.lock();
        let Some(((first_ms, _), _)) = schedule.first_key_value() else {
            return Next::Never;
        };
        match first_ms.saturating_sub(self.now().monotonic_ms) {
            0 => Next::Now,
            pause_ms => Next::After(Duration::from_millis(pause_ms)),
        }
    }

    /// Takes the queue whose time came first out of the schedule.
    fn next_due_queue(&self) -> Option<Weak<Queue>> {
        let now_ms = self.now().monotonic_ms;
        let mut schedule = self.timers.schedule.lock();
        let first = schedule.first_entry()?;
        if first.key().0 > now_ms {
            return None;
        }
        let queue = first.remove();
        if let Some(queue) = queue.upgrade() {
            queue.scheduled_ms.store(NEVER, Ordering::Release);
        }
        Some(queue)
    }

    /// Deletes a queue that nobody has used for as long as its terms allow (spec 4.2.4). No lock may
    /// be held.
    pub(super) fn expire_queue(self: &Arc<Self>, queue: &Arc<Queue>) {
        if let Some(host) = self.virtual_host(queue.virtual_host().as_str()) {
            host.delete_expired_queue(self, queue);
        }
    }
}

impl Queue {
    /// Lets time pass: does what has become due.
    fn tick(self: &Arc<Self>, engine: &Arc<Engine>) {
        self.turn(engine, |state, turn| {
            state.tick(turn.now, &mut turn.effects);
            turn.absorb();
        });
        self.wake_waiting();
    }
}
