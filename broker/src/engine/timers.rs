//! One task for everything that no socket drives: leases that were written, queues whose deadlines
//! have come, bodies above the budget.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::Engine;
use super::queue::Queue;
use crate::model::Seq;
use crate::store::Ticket;

/// How often deadlines are looked at while there are any.
const TICK: Duration = Duration::from_millis(25);

/// What waits for time or for the disk.
#[derive(Debug, Default)]
pub(super) struct Timers {
    leases: Mutex<VecDeque<PendingLease>>,
    ticking: Mutex<AHashMap<u64, Arc<Queue>>>,
    work: Notify,
}

#[derive(Debug)]
struct PendingLease {
    ticket: Ticket,
    queue: Arc<Queue>,
    up_to: Seq,
    generation: u32,
}

impl Engine {
    /// Tells `queue` once its lease is written, and looks after its deadlines from now on.
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
        self.timers
            .ticking
            .lock()
            .insert(queue.number(), Arc::clone(queue));
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
            let idle = engine.tick();
            let waits_for_disk = !engine.timers.leases.lock().is_empty();
            tokio::select! {
                changed = stop.changed() => if changed.is_err() || *stop.borrow() { return },
                changed = progress.changed(), if waits_for_disk => if changed.is_err() { return },
                () = engine.timers.work.notified() => {}
                () = tokio::time::sleep(TICK), if !idle => {}
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

    /// Looks at every queue that has a deadline; `true` if none has.
    fn tick(self: &Arc<Self>) -> bool {
        let queues: Vec<Arc<Queue>> = self.timers.ticking.lock().values().cloned().collect();
        for queue in queues {
            let next = queue.turn(self, |state, turn| {
                let next = state.tick(turn.now, &mut turn.effects);
                turn.absorb();
                next
            });
            if next.is_none_or(|(next, _)| next.is_none()) {
                self.timers.ticking.lock().remove(&queue.number());
            }
        }
        self.timers.ticking.lock().is_empty()
    }
}
