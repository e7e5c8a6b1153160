//! Random histories: whatever happens, in whatever order, the queue does what the reference says.

use proptest::prelude::*;

use super::duplicates::deduplication;
use super::reference::Member;
use super::world::World;
use crate::model::{
    ConsumerKey, DeadLetterTarget, DeliveryLimit, QueueTerms, Retention, Seq, Settlement,
};
use crate::queue::{Expiry, LoadFailure, Recording, Settings, Sharing, Takeover};

#[derive(Clone, Debug)]
enum Step {
    Publish {
        count: u8,
        persistent: bool,
        priority: u8,
    },
    Consume {
        priority: i64,
        prefetch: u32,
        no_ack: bool,
        room: u32,
    },
    Cancel(usize),
    Resume(usize, u32),
    SetPrefetch(usize, u32),
    Dispatch,
    Settle {
        settlement: Settlement,
        /// Every how many-th unacked message, and from which on.
        every: usize,
        from: usize,
        backwards: bool,
    },
    Get {
        no_ack: bool,
    },
    Purge,
    Write(u8),
    ServeBodies(usize, Option<LoadFailure>),
    ServeBlocks(bool),
    Release(usize),
    PageOut(usize, u8),
    Tick(u64),
    Crash(u8, u8),
    Stop(u8, u8, u8),
    Bury,
    SetTerms(QueueTerms),
}

fn settlement() -> impl Strategy<Value = Settlement> {
    prop_oneof![
        4 => Just(Settlement::Acknowledge),
        3 => Just(Settlement::Requeue),
        2 => Just(Settlement::Return),
        1 => Just(Settlement::Discard),
    ]
}

fn failure() -> impl Strategy<Value = Option<LoadFailure>> {
    prop_oneof![
        8 => Just(None),
        1 => Just(Some(LoadFailure::Damaged)),
        1 => Just(Some(LoadFailure::Unavailable)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => (1..40_u8, prop::bool::weighted(0.8), 0..4_u8).prop_map(
            |(count, persistent, priority)| Step::Publish { count, persistent, priority }
        ),
        8 => (-1..2_i64, 0..6_u32, prop::bool::weighted(0.2), 0..20_u32).prop_map(
            |(priority, prefetch, no_ack, room)| {
                Step::Consume { priority, prefetch, no_ack, room }
            }
        ),
        3 => any::<usize>().prop_map(Step::Cancel),
        6 => (any::<usize>(), 0..30_u32).prop_map(|(number, room)| Step::Resume(number, room)),
        2 => (any::<usize>(), 0..6_u32).prop_map(|(number, n)| Step::SetPrefetch(number, n)),
        24 => Just(Step::Dispatch),
        16 => (settlement(), 1..4_usize, 0..4_usize, any::<bool>()).prop_map(
            |(settlement, every, from, backwards)| {
                Step::Settle { settlement, every, from, backwards }
            }
        ),
        6 => any::<bool>().prop_map(|no_ack| Step::Get { no_ack }),
        1 => Just(Step::Purge),
        14 => any::<u8>().prop_map(Step::Write),
        8 => Just(Step::Write(255)),
        12 => (1..80_usize, failure()).prop_map(|(n, failure)| Step::ServeBodies(n, failure)),
        10 => prop::bool::weighted(0.8).prop_map(Step::ServeBlocks),
        8 => prop_oneof![0..500_usize, Just(usize::MAX)].prop_map(Step::Release),
        6 => (0..3_usize, any::<u8>()).prop_map(|(keep, part)| Step::PageOut(keep, part)),
        6 => (0..200_u64).prop_map(Step::Tick),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(kept, at)| Step::Crash(kept, at)),
        1 => any::<(u8, u8, u8)>().prop_map(|(written, kept, at)| Step::Stop(written, kept, at)),
        10 => Just(Step::Bury),
        1 => terms().prop_map(Step::SetTerms),
    ]
}

fn settings() -> impl Strategy<Value = (Settings, QueueTerms, u32)> {
    let levels = prop_oneof![2 => Just(1_u16), 1 => Just(3_u16)];
    let block_bits = prop_oneof![2 => Just(2_u32), 2 => Just(4_u32), 1 => Just(9_u32)];
    let sharing = prop_oneof![
        4 => Just(Sharing::Competing),
        1 => Just(Sharing::SingleActive(Takeover::WhenGone)),
        1 => Just(Sharing::SingleActive(Takeover::ByPriority)),
    ];
    let recording = prop_oneof![
        8 => Just(Recording::Persistent),
        1 => Just(Recording::Nothing),
        1 => Just(Recording::Everything),
    ];
    (levels, recording, terms(), sharing, block_bits).prop_map(
        |(levels, recording, terms, sharing, block_bits)| {
            let settings = Settings {
                levels,
                default_priority: 0,
                recording,
                sharing,
                expiry: Expiry::OfHighest,
            };
            (settings, terms, block_bits)
        },
    )
}

fn terms() -> impl Strategy<Value = QueueTerms> {
    let ttl = prop_oneof![3 => Just(None), 1 => (0..400_u64).prop_map(Some)];
    let length = prop_oneof![3 => Just(None), 1 => (0..60_u64).prop_map(Some)];
    let bytes = prop_oneof![5 => Just(None), 1 => (0..400_u64).prop_map(Some)];
    let limit = prop_oneof![
        2 => Just(None),
        1 => Just(Some(DeliveryLimit::Unlimited)),
        1 => (0..3_u64).prop_map(|times| Some(DeliveryLimit::Times(times))),
    ];
    (ttl, length, bytes, limit, any::<(bool, bool)>()).prop_map(
        |(message_ttl_ms, max_length, max_length_bytes, delivery_limit, (dead_letters, tells))| {
            QueueTerms {
                deduplication: tells
                    .then(|| deduplication(Retention::WhileQueued, u64::MAX).into()),
                message_ttl_ms,
                max_length,
                max_length_bytes,
                delivery_limit,
                dead_letter: dead_letters.then(|| DeadLetterTarget {
                    exchange: "dlx".into(),
                    routing_key: None,
                }),
                ..QueueTerms::default()
            }
        },
    )
}

fn take(world: &mut World, step: &Step) {
    match *step {
        Step::Publish {
            count,
            persistent,
            priority,
        } => (0..count).for_each(|_| world.publish(persistent, priority)),
        Step::Consume {
            priority,
            prefetch,
            no_ack,
            room,
        } => world.consume(Member {
            key: ConsumerKey(0),
            priority,
            prefetch,
            no_ack,
            blocked: false,
            outstanding: 0,
            room,
        }),
        Step::Cancel(number) => {
            if let Some(key) = world.pick(number) {
                world.cancel(key);
            }
        }
        Step::Resume(number, room) => {
            if let Some(key) = world.pick(number) {
                world.resume(key, room);
            }
        }
        Step::SetPrefetch(number, prefetch) => {
            if let Some(key) = world.pick(number) {
                world.set_prefetch(key, prefetch);
            }
        }
        Step::Dispatch => world.dispatch(),
        Step::Settle {
            settlement,
            every,
            from,
            backwards,
        } => {
            let unacked = world.reference.unacked.keys().copied();
            let mut seqs: Vec<Seq> = unacked.skip(from).step_by(every).collect();
            if backwards {
                seqs.reverse();
            }
            // Somebody else's, or nobody's: to be passed over.
            seqs.push(Seq::new(0, 1 << 40));
            seqs.extend(seqs.first().copied());
            world.settle(&seqs, settlement);
        }
        Step::Get { no_ack } => world.get(no_ack),
        Step::Purge => world.purge(),
        Step::Write(part) => world.write(part),
        Step::ServeBodies(count, failure) => world.serve_bodies(count, failure),
        Step::ServeBlocks(available) => world.serve_blocks(available),
        Step::Release(bytes) => world.release(bytes),
        Step::PageOut(keep_blocks, part) => world.page_out(keep_blocks, part),
        Step::Tick(milliseconds) => world.tick(milliseconds),
        Step::Crash(kept, checkpoint) => world.crash(kept, checkpoint),
        Step::Stop(written, kept, checkpoint) => world.stop(written, kept, checkpoint),
        Step::Bury => world.bury(),
        Step::SetTerms(ref terms) => world.set_terms(terms.clone()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_agrees_with_the_reference(
        (settings, terms, block_bits) in settings(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(settings, terms, block_bits);
        for step in &steps {
            take(&mut world, step);
            world.check();
        }
        world.drain();
    }
}
