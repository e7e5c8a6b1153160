//! The bindings of one exchange, indexed for routing and for removal.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use ahash::RandomState;

use super::compact_map::CompactMap;
use super::headers::{HeaderMatch, Headers};
use super::topic::TopicTrie;
use crate::model::{ArgumentError, Arguments, ExchangeKind, Fields};

/// A binding's arguments: as sent, and what they mean to the exchange.
#[derive(Clone, Debug, Default)]
pub struct BindingArguments {
    raw: Arguments,
    header_match: HeaderMatch,
}

impl BindingArguments {
    /// Reads arguments for an exchange of `kind`. `fields` shows the content of `raw`.
    ///
    /// Only headers exchanges look into them; to all others they are part of the binding's identity
    /// and nothing else.
    pub fn parse(
        kind: ExchangeKind,
        raw: Arguments,
        fields: &dyn Fields,
    ) -> Result<Self, ArgumentError> {
        let header_match = match kind {
            ExchangeKind::Headers => HeaderMatch::parse(fields)?,
            ExchangeKind::Direct | ExchangeKind::Fanout | ExchangeKind::Topic => {
                HeaderMatch::default()
            }
        };
        Ok(Self { raw, header_match })
    }

    /// The arguments as sent.
    #[must_use]
    pub const fn raw(&self) -> &Arguments {
        &self.raw
    }
}

/// What tells bindings of one exchange to one destination apart (spec 3.4.1).
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
}

impl<D: Clone + Eq + Hash> KeyIndex<D> {
    fn bind(&mut self, key: &str, destination: &D) {
        match self {
            Self::Unkeyed => {}
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
            ExchangeKind::Fanout | ExchangeKind::Headers => KeyIndex::Unkeyed,
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
        let identity = Identity::new(routing_key, arguments.clone());
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
        let identity = Identity::new(routing_key, arguments.raw);
        let bindings = self.bindings.value_or_default(destination);
        let is_new = bindings.insert(identity, arguments.header_match);
        if is_new {
            self.binding_count += 1;
            self.index.bind(routing_key, destination);
        }
        is_new
    }

    /// Removes a binding. Returns whether there was one.
    pub fn unbind(&mut self, destination: &D, routing_key: &str, arguments: &Arguments) -> bool {
        let Some(bindings) = self.bindings.value_mut(destination) else {
            return false;
        };
        let identity = Identity::new(routing_key, arguments.clone());
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
    pub fn route(&self, routing_key: &[u8], headers: &dyn Fields, sink: &mut impl FnMut(&D)) {
        match &self.index {
            KeyIndex::Direct(keys) => {
                if let Some(destinations) = keys.get(routing_key) {
                    destinations.keys().for_each(sink);
                }
            }
            KeyIndex::Topic(trie) => trie.route(routing_key, sink),
            KeyIndex::Unkeyed if self.kind == ExchangeKind::Headers => {
                self.route_by_headers(headers, sink);
            }
            KeyIndex::Unkeyed => self.bindings.keys().for_each(sink),
        }
    }

    fn route_by_headers(&self, headers: &dyn Fields, sink: &mut impl FnMut(&D)) {
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
