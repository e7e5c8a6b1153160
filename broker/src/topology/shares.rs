//! Exchanges that give each message to one destination, chosen by a hash.
//!
//! The weighted choice is rendezvous hashing: every destination draws a number from the message's
//! hash and its own, scaled by its weight, and the highest wins. A destination that comes takes a
//! share proportional to its weight from all others, and one that goes leaves only its own to them;
//! nothing else moves. The numbers depend on names alone, so that a restart changes nothing.

use std::hash::Hash;

use super::compact_map::CompactMap;
use crate::model::{ArgumentError, value_term};
use crate::wire::Value;

/// The heaviest weight, as in RabbitMQ.
const WEIGHT_MAX: u32 = 10_000;

/// What a binding gives its destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// The destination's own number, which is the same after a restart.
    identity: u64,
    /// Its share in relation to others.
    weight: u32,
}

impl Share {
    /// The share of a binding whose key is a weight (spec 3.7.1).
    pub(super) fn weighted(routing_key: &str, destination: &str) -> Result<Self, ArgumentError> {
        Ok(Self {
            weight: parse_weight(routing_key)?,
            ..Self::equal(destination)
        })
    }

    /// The share of a binding whose key means nothing.
    pub(super) fn equal(destination: &str) -> Self {
        Self {
            identity: stable_hash(destination.as_bytes()),
            weight: 1,
        }
    }
}

/// The weight that a binding key is.
fn parse_weight(routing_key: &str) -> Result<u32, ArgumentError> {
    let digits = routing_key.strip_prefix(['+', '-']).unwrap_or(routing_key);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let key = value_term(Value::LongString(routing_key.as_bytes()));
        let text = format!("The binding key must be an integer: {key}");
        return Err(ArgumentError::Text(text));
    }
    let is_negative = routing_key.starts_with('-');
    match digits.parse() {
        _ if is_negative || digits.bytes().all(|byte| byte == b'0') => Err(ArgumentError::Text(
            "The binding key must be greater than 0".to_owned(),
        )),
        Ok(weight @ ..=WEIGHT_MAX) => Ok(weight),
        // More digits than any weight has are too many, too.
        Ok(_) | Err(_) => Err(ArgumentError::Text(format!(
            "The binding key must not exceed {WEIGHT_MAX}"
        ))),
    }
}

#[derive(Debug, Default)]
struct Member {
    share: Share,
    bindings: usize,
}

/// The destinations of an exchange that chooses one of them.
#[derive(Debug)]
pub(super) struct Shares<D> {
    /// A destination's share is that of its first binding, as long as it has any.
    members: CompactMap<D, Member>,
    /// The same destinations by their numbers.
    order: Vec<(u64, D)>,
}

impl<D: Clone + Eq + Hash> Shares<D> {
    pub(super) fn new() -> Self {
        Self {
            members: CompactMap::default(),
            order: Vec::new(),
        }
    }

    pub(super) fn bind(&mut self, destination: &D, share: Share) {
        let member = self.members.value_or_default(destination);
        member.bindings += 1;
        if member.bindings == 1 {
            member.share = share;
            let at = self
                .order
                .partition_point(|(other, _)| *other < share.identity);
            self.order.insert(at, (share.identity, destination.clone()));
        }
    }

    pub(super) fn unbind(&mut self, destination: &D) {
        let Some(member) = self.members.value_mut(destination) else {
            return;
        };
        member.bindings -= 1;
        if member.bindings > 0 {
            return;
        }
        let identity = member.share.identity;
        self.members.remove(destination);
        let from = self.order.partition_point(|(other, _)| *other < identity);
        let same = self.order[from..].iter();
        if let Some(at) = same
            .map(|(_, other)| other)
            .position(|other| other == destination)
        {
            self.order.remove(from + at);
        }
    }

    /// The destination of messages that hash like `input`, in proportion to the weights.
    pub(super) fn by_weight(&self, input: &[u8]) -> Option<&D> {
        let hash = stable_hash(input);
        let mut best: Option<(f64, &D)> = None;
        for (destination, member) in self.members.iter() {
            let draw = member.share.draw(hash);
            if best.is_none_or(|(highest, _)| draw > highest) {
                best = Some((draw, destination));
            }
        }
        best.map(|(_, destination)| destination)
    }

    /// The destination of messages that hash like `input`, by its number among all.
    pub(super) fn by_number(&self, input: &[u8]) -> Option<&D> {
        let count = u64::try_from(self.order.len()).ok()?;
        let at = stable_hash(input).checked_rem(count)?;
        let (_, destination) = self.order.get(usize::try_from(at).ok()?)?;
        Some(destination)
    }
}

impl Share {
    /// The number that the destination draws for a message.
    fn draw(self, hash: u64) -> f64 {
        // The upper 53 bits as a number between 0 and 1, neither of them included.
        let bits = mix(hash ^ self.identity) >> 11;
        let uniform = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
        f64::from(self.weight) / -uniform.ln()
    }
}

/// A hash that never changes: FNV-1a, and a mixer behind it for the upper bits.
fn stable_hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// Spreads every bit over all others (the finalizer of SplitMix64).
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn shares(weights: &[u32]) -> Shares<usize> {
        let mut shares = Shares::new();
        for (number, weight) in weights.iter().enumerate() {
            let share = Share::weighted(&weight.to_string(), &format!("queue {number}"));
            shares.bind(&number, share.expect("a weight"));
        }
        shares
    }

    fn routed(shares: &Shares<usize>, keys: u32) -> Vec<Option<usize>> {
        let route = |key: u32| shares.by_weight(key.to_string().as_bytes()).copied();
        (0..keys).map(route).collect()
    }

    #[test]
    fn messages_are_spread_in_proportion_to_the_weights() {
        let weights = [1, 2, 3, 4];
        let mut counts = BTreeMap::new();
        for destination in routed(&shares(&weights), 100_000) {
            *counts.entry(destination.expect("somebody")).or_insert(0) += 1;
        }
        for (number, weight) in weights.iter().enumerate() {
            let expected = 100_000 * weight / 10;
            let actual: u32 = counts[&number];
            let off = actual.abs_diff(expected);
            assert!(off < expected / 20, "{number}: {actual}, not {expected}");
        }
    }

    #[test]
    fn the_choice_is_the_same_for_ever() {
        let shares = shares(&[1, 1, 1]);
        let first: Vec<_> = routed(&shares, 12).into_iter().flatten().collect();
        assert_eq!(
            first, CHOICES,
            "messages of one key would change their queue"
        );
    }

    const CHOICES: [usize; 12] = [1, 0, 0, 2, 0, 2, 2, 1, 0, 1, 1, 2];

    #[test]
    fn a_number_chooses_the_same_destination_until_their_number_changes() {
        let shares = shares(&[1, 9, 5]);
        let mut counts = [0; 3];
        for key in 0..3_000_u32 {
            let key = key.to_string();
            let chosen = shares.by_number(key.as_bytes()).expect("somebody");
            counts[*chosen] += 1;
        }
        assert!(
            counts.iter().all(|count| (900..1_100).contains(count)),
            "{counts:?}"
        );
        assert_eq!(Shares::<usize>::new().by_number(b"x"), None);
        assert_eq!(Shares::<usize>::new().by_weight(b"x"), None);
    }

    #[test]
    fn a_binding_key_is_a_weight_within_bounds() {
        let text = |key| Share::weighted(key, "q").map_err(|error| error.to_string());
        for key in ["1", "01", "+2", "10000", "0000000000000000000000005"] {
            assert!(text(key).is_ok(), "{key}");
        }
        for (key, expected) in [
            ("0", "The binding key must be greater than 0"),
            ("-1", "The binding key must be greater than 0"),
            (
                "-99999999999999999999",
                "The binding key must be greater than 0",
            ),
            ("10001", "The binding key must not exceed 10000"),
            (
                "99999999999999999999",
                "The binding key must not exceed 10000",
            ),
            ("x", "The binding key must be an integer: <<\"x\">>"),
            ("", "The binding key must be an integer: <<>>"),
            (" 2", "The binding key must be an integer: <<\" 2\">>"),
            ("1.5", "The binding key must be an integer: <<\"1.5\">>"),
        ] {
            assert_eq!(text(key), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_destination_stays_until_its_last_binding_goes() {
        let mut shares = shares(&[1]);
        shares.bind(&0, Share::equal("queue 0"));
        shares.unbind(&0);
        assert_eq!(shares.by_weight(b"x"), Some(&0));
        shares.unbind(&0);
        assert_eq!(shares.by_weight(b"x"), None);
        assert_eq!(shares.by_number(b"x"), None);
    }

    proptest! {
        #[test]
        fn nothing_moves_but_what_comes_to_or_goes_from_a_changed_destination(
            weights in prop::collection::vec(1..100_u32, 2..12),
            changed in any::<prop::sample::Index>(),
        ) {
            let changed = changed.index(weights.len());
            let mut shares = shares(&weights);
            let before = routed(&shares, 500);
            shares.unbind(&changed);
            for (before, after) in before.iter().zip(routed(&shares, 500)) {
                prop_assert!(*before == Some(changed) || *before == after);
                prop_assert!(after != Some(changed));
            }
        }
    }
}
