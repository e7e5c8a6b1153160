//! Random schedules, crashed at every sync and at many other steps, with what is left judged
//! against what had been promised by then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use leveret_log::{
    Checkpoint, CommitError, Durability, Log, Lsn, Options, SegmentId, inspect,
    simulated::{Fault, FaultEffect, FaultPoint, LossPolicy, Operation, PowerLoss, SimulatedDisk},
};
use parking_lot::Mutex;

use crate::{common::*, failure::poisoned};

type Places = BTreeMap<u64, (SegmentId, Lsn)>;

/// A disk, and what opening a log on it must and may bring.
#[derive(Clone)]
pub(crate) struct World {
    disk: SimulatedDisk,
    must: Places,
    /// What must be there even if power is lost before the log is open again.
    synced: Places,
    /// Everything that was ever written to it and is not known to be gone.
    may: Arc<Places>,
    /// What a checkpoint may have freed.
    freed: BTreeSet<SegmentId>,
    /// The next payload's number.
    next: u64,
}

/// A moment at which the machine might have stopped.
struct Moment {
    disk: SimulatedDisk,
    /// Last records synced and written; none while the log was being opened.
    lsns: Option<(Lsn, Lsn)>,
    freed: BTreeSet<SegmentId>,
}

/// A generator for schedules.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }
}

fn length(number: u64) -> usize {
    let mut dice = Dice::new(number + 1);
    dice.below(2);
    match dice.below(100) {
        0 => 30_000 + dice.below(100_000) as usize,
        1..10 => 2000 + dice.below(6000) as usize,
        _ => 8 + dice.below(400) as usize,
    }
}

fn number_of(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload[..8].try_into().expect("eight bytes"))
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            disk: SimulatedDisk::new(),
            must: Places::new(),
            synced: Places::new(),
            may: Arc::default(),
            freed: BTreeSet::new(),
            next: 0,
        }
    }

    /// Checks what opening the log brings; gives a description of the first broken promise.
    fn check(&self, found: &Found) -> Result<(), String> {
        let mut last = None;
        for (lsn, location, bytes) in &found.records {
            let number = number_of(bytes);
            if *bytes != payload(number, length(number)) {
                return Err(format!("payload {number} changed"));
            }
            if self.may.get(&number) != Some(&(location.segment, *lsn)) {
                return Err(format!(
                    "payload {number} was not written as {lsn} at {location}"
                ));
            }
            let from = last.map_or(0, |last| last + 1);
            let skipped = self
                .may
                .range(from..number)
                .find(|(_, place)| !self.gone(place));
            if let Some((skipped, _)) = skipped {
                return Err(format!("payload {skipped} is not there, but {number} is"));
            }
            last = Some(number);
        }
        let there: BTreeSet<u64> = found
            .records
            .iter()
            .map(|(_, _, bytes)| number_of(bytes))
            .collect();
        match self.must.keys().find(|number| !there.contains(number)) {
            Some(lost) => Err(format!("payload {lost} of {} was lost", self.must.len())),
            None => Ok(()),
        }
    }

    fn gone(&self, place: &(SegmentId, Lsn)) -> bool {
        self.freed.contains(&place.0)
    }

    /// Opens the log, does something random with it, and gives the moments met on the way. What the
    /// disk holds afterwards is in `self`.
    fn run(&mut self, durability: Durability, dice: &mut Dice) -> Result<Vec<Moment>, String> {
        let shared = Arc::new(Watched::default());
        shared.watch(&self.disk, dice.below(6) + 1);
        let author = Plain::default();
        let options = Options {
            durability,
            ..options()
        };
        let opened = open_with(&self.disk, options, Found::default(), author);
        self.check(&opened.found)?;
        if !opened.report.damage.is_empty() {
            return Err(format!(
                "a crash was taken for damage: {:?}",
                opened.report.damage
            ));
        }
        let records = opened.found.records.iter();
        let mut may: Places = records
            .map(|(lsn, location, bytes)| (number_of(bytes), (location.segment, *lsn)))
            .collect();
        assert!(shared.log.set(opened.log.clone()).is_ok());
        for _ in 0..8 + dice.below(12) {
            self.act(&opened, &shared, dice);
        }
        match dice.below(2) {
            0 => opened.log.shutdown(),
            _ => drop(opened.log.sync().expect("synced")),
        }
        self.disk.watch(|_| ());
        may.extend(places(&opened));
        self.may = Arc::new(may);
        Ok(std::mem::take(&mut *shared.moments.lock()))
    }

    fn act(&mut self, opened: &Opened, shared: &Arc<Watched>, dice: &mut Dice) {
        match dice.below(12) {
            0..7 => {
                let numbers = self.next..self.next + 1 + dice.below(40);
                self.next = numbers.end;
                let mut burst: Vec<_> = numbers
                    .map(|number| payload(number, length(number)))
                    .collect();
                let ticket = opened.log.submit(&mut burst);
                if dice.below(4) > 0 {
                    // What found no space was not written, and must not appear.
                    let outcome = opened.log.wait_durable(ticket, LONG);
                    assert!(!outcome.is_err_and(|error| poisoned(&error)));
                }
            }
            7 => drop(opened.log.sync().expect("synced")),
            8 => {
                let room = self.disk.used_bytes() + dice.below(80_000);
                self.disk.set_capacity(Some(room));
            }
            9 => self.disk.set_capacity(None),
            _ => checkpoint(&opened.log, shared, dice),
        }
    }

    /// The world after a crash at a moment of the run that `self` came out of.
    fn after(&self, before: &Self, moment: &Moment, loss: PowerLoss) -> Self {
        let up_to = |limit| {
            let promised = self
                .may
                .iter()
                .filter(|(_, place)| place.1 <= limit && !moment.freed.contains(&place.0));
            promised
                .map(|(number, place)| (*number, *place))
                .collect::<Places>()
        };
        let (synced, written, may) = match moment.lsns {
            None => (
                before.synced.clone(),
                before.must.clone(),
                before.may.clone(),
            ),
            Some((synced, written)) => (up_to(synced), up_to(written), self.may.clone()),
        };
        let process = loss.policy == LossPolicy::Process;
        let must = if process { written } else { synced.clone() };
        let freed = before.freed.union(&moment.freed).copied().collect();
        let disk = moment.disk.image(loss);
        disk.set_capacity(None);
        Self {
            disk,
            must,
            synced,
            may,
            freed,
            next: self.next,
        }
    }
}

/// Where everything lies that was written since the log was opened.
fn places(opened: &Opened) -> Places {
    let seen = opened.author.seen();
    let places = seen.places.iter();
    places
        .map(|(bytes, (location, lsn))| (number_of(bytes), (location.segment, *lsn)))
        .collect()
}

fn losses(dice: &mut Dice) -> [PowerLoss; 5] {
    [
        PowerLoss::unsynced(),
        PowerLoss::process_death(),
        PowerLoss::sectors(dice.below(u64::MAX)),
        PowerLoss::sectors(dice.below(u64::MAX)),
        PowerLoss {
            seed: dice.below(u64::MAX),
            policy: LossPolicy::Ordered,
        },
    ]
}

/// What the watcher of a disk shares with the test.
#[derive(Default)]
struct Watched {
    log: OnceLock<Log<Plain>>,
    moments: Mutex<Vec<Moment>>,
    freed: Mutex<BTreeSet<SegmentId>>,
}

impl Watched {
    /// Records every sync, and every n-th other step, with what was promised by then.
    fn watch(self: &Arc<Self>, disk: &SimulatedDisk, every: u64) {
        let this = self.clone();
        let steps = Mutex::new(0);
        disk.watch(move |step| {
            let is_sync = matches!(step.operation, Operation::Sync | Operation::SyncDirectory);
            *steps.lock() += 1;
            if is_sync || *steps.lock() % every == 0 {
                let log = this.log.get();
                this.moments.lock().push(Moment {
                    disk: step.before.clone(),
                    lsns: log.map(|log| (log.durable_lsn(), log.last_written_lsn())),
                    freed: this.freed.lock().clone(),
                });
            }
        });
    }
}

fn checkpoint(log: &Log<Plain>, shared: &Arc<Watched>, dice: &mut Dice) {
    let below = Lsn(dice.below(log.durable_lsn().0 + 2));
    let mask = dice.below(u64::MAX);
    let shared = shared.clone();
    let keep = move |_: &mut Plain, segment: &leveret_log::SegmentInfo| {
        let keeps = mask >> (segment.id.0 % 64) & 1 == 1;
        if !keeps {
            shared.freed.lock().insert(segment.id);
        }
        keeps
    };
    let done = log.checkpoint(
        Checkpoint {
            epoch: 1,
            below,
            payload: Vec::new(),
        },
        keep,
    );
    match done {
        Ok(done) => assert!(done.freed.iter().all(|freed| !done.kept.contains(freed))),
        Err(error) => assert!(matches!(error, CommitError::NoSpace { .. }), "{error}"),
    }
}

/// What an inspection finds, and that it agrees with what opening then finds.
fn inspected(world: &World) -> Result<Found, String> {
    let mut found = Found::default();
    let disk = Arc::new(world.disk.clone());
    let before = world.disk.image(PowerLoss::process_death());
    if before.paths().is_empty() {
        return Ok(found);
    }
    let report = inspect(disk, &options(), &mut found).map_err(|error| error.to_string())?;
    if before.paths() != world.disk.paths() {
        return Err("an inspection changed the disk".to_owned());
    }
    if report.damage.is_empty() {
        Ok(found)
    } else {
        Err(format!("damage: {report:?}"))
    }
}

/// Crashes a world again and again; gives how many images were judged.
pub(crate) fn crash(world: &World, seed: u64, depth: u32) -> Result<u64, String> {
    let mut dice = Dice::new(seed);
    let durability = match dice.below(4) {
        0 => Durability::Os,
        1 => Durability::Interval(std::time::Duration::from_micros(dice.below(2000))),
        _ => Durability::Commit,
    };
    let mut after = world.clone();
    let moments = after.run(durability, &mut dice)?;
    let mut images = 0;
    for moment in &moments {
        for loss in losses(&mut dice) {
            let context = |text| format!("{text} (seed {seed}, {durability:?}, {loss:?})");
            let crashed = after.after(world, moment, loss);
            let found = inspected(&crashed).map_err(context)?;
            crashed.check(&found).map_err(context)?;
            images += 1;
            if depth > 0 && dice.below(60) == 0 {
                images += crash(&crashed, dice.below(u64::MAX), depth - 1).map_err(context)?;
            }
        }
    }
    Ok(images)
}

#[test]
fn nothing_promised_is_lost_in_any_crash_of_a_random_schedule() {
    // More seeds for a long run: LOG_SEEDS=100..200.
    let seeds = std::env::var("LOG_SEEDS").unwrap_or_else(|_| "0..5".to_owned());
    let (from, to) = seeds.split_once("..").expect("a range of seeds");
    let seeds: std::ops::Range<u64> = from.parse().unwrap()..to.parse().unwrap();
    let wanted = 200 * (seeds.end - seeds.start);
    let mut images = 0;
    for seed in seeds {
        images += crash(&World::new(), seed, 2).unwrap();
    }
    eprintln!("{images} images");
    assert!(images > wanted, "only {images} images");
}

#[test]
fn a_crash_between_any_two_steps_of_a_checkpoint_loses_nothing() {
    let shared = Arc::new(Watched::default());
    let mut world = World::new();
    let opened = open(
        &world.disk,
        Options {
            segment_bytes_max: 16 << 10,
            ..options()
        },
    );
    shared.log.set(opened.log.clone()).expect("once");
    world.next = 200;
    for number in 0..world.next {
        opened.put(&[payload(number, length(number))]);
        if number % 50 == 49 {
            // From here on every single step is a moment.
            shared.watch(&world.disk, 1);
            checkpoint(&opened.log, &shared, &mut Dice::new(number));
        }
    }
    world.may = Arc::new(places(&opened));
    let moments = std::mem::take(&mut *shared.moments.lock());
    assert!(moments.len() > 300, "{}", moments.len());
    for (index, moment) in moments.iter().enumerate() {
        for loss in losses(&mut Dice::new(index as u64)) {
            let crashed = world.after(&World::new(), moment, loss);
            let verdict = inspected(&crashed).and_then(|found| crashed.check(&found));
            verdict.unwrap_or_else(|text| panic!("{text} at step {index}, {loss:?}"));
        }
    }
}

#[test]
fn a_disk_that_forgets_a_sync_is_found_out() {
    for forgotten in 1..=10 {
        let mut world = World::new();
        let opened = open(&world.disk, options());
        let at = FaultPoint::Sync(world.disk.syncs() + forgotten);
        for number in 0..forgotten {
            world.disk.inject(Fault {
                at,
                effect: FaultEffect::Forget,
            });
            opened.put(&[payload(number, length(number))]);
        }
        for (bytes, (location, lsn)) in &opened.author.seen().places {
            world
                .must
                .insert(number_of(bytes), (location.segment, *lsn));
        }
        world.may = Arc::new(world.must.clone());
        world.disk = world.disk.image(PowerLoss::unsynced());
        let verdict = inspected(&world).and_then(|found| world.check(&found));
        let found_out = verdict.is_err_and(|text| text.contains("was lost"));
        assert!(
            found_out,
            "sync {forgotten} was forgotten and nobody noticed"
        );
    }
}
