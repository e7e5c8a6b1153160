//! Alarms: whether memory and disk suffice (spec 11.1). Connections that publish are blocked while
//! they do not.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::Engine;
use super::memory::MemoryGauge;
use crate::model::{Reading, Shortage, Supply, Threshold};

/// How often resources are looked at while there is plenty,
const CALM: Duration = Duration::from_secs(1);
/// and when they are, or may soon be, too little.
const TENSE: Duration = Duration::from_millis(100);

/// What is measured, against what, and what follows from it.
#[derive(Debug)]
pub(crate) struct Alarms {
    shortage: watch::Sender<Shortage>,
    limits: Mutex<AlarmLimits>,
    gauge: Mutex<MemoryGauge>,
    latest: Mutex<Reading>,
    limits_changed: Notify,
    /// One looks at a time: a look that began under old limits must not have the last word.
    looking: Mutex<()>,
}

/// When there is too little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AlarmLimits {
    /// More memory than this is too much.
    pub(crate) memory: Threshold,
    /// Less free space than this is too little; `None` leaves it to the store.
    pub(crate) disk_free: Option<Threshold>,
}

impl Alarms {
    pub(super) fn new(limits: AlarmLimits) -> Self {
        Self {
            shortage: watch::Sender::new(Shortage::default()),
            limits: Mutex::new(limits),
            gauge: Mutex::default(),
            latest: Mutex::default(),
            limits_changed: Notify::new(),
            looking: Mutex::default(),
        }
    }

    /// What there is too little of.
    pub(crate) fn shortage(&self) -> Shortage {
        *self.shortage.borrow()
    }

    /// Tells whenever that changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Shortage> {
        self.shortage.subscribe()
    }

    /// What was measured last.
    pub(crate) fn latest(&self) -> Reading {
        *self.latest.lock()
    }

    /// What is too little at present.
    pub(crate) fn limits(&self) -> AlarmLimits {
        *self.limits.lock()
    }

    fn conclude(&self, reading: Reading) {
        *self.latest.lock() = reading;
        self.shortage.send_if_modified(|shortage| {
            let after = shortage.after(&reading);
            let before = std::mem::replace(shortage, after);
            report(before, after, &reading);
            before != after
        });
    }
}

fn report(before: Shortage, after: Shortage, reading: &Reading) {
    for resource in [Supply::Memory, Supply::Disk] {
        match (before.of(resource), after.of(resource)) {
            (false, true) => tracing::warn!(
                %resource,
                ?reading,
                "resource alarm: connections that publish are blocked"
            ),
            (true, false) => tracing::warn!(%resource, ?reading, "resource alarm cleared"),
            (false, false) | (true, true) => {}
        }
    }
}

impl Engine {
    /// Sets how much memory is too much, from the next look on.
    pub(crate) fn set_memory_limit(&self, limit: Threshold) {
        self.alarms.limits.lock().memory = limit;
        self.alarms.limits_changed.notify_one();
    }

    /// Sets how much free space is too little, from the next look on.
    pub(crate) fn set_disk_free_limit(&self, limit: Threshold) {
        self.alarms.limits.lock().disk_free = Some(limit);
        self.alarms.limits_changed.notify_one();
    }

    /// Looks at memory and disk, and raises and clears alarms. Asks the file system: blocks.
    pub(crate) fn look_at_resources(&self) {
        let _alone = self.alarms.looking.lock();
        let limits = self.alarms.limits();
        let memory = self.alarms.gauge.lock().read();
        if let Some(limit) = limits.disk_free {
            let bytes = limit.bytes(memory.total);
            bytes.inspect(|bytes| self.store().set_disk_free_limit(*bytes));
        }
        let space = self.store().space();
        self.alarms.conclude(Reading {
            memory_used: memory.used,
            memory_limit: limits.memory.bytes(memory.total),
            disk_free: space.map(|space| space.free_bytes),
            disk_limit: space.map(|space| space.limit_bytes),
        });
    }

    /// Looks at memory and disk until the engine is dropped or told to stop.
    pub(crate) async fn run_alarms(engine: Weak<Self>, mut stop: watch::Receiver<bool>) {
        while let Some(engine) = engine.upgrade() {
            let looking = Arc::clone(&engine);
            let looked = tokio::task::spawn_blocking(move || looking.look_at_resources()).await;
            if let Err(error) = looked {
                tracing::error!(%error, "memory and disk could not be looked at");
            }
            let tense = engine.alarms.latest().is_close() || !engine.alarms.shortage().is_none();
            let pause = if tense { TENSE } else { CALM };
            tokio::select! {
                changed = stop.changed() => if changed.is_err() || *stop.borrow() { return },
                () = engine.alarms.limits_changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
