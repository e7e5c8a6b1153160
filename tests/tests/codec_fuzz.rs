//! The fuzz targets on a stable compiler: every file of the corpus, then mutations of them.
//!
//! `LEVERET_FUZZ_MUTATIONS` is the number of mutations for each target, `LEVERET_FUZZ_SEED` where
//! they start. A failure names the seed and shows the octets; put those into the corpus.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers too"
)]

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::env;
use std::fs;
use std::panic;
use std::path::Path;
use std::thread;

use targets::{Target, Verdict};

/// Small enough for every change; the nightly run asks for more.
const MUTATIONS: u64 = 200_000;

/// Longer inputs find nothing more and take long.
const LENGTH_MAX: usize = 4_096;

/// The file name begins with what the target must make of it.
const ACCEPTED: &str = "accepted-";
const REFUSED: &str = "refused-";

fn corpus(target: Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target.name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().unwrap())
}

/// A small generator of our own (splitmix64), so that a seed means the same with every version of
/// every library.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, 0 if there is none.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    fn octet(&mut self) -> u8 {
        const TELLING: &[u8] = b"\0\x01\x02\x03\x08\x7f\x80\xce\xfe\xfftbBsuUIilLfdDSTFAVx";
        match self.below(2) {
            0 => TELLING[self.below(TELLING.len())],
            _ => self.next().to_le_bytes()[0],
        }
    }
}

/// Changes `data` in one of the ways that lead a decoder astray.
fn mutate(random: &mut Random, data: &mut Vec<u8>, other: &[u8]) {
    let place = random.below(data.len());
    let end = place + random.below(data.len() - place + 1).min(64);
    match random.below(8) {
        0 if !data.is_empty() => data[place] ^= 1 << random.below(8),
        1 if !data.is_empty() => data[place] = random.octet(),
        2 => data.insert(place, random.octet()),
        3 => drop(data.drain(place..end)),
        4 => {
            let repeated = data[place..end].to_vec();
            data.splice(place..place, repeated);
        }
        5 => {
            let start = random.below(other.len());
            let stop = start + random.below(other.len() - start + 1);
            data.splice(place..end, other[start..stop].iter().copied());
        }
        6 if data.len() >= 4 => {
            const LENGTHS: [u32; 8] = [0, 1, 4, 255, 256, 0x7FFF_FFFF, 0x8000_0000, u32::MAX];
            let place = random.below(data.len() - 3);
            let length = LENGTHS[random.below(LENGTHS.len())];
            data[place..place + 4].copy_from_slice(&length.to_be_bytes());
        }
        _ => data.truncate(place),
    }
    data.truncate(LENGTH_MAX);
}

fn survive_mutations(target: Target) {
    let corpus = corpus(target);
    let seed = number("LEVERET_FUZZ_SEED", 1);
    let mut accepted = 0_u64;
    let mutations = number("LEVERET_FUZZ_MUTATIONS", MUTATIONS);
    for run in 0..mutations {
        let mut random = Random(seed.wrapping_add(run).wrapping_mul(0x2545_F491_4F6C_DD1D));
        let mut data = corpus[random.below(corpus.len())].1.clone();
        let other = &corpus[random.below(corpus.len())].1;
        for _ in 0..=random.below(4) {
            mutate(&mut random, &mut data, other);
        }
        match panic::catch_unwind(|| (target.run)(&data)) {
            Ok(Verdict::Accepted) => accepted += 1,
            Ok(Verdict::Refused) => {}
            Err(_) => panic!("{} fails with seed {}: {data:?}", target.name, seed + run),
        }
    }
    let share = accepted as f64 / mutations as f64;
    assert!(
        mutations < 1_000 || (0.02..0.98).contains(&share),
        "{} accepts {share} of the mutations, so one side of it is hardly tested",
        target.name,
    );
}

/// The oracle recurses, so it gets room for what we accept.
fn with_room(check: impl FnOnce() + Send + 'static) {
    const STACK: usize = 16 * 1024 * 1024;
    let thread = thread::Builder::new()
        .stack_size(STACK)
        .spawn(check)
        .unwrap();
    if let Err(panic) = thread.join() {
        panic::resume_unwind(panic);
    }
}

#[test]
fn every_file_of_the_corpus_is_accepted_or_refused_as_its_name_says() {
    with_room(|| {
        for target in targets::ALL {
            let corpus = corpus(target);
            for (name, data) in &corpus {
                let expected = match (name.starts_with(ACCEPTED), name.starts_with(REFUSED)) {
                    (true, _) => Verdict::Accepted,
                    (_, true) => Verdict::Refused,
                    _ => panic!("{}/{name} says nothing", target.name),
                };
                assert_eq!((target.run)(data), expected, "{}/{name}", target.name);
            }
            for prefix in [ACCEPTED, REFUSED] {
                let there = corpus.iter().any(|(name, _)| name.starts_with(prefix));
                assert!(there, "{} has no file {prefix}…", target.name);
            }
        }
    });
}

#[test]
fn every_target_survives_mutations_of_its_corpus() {
    for target in targets::ALL {
        with_room(move || survive_mutations(target));
    }
}

#[test]
fn every_folder_of_the_corpus_belongs_to_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut folders: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(folders, targets::ALL.map(|target| target.name));
}
