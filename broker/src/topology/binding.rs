//! The bindings of one exchange, indexed for routing and for removal.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use ahash::RandomState;

use super::compact_map::CompactMap;
use super::headers::{HeaderMatch, Headers};
use super::shares::{Share, Shares};
use super::topic::TopicTrie;
use crate::model::{ArgumentError, Arguments, ExchangeKind};
use crate::wire::TableReader;

/// A binding's arguments, and what they mean to the exchange.
#[derive(Clone, Debug, Default)]
pub struct BindingArguments {
    sorted: Arguments,
    header_match: HeaderMatch,
    share: Share,
}

impl BindingArguments {
    /// Reads what a binding to `destination`, a name, means to an exchange of `kind`.
    ///
    /// Only headers exchanges look into the arguments; to all others they are part of the binding's
    /// identity and nothing else.
    pub fn parse(
        kind: ExchangeKind,
        routing_key: &str,
        destination: &str,
        arguments: &Arguments,
    ) -> Result<Self, ArgumentError> {
        let mut parsed = Self {
            sorted: arguments.sorted(),
            ..Self::default()
        };
        match kind {
            ExchangeKind::Headers => {
                parsed.header_match = HeaderMatch::parse(arguments.fields())?;
            }
            ExchangeKind::ConsistentHash => {
                parsed.share = Share::weighted(routing_key, destination)?;
            }
            ExchangeKind::ModulusHash => parsed.share = Share::equal(destination),
            ExchangeKind::Direct
            | ExchangeKind::Fanout
            | ExchangeKind::Topic
            | ExchangeKind::Delayed => {}
        }
        Ok(parsed)
    }

    /// The arguments in the order of their names, as the binding carries and lists them.
    #[must_use]
    pub const fn sorted(&self) -> &Arguments {
        &self.sorted
    }
}

/// What tells bindings of one exchange to one destination apart (spec 3.4.1). The arguments are
/// sorted: their order is the client's, and many clients have none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity(Arc<(String, Arguments)>);

impl Identity {
    fn new(routing_key: &str, arguments: Arguments) -> Self {
        Self(Arc::new((routing_key.to_owned(), arguments)))
    }

    fn routing_key(&self) -> &str {
        &self.0.0
    }

    fn arguments(&self) -> &Arguments {
        &self.0.1
    }
}

/// One binding, as listings show it.
#[derive(Debug)]
pub struct Binding<'t, D> {
    /// What it leads to.
    pub destination: &'t D,
    /// Its key.
    pub routing_key: &'t str,
    /// Its arguments.
    pub arguments: &'t Arguments,
}

/// The destinations that a publish key finds, beside the table of all bindings.
///
/// Fanout and headers exchanges have no key to look up: they read the table of bindings itself.
#[derive(Debug)]
enum KeyIndex<D> {
    Unkeyed,
    /// How many bindings lead from each key to each destination.
    Direct(HashMap<Box<[u8]>, CompactMap<D, usize>, RandomState>),
    Topic(TopicTrie<D>),
    /// One destination for each message.
    Shares(Shares<D>),
}

impl<D: Clone + Eq + Hash> KeyIndex<D> {
    fn bind(&mut self, key: &str, destination: &D, share: Share) {
        match self {
            Self::Unkeyed => {}
            Self::Shares(shares) => shares.bind(destination, share),
            Self::Direct(keys) => {
                let destinations = keys.entry(key.as_bytes().into()).or_default();
                *destinations.value_or_default(destination) += 1;
            }
            Self::Topic(trie) => trie.bind(key.as_bytes(), destination),
        }
    }

    fn unbind(&mut self, key: &str, destination: &D) {
        match self {
            Self::Unkeyed => {}
            Self::Shares(shares) => shares.unbind(destination),
            Self::Direct(keys) => {
                let Some(destinations) = keys.get_mut(key.as_bytes()) else {
                    return;
                };
                match destinations.value_mut(destination) {
                    Some(count) if *count > 1 => *count -= 1,
                    Some(_) | None => {
                        destinations.remove(destination);
                    }
                }
                if destinations.is_empty() {
                    keys.remove(key.as_bytes());
                }
            }
            Self::Topic(trie) => trie.unbind(key.as_bytes(), destination),
        }
    }
}

/// The bindings of one exchange to destinations `D`.
///
/// Changes are made in place and cost the same however many bindings there are. `D` is a handle:
/// cheap to clone, to compare and to hash.
#[derive(Debug)]
pub struct BindingTable<D> {
    kind: ExchangeKind,
    bindings: CompactMap<D, CompactMap<Identity, HeaderMatch>>,
    binding_count: usize,
    index: KeyIndex<D>,
}

impl<D: Clone + Eq + Hash> BindingTable<D> {
    /// The empty table of an exchange of that kind.
    #[must_use]
    pub fn new(kind: ExchangeKind) -> Self {
        let index = match kind {
            ExchangeKind::Direct => KeyIndex::Direct(HashMap::default()),
            ExchangeKind::Topic => KeyIndex::Topic(TopicTrie::default()),
            ExchangeKind::ConsistentHash | ExchangeKind::ModulusHash => {
                KeyIndex::Shares(Shares::new())
            }
            // What a delayed exchange does when the time has come is up to another kind.
            ExchangeKind::Fanout | ExchangeKind::Headers | ExchangeKind::Delayed => {
                KeyIndex::Unkeyed
            }
        };
        Self {
            kind,
            bindings: CompactMap::default(),
            binding_count: 0,
            index,
        }
    }

    /// How the exchange chooses.
    #[must_use]
    pub const fn kind(&self) -> ExchangeKind {
        self.kind
    }

    /// How many bindings there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.binding_count
    }

    /// Whether there are no bindings.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.binding_count == 0
    }

    /// All bindings, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Binding<'_, D>> {
        self.bindings.iter().flat_map(|(destination, bindings)| {
            bindings.keys().map(move |identity| Binding {
                destination,
                routing_key: identity.routing_key(),
                arguments: identity.arguments(),
            })
        })
    }

    /// Whether there is such a binding.
    #[must_use]
    pub fn contains(&self, destination: &D, routing_key: &str, arguments: &Arguments) -> bool {
        let identity = Identity::new(routing_key, arguments.sorted());
        let bindings = self.bindings.value(destination);
        bindings.is_some_and(|bindings| bindings.contains(&identity))
    }

    /// Adds a binding. Returns whether it is new: the same destination, key and arguments are the
    /// same binding (spec 3.4.1).
    pub fn bind(
        &mut self,
        destination: &D,
        routing_key: &str,
        arguments: BindingArguments,
    ) -> bool {
        let identity = Identity::new(routing_key, arguments.sorted);
        let bindings = self.bindings.value_or_default(destination);
        let is_new = bindings.insert(identity, arguments.header_match);
        if is_new {
            self.binding_count += 1;
            self.index.bind(routing_key, destination, arguments.share);
        }
        is_new
    }

    /// Removes a binding. Returns whether there was one.
    pub fn unbind(&mut self, destination: &D, routing_key: &str, arguments: &Arguments) -> bool {
        let Some(bindings) = self.bindings.value_mut(destination) else {
            return false;
        };
        let identity = Identity::new(routing_key, arguments.sorted());
        if bindings.remove(&identity).is_none() {
            return false;
        }
        if bindings.is_empty() {
            self.bindings.remove(destination);
        }
        self.binding_count -= 1;
        self.index.unbind(routing_key, destination);
        true
    }

    /// Removes every binding to `destination` and returns their keys and arguments. What other
    /// destinations have costs nothing.
    pub fn remove_destination(&mut self, destination: &D) -> Vec<(String, Arguments)> {
        let Some(bindings) = self.bindings.remove(destination) else {
            return Vec::new();
        };
        self.binding_count -= bindings.len();
        let mut removed = Vec::with_capacity(bindings.len());
        for (Identity(identity), _) in bindings {
            self.index.unbind(&identity.0, destination);
            removed.push(Arc::unwrap_or_clone(identity));
        }
        removed
    }

    /// Names every destination of a message. A topic exchange may name one more than once, where
    /// several of its keys match.
    pub fn route(&self, routing_key: &[u8], headers: TableReader<'_>, sink: &mut impl FnMut(&D)) {
        match &self.index {
            KeyIndex::Direct(keys) => {
                if let Some(destinations) = keys.get(routing_key) {
                    destinations.keys().for_each(sink);
                }
            }
            KeyIndex::Topic(trie) => trie.route(routing_key, sink),
            KeyIndex::Shares(_) => self.choose(routing_key).into_iter().for_each(sink),
            KeyIndex::Unkeyed if self.kind == ExchangeKind::Headers => {
                self.route_by_headers(headers, sink);
            }
            KeyIndex::Unkeyed => self.bindings.keys().for_each(sink),
        }
    }

    /// The one destination of a message that hashes like `input`, for exchanges that choose one.
    #[must_use]
    pub fn choose(&self, input: &[u8]) -> Option<&D> {
        match &self.index {
            KeyIndex::Shares(shares) if self.kind == ExchangeKind::ModulusHash => {
                shares.by_number(input)
            }
            KeyIndex::Shares(shares) => shares.by_weight(input),
            KeyIndex::Unkeyed | KeyIndex::Direct(_) | KeyIndex::Topic(_) => None,
        }
    }

    fn route_by_headers(&self, headers: TableReader<'_>, sink: &mut impl FnMut(&D)) {
        if self.is_empty() {
            return;
        }
        let headers = Headers::read(headers);
        for (destination, bindings) in self.bindings.iter() {
            if bindings.values().any(|wanted| wanted.matches(&headers)) {
                sink(destination);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::{TableWriter, Value};

    const KINDS: [ExchangeKind; 4] = [
        ExchangeKind::Direct,
        ExchangeKind::Fanout,
        ExchangeKind::Topic,
        ExchangeKind::Headers,
    ];
    const KEYS: [&str; 4] = ["", "a", "a.*", "#"];

    fn table(fields: &[(&str, Value<'_>)]) -> Arguments {
        let mut table = TableWriter::new();
        for (name, value) in fields {
            table.entry(name, *value).expect("fits");
        }
        Arguments::from_wire(&table.finish())
    }

    /// Arguments by number: the header `h` must be that number; none for 0.
    fn raw(number: u8) -> Arguments {
        match number {
            0 => Arguments::default(),
            number => table(&[("h", Value::ShortShortUint(number))]),
        }
    }

    fn arguments(kind: ExchangeKind, number: u8) -> BindingArguments {
        BindingArguments::parse(kind, "", "", &raw(number)).expect("acceptable")
    }

    fn routed(table: &BindingTable<u8>, key: &str, header: u8) -> BTreeSet<u8> {
        let mut found = BTreeSet::new();
        let headers = self::table(&[("h", Value::LongLongInt(header.into()))]);
        let headers = TableReader::new(headers.as_wire());
        table.route(key.as_bytes(), headers, &mut |destination| {
            found.insert(*destination);
        });
        found
    }

    /// Destination, key and arguments of every binding.
    #[derive(Default)]
    struct Naive(BTreeSet<(u8, &'static str, u8)>);

    fn naively_routed(kind: ExchangeKind, bindings: &Naive, key: &str, header: u8) -> BTreeSet<u8> {
        let matches = |pattern: &str, number: u8| match kind {
            ExchangeKind::Direct => pattern == key,
            ExchangeKind::Fanout => true,
            ExchangeKind::Topic => match pattern {
                "#" => true,
                "a.*" => key.len() > 1 && key.starts_with("a.") && !key[2..].contains('.'),
                literal => literal == key,
            },
            ExchangeKind::Headers => number == 0 || number == header,
            ExchangeKind::ConsistentHash | ExchangeKind::ModulusHash | ExchangeKind::Delayed => {
                unreachable!("not among the kinds under test")
            }
        };
        let chosen = bindings
            .0
            .iter()
            .filter(|(_, key, number)| matches(key, *number));
        chosen.map(|(destination, _, _)| *destination).collect()
    }

    #[derive(Clone, Copy, Debug)]
    enum Change {
        Bind(u8, &'static str, u8),
        Unbind(u8, &'static str, u8),
        Remove(u8),
    }

    fn change() -> impl Strategy<Value = Change> {
        let binding = || (0u8..24, prop::sample::select(&KEYS), 0u8..3);
        prop_oneof![
            6 => binding().prop_map(|(to, key, arguments)| Change::Bind(to, key, arguments)),
            3 => binding().prop_map(|(to, key, arguments)| Change::Unbind(to, key, arguments)),
            1 => (0u8..24).prop_map(Change::Remove),
        ]
    }

    fn apply(table: &mut BindingTable<u8>, naive: &mut Naive, change: Change) {
        match change {
            Change::Bind(to, key, number) => {
                let is_new = table.bind(&to, key, arguments(table.kind(), number));
                assert_eq!(is_new, naive.0.insert((to, key, number)));
            }
            Change::Unbind(to, key, number) => {
                let was_there = table.unbind(&to, key, &raw(number));
                assert_eq!(was_there, naive.0.remove(&(to, key, number)));
            }
            Change::Remove(to) => {
                let mut removed = table.remove_destination(&to);
                removed.sort_unstable_by(|one, other| {
                    (&one.0, one.1.as_wire()).cmp(&(&other.0, other.1.as_wire()))
                });
                let expected = naive.0.extract_if((to, "", 0)..(to + 1, "", 0), |_| true);
                let expected: Vec<_> = expected
                    .map(|(_, key, number)| (key.to_owned(), raw(number)))
                    .collect();
                assert_eq!(removed, expected);
            }
        }
    }

    proptest! {
        #[test]
        fn a_table_agrees_with_a_list_of_bindings_whatever_is_done_to_it(
            kind in prop::sample::select(&KINDS),
            changes in prop::collection::vec(change(), 1..60),
        ) {
            let mut table = BindingTable::new(kind);
            let mut naive = Naive::default();
            for change in changes {
                apply(&mut table, &mut naive, change);
                prop_assert_eq!(table.len(), naive.0.len());
                prop_assert_eq!(table.is_empty(), naive.0.is_empty());
                for key in ["", "a", "b", "a.b", "a.b.c", "#", "a.*"] {
                    for header in 0..3 {
                        let expected = naively_routed(kind, &naive, key, header);
                        prop_assert_eq!(routed(&table, key, header), expected);
                    }
                }
            }
            let listed: BTreeSet<_> = table
                .iter()
                .map(|binding| (*binding.destination, binding.routing_key, binding.arguments.as_wire()))
                .collect();
            let raws: [Arguments; 3] = [raw(0), raw(1), raw(2)];
            let expected = naive.0
                .iter()
                .map(|(to, key, number)| (*to, *key, raws[usize::from(*number)].as_wire()))
                .collect();
            prop_assert_eq!(listed, expected);
            prop_assert_eq!(table.iter().count(), naive.0.len());
        }
    }

    /// Spec 3.4.1: each of the three makes another binding.
    #[test]
    fn destination_key_and_arguments_tell_bindings_apart() {
        for kind in KINDS {
            let mut table = BindingTable::new(kind);
            assert!(table.bind(&1, "k", arguments(kind, 0)));
            assert!(!table.bind(&1, "k", arguments(kind, 0)));
            assert!(table.bind(&2, "k", arguments(kind, 0)));
            assert!(table.bind(&1, "l", arguments(kind, 0)));
            assert!(table.bind(&1, "k", arguments(kind, 1)));
            assert_eq!(table.len(), 4);
            assert!(table.contains(&1, "k", &raw(1)) && !table.contains(&1, "l", &raw(1)));
        }
    }

    /// Spec 3.4.1, 3.4.2.
    #[test]
    fn one_of_two_bindings_with_the_same_key_keeps_the_messages_coming() {
        for kind in KINDS {
            let mut table = BindingTable::new(kind);
            table.bind(&1, "k", arguments(kind, 0));
            table.bind(&1, "k", arguments(kind, 2));
            assert!(table.unbind(&1, "k", &raw(0)) && !table.unbind(&1, "k", &raw(0)));
            assert_eq!(routed(&table, "k", 2), BTreeSet::from([1]));
            assert!(table.unbind(&1, "k", &raw(2)));
            assert!(routed(&table, "k", 2).is_empty());
        }
    }

    /// Only topic exchanges may repeat themselves; the others promise not to.
    #[test]
    fn a_destination_is_named_once_however_it_is_bound() {
        for kind in [
            ExchangeKind::Direct,
            ExchangeKind::Fanout,
            ExchangeKind::Headers,
        ] {
            let mut table = BindingTable::new(kind);
            for number in 0..3 {
                table.bind(&1, "k", arguments(kind, number));
            }
            let mut named = 0;
            let headers = self::table(&[("h", Value::LongInt(2))]);
            let headers = TableReader::new(headers.as_wire());
            table.route(b"k", headers, &mut |_| named += 1);
            assert_eq!(named, 1, "{kind:?}");
        }
    }

    /// Spec 3.4.1: many clients keep arguments in no particular order.
    #[test]
    fn the_order_of_arguments_tells_no_bindings_apart() {
        let (one, two) = (Value::LongInt(1), Value::LongInt(2));
        let as_sent = table(&[("b", two), ("a", one)]);
        for kind in KINDS {
            let mut bindings = BindingTable::new(kind);
            let parse =
                |arguments| BindingArguments::parse(kind, "k", "", arguments).expect("acceptable");
            assert!(bindings.bind(&1, "k", parse(&as_sent)));
            let sorted = table(&[("a", one), ("b", two)]);
            assert!(!bindings.bind(&1, "k", parse(&sorted)));
            assert!(bindings.contains(&1, "k", &as_sent) && bindings.contains(&1, "k", &sorted));
            assert!(bindings.iter().all(|binding| *binding.arguments == sorted));
            // The type of a value is part of it.
            let other = table(&[("a", one), ("b", Value::LongLongInt(2))]);
            assert!(bindings.bind(&1, "k", parse(&other)));
            assert!(bindings.unbind(&1, "k", &as_sent) && !bindings.unbind(&1, "k", &sorted));
            assert_eq!(bindings.len(), 1);
        }
    }

    #[test]
    fn only_headers_exchanges_look_into_the_arguments_of_a_binding() {
        let nonsense = table(&[("x-match", Value::Boolean(true))]);
        for kind in KINDS {
            let parsed = BindingArguments::parse(kind, "", "", &nonsense);
            assert_eq!(parsed.is_err(), kind == ExchangeKind::Headers);
        }
    }

    /// A direct exchange compares bytes; what is a pattern elsewhere is a plain key there.
    #[test]
    fn a_direct_exchange_knows_no_patterns() {
        let mut table = BindingTable::new(ExchangeKind::Direct);
        table.bind(&1, "a.*", BindingArguments::default());
        let mut found = Vec::new();
        table.route(b"a.b", TableReader::EMPTY, &mut |destination| {
            found.push(*destination)
        });
        table.route(b"a.\xff", TableReader::EMPTY, &mut |destination| {
            found.push(*destination)
        });
        assert!(found.is_empty());
        table.route(b"a.*", TableReader::EMPTY, &mut |destination| {
            found.push(*destination)
        });
        assert_eq!(found, [1]);
    }
}
