//! Topic bindings: a trie of words, walked as an automaton.
//!
//! Every node stands for the binding key that leads to it. A key of words `a.*.#` makes the path
//!
//! ```text
//! root --a--> node --*--> node --#--> node (destinations)
//! ```
//!
//! Routing carries a set of nodes from word to word. A node behind `#` stays in the set once it is
//! reached, because `#` takes any number of words; every other node is reached from its parent
//! alone. A node can therefore enter the set twice only through `#`, and remembering which of those
//! were reached makes the cost of a message at most words times nodes, whatever the wildcards.

use std::collections::HashMap;
use std::hash::Hash;

use ahash::RandomState;
use smallvec::SmallVec;

use super::compact_map::CompactMap;

const ROOT: usize = 0;

/// One step of a binding key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'k> {
    /// `#`: any number of words.
    AnyWords,
    /// `*`: one word.
    AnyWord,
    /// The word itself.
    Literal(&'k [u8]),
}

/// The words of a key (spec 3.5.1): none in the empty key, otherwise what the dots separate.
fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    key.split(|byte| *byte == b'.')
        .skip(usize::from(key.is_empty()))
}

fn steps(key: &[u8]) -> impl Iterator<Item = Step<'_>> {
    words(key).map(|word| match word {
        b"#" => Step::AnyWords,
        b"*" => Step::AnyWord,
        literal => Step::Literal(literal),
    })
}

#[derive(Debug)]
struct Node<D> {
    /// How many literal children the trie's edges hold for this node.
    literal_children: usize,
    any_word: Option<usize>,
    any_words: Option<usize>,
    /// For a node behind `#`: its bit in the set of those that were reached.
    reached_bit: Option<usize>,
    /// How many bindings lead each destination here.
    destinations: CompactMap<D, usize>,
}

impl<D> Node<D> {
    fn new(reached_bit: Option<usize>) -> Self {
        Self {
            literal_children: 0,
            any_word: None,
            any_words: None,
            reached_bit,
            destinations: CompactMap::default(),
        }
    }

    /// Whether another word can lead from here to another node.
    fn takes_words(&self) -> bool {
        self.literal_children > 0 || self.any_word.is_some()
    }

    fn is_leaf(&self) -> bool {
        !self.takes_words() && self.any_words.is_none()
    }
}

/// A word that binding keys use, and by how many edges.
#[derive(Debug)]
struct Word {
    id: usize,
    edges: usize,
}

/// Numbers handed out once at a time, the smallest that were given back first in use again.
#[derive(Debug, Default)]
struct Numbers {
    next: usize,
    free: Vec<usize>,
}

impl Numbers {
    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    fn give_back(&mut self, number: usize) {
        self.free.push(number);
    }
}

/// The topic bindings of one exchange.
#[derive(Debug)]
pub(super) struct TopicTrie<D> {
    nodes: Vec<Node<D>>,
    free_nodes: Vec<usize>,
    /// Literal edges, by parent and word: one hash of two numbers for each node and word.
    edges: HashMap<(usize, usize), usize, RandomState>,
    words: HashMap<Box<[u8]>, Word, RandomState>,
    word_ids: Numbers,
    reached_bits: Numbers,
}

impl<D> Default for TopicTrie<D> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::new(None)],
            free_nodes: Vec::new(),
            edges: HashMap::default(),
            words: HashMap::default(),
            word_ids: Numbers::default(),
            reached_bits: Numbers::default(),
        }
    }
}

impl<D: Clone + Eq + Hash> TopicTrie<D> {
    /// Adds one binding; the same destination may be bound with the same key several times.
    pub(super) fn bind(&mut self, key: &[u8], destination: &D) {
        let mut node = ROOT;
        for step in steps(key) {
            node = match self.child(node, step) {
                Some(child) => child,
                None => self.grow(node, step),
            };
        }
        *self.nodes[node].destinations.value_or_default(destination) += 1;
    }

    /// Takes away one binding that `bind` added, and the branch that nothing else needs.
    pub(super) fn unbind(&mut self, key: &[u8], destination: &D) {
        let mut path: SmallVec<[(usize, Step<'_>); 16]> = SmallVec::new();
        let mut node = ROOT;
        for step in steps(key) {
            path.push((node, step));
            match self.child(node, step) {
                Some(child) => node = child,
                None => return,
            }
        }
        let destinations = &mut self.nodes[node].destinations;
        match destinations.value_mut(destination) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                destinations.remove(destination);
            }
        }
        while let Some((parent, step)) = path.pop() {
            if !self.nodes[node].is_leaf() || !self.nodes[node].destinations.is_empty() {
                break;
            }
            self.prune(parent, step, node);
            node = parent;
        }
    }

    /// Names every destination whose binding key matches `key`; one that several keys lead to, as
    /// often.
    pub(super) fn route(&self, key: &[u8], sink: &mut impl FnMut(&D)) {
        let mut walk = Walk::new(self, sink);
        walk.enter(ROOT);
        for word in words(key) {
            walk.step(word);
        }
        walk.finish();
    }

    fn child(&self, node: usize, step: Step<'_>) -> Option<usize> {
        match step {
            Step::AnyWords => self.nodes[node].any_words,
            Step::AnyWord => self.nodes[node].any_word,
            Step::Literal(word) => {
                let id = self.words.get(word)?.id;
                self.edges.get(&(node, id)).copied()
            }
        }
    }

    fn grow(&mut self, parent: usize, step: Step<'_>) -> usize {
        let reached_bit = (step == Step::AnyWords).then(|| self.reached_bits.take());
        let child = match self.free_nodes.pop() {
            Some(free) => {
                self.nodes[free] = Node::new(reached_bit);
                free
            }
            None => {
                self.nodes.push(Node::new(reached_bit));
                self.nodes.len() - 1
            }
        };
        match step {
            Step::AnyWords => self.nodes[parent].any_words = Some(child),
            Step::AnyWord => self.nodes[parent].any_word = Some(child),
            Step::Literal(word) => {
                let ids = &mut self.word_ids;
                let word = self.words.entry(word.into()).or_insert_with(|| Word {
                    id: ids.take(),
                    edges: 0,
                });
                word.edges += 1;
                self.edges.insert((parent, word.id), child);
                self.nodes[parent].literal_children += 1;
            }
        }
        child
    }

    fn prune(&mut self, parent: usize, step: Step<'_>, child: usize) {
        match step {
            Step::AnyWords => self.nodes[parent].any_words = None,
            Step::AnyWord => self.nodes[parent].any_word = None,
            Step::Literal(text) => {
                if let Some(word) = self.words.get_mut(text) {
                    let id = word.id;
                    word.edges -= 1;
                    if word.edges == 0 {
                        self.words.remove(text);
                        self.word_ids.give_back(id);
                    }
                    self.edges.remove(&(parent, id));
                    self.nodes[parent].literal_children -= 1;
                }
            }
        }
        if let Some(bit) = self.nodes[child].reached_bit.take() {
            self.reached_bits.give_back(bit);
        }
        self.free_nodes.push(child);
    }
}

/// One message on its way through the trie.
struct Walk<'t, D, S> {
    trie: &'t TopicTrie<D>,
    sink: &'t mut S,
    /// The nodes that the words so far lead to, those behind `#` apart.
    current: SmallVec<[usize; 32]>,
    next: SmallVec<[usize; 32]>,
    /// The nodes behind `#` that were reached and can lead further.
    lasting: SmallVec<[usize; 32]>,
    /// A bit for every node behind `#`.
    reached: SmallVec<[u64; 16]>,
}

impl<'t, D: Clone + Eq + Hash, S: FnMut(&D)> Walk<'t, D, S> {
    fn new(trie: &'t TopicTrie<D>, sink: &'t mut S) -> Self {
        Self {
            trie,
            sink,
            current: SmallVec::new(),
            next: SmallVec::new(),
            lasting: SmallVec::new(),
            reached: SmallVec::from_elem(0, trie.reached_bits.next.div_ceil(64)),
        }
    }

    /// Adds a node that is not behind `#` to the current ones, and what `#` makes of no words.
    fn enter(&mut self, node: usize) {
        self.current.push(node);
        let mut next = self.trie.nodes[node].any_words;
        while let Some(id) = next {
            let node = &self.trie.nodes[id];
            if self.was_reached(node) {
                break;
            }
            // It matches now and whatever follows, so its destinations can be named at once.
            node.destinations.keys().for_each(&mut *self.sink);
            if node.takes_words() {
                self.lasting.push(id);
            }
            next = node.any_words;
        }
    }

    /// Marks a node behind `#` as reached; says whether it was before. If it was, so were the nodes
    /// behind `#` that follow it directly.
    fn was_reached(&mut self, node: &Node<D>) -> bool {
        let Some(bit) = node.reached_bit else {
            return false;
        };
        let mask = 1 << (bit % 64);
        let block = &mut self.reached[bit / 64];
        let before = *block & mask != 0;
        *block |= mask;
        before
    }

    fn step(&mut self, word: &[u8]) {
        let trie = self.trie;
        let id = trie.words.get(word).map(|word| word.id);
        self.next.clear();
        for from in self.current.iter().chain(&self.lasting) {
            let node = &trie.nodes[*from];
            self.next.extend(node.any_word);
            if let Some(id) = id
                && node.literal_children > 0
            {
                self.next.extend(trie.edges.get(&(*from, id)).copied());
            }
        }
        self.current.clear();
        for index in 0..self.next.len() {
            self.enter(self.next[index]);
        }
    }

    fn finish(self) {
        for node in self.current {
            let destinations = &self.trie.nodes[node].destinations;
            destinations.keys().for_each(&mut *self.sink);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Spec 3.5.1, said as plainly as possible.
    fn matches(pattern: &[&str], words: &[&str]) -> bool {
        match (pattern.split_first(), words.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), None) => matches(rest, words),
            (Some((&"#", rest)), Some((_, later))) => {
                matches(rest, words) || matches(pattern, later)
            }
            (Some((&"*", rest)), Some((_, later))) => matches(rest, later),
            (Some((own, rest)), Some((word, later))) => own == word && matches(rest, later),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    fn split(key: &str) -> Vec<&str> {
        if key.is_empty() {
            Vec::new()
        } else {
            key.split('.').collect()
        }
    }

    fn routed(trie: &TopicTrie<usize>, key: &str) -> Vec<usize> {
        let mut found = Vec::new();
        trie.route(key.as_bytes(), &mut |destination| found.push(*destination));
        found.sort_unstable();
        found.dedup();
        found
    }

    fn is_bare<D>(trie: &TopicTrie<D>) -> bool {
        trie.nodes.len() == trie.free_nodes.len() + 1
            && trie.edges.is_empty()
            && trie.words.is_empty()
            && trie.word_ids.free.len() == trie.word_ids.next
            && trie.reached_bits.free.len() == trie.reached_bits.next
    }

    /// Spec 3.5.1, 3.5.3.
    #[test]
    fn a_binding_key_matches_as_specified() {
        let cases = [
            ("", "", true),
            ("#", "", true),
            ("*", "", false),
            ("#.#", "", true),
            ("*.#", "", false),
            ("#.*", "", false),
            ("a.*", "a.", true),
            ("a", "a.", false),
            ("*.*", "a.", true),
            ("*", "a", true),
            ("*", "a.b", false),
            ("#", "a.b.c", true),
            ("a.#", "a", true),
            ("a.#", "a.b.c", true),
            ("a.#", "b.a", false),
            ("#.c", "a.b.c", true),
            ("#.c", "c", true),
            ("a.#.c", "a.c", true),
            ("a.#.c", "a.b.b.c", true),
            ("a.#.c", "a.b", false),
            ("#.b.#", "a.b.c", true),
            ("#.b.#", "a.c", false),
            ("#.*.#", "a", true),
            ("#.*.#", "", false),
            ("a*", "a*", true),
            ("a*", "ab", false),
            ("#a", "b.a", false),
            ("*", "#", true),
            ("a", "*", false),
            ("a.b", "*.b", false),
            ("a.b", "#", false),
            ("A", "a", false),
            (".", ".", true),
            (".", "", false),
            ("*.*", ".", true),
            ("..", "..", true),
        ];
        for (binding, key, expected) in cases {
            let mut trie = TopicTrie::default();
            trie.bind(binding.as_bytes(), &1);
            assert_eq!(
                !routed(&trie, key).is_empty(),
                expected,
                "{binding:?} {key:?}"
            );
            assert_eq!(matches(&split(binding), &split(key)), expected);
        }
    }

    /// Spec 3.5.1: keys are bytes.
    #[test]
    fn a_publish_key_need_not_be_text() {
        let mut trie = TopicTrie::default();
        trie.bind(b"a.*", &1);
        trie.bind("a.\u{fffd}".as_bytes(), &2);
        let mut found = Vec::new();
        trie.route(b"a.\xff", &mut |destination| found.push(*destination));
        assert_eq!(found, [1]);
    }

    /// Spec 3.5.2: the walk keeps at most every node once, so the number of ways in which wildcards
    /// can share out the words does not matter. A walk of those ways would not come back.
    #[test]
    fn many_wildcards_name_a_destination_a_bounded_number_of_times() {
        let mut trie = TopicTrie::default();
        let pattern = ["#"; 60].join(".*.");
        trie.bind(pattern.as_bytes(), &1);
        trie.bind(["#"; 100].join(".").as_bytes(), &2);
        let mut named = 0;
        let key = ["a"; 127].join(".");
        trie.route(key.as_bytes(), &mut |_| named += 1);
        assert_eq!(named, 2);
    }

    #[test]
    fn more_nodes_than_one_block_of_bits_are_told_apart() {
        let mut trie = TopicTrie::default();
        for number in 0..2_000 {
            trie.bind(format!("k{number}.#.z").as_bytes(), &number);
        }
        for number in [0, 63, 64, 65, 1_023, 1_024, 1_999] {
            assert_eq!(routed(&trie, &format!("k{number}.a.z.z")), [number]);
        }
    }

    #[test]
    fn a_key_bound_twice_stays_until_it_is_unbound_twice() {
        let mut trie = TopicTrie::default();
        trie.bind(b"a.#", &1);
        trie.bind(b"a.#", &1);
        trie.unbind(b"a.#", &1);
        assert_eq!(routed(&trie, "a.b"), [1]);
        trie.unbind(b"a.#", &1);
        assert!(routed(&trie, "a.b").is_empty() && is_bare(&trie));
    }

    fn key_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(words), 0..7).prop_map(|words| words.join("."))
    }

    proptest! {
        #[test]
        fn the_trie_agrees_with_the_definition_whatever_is_bound_and_unbound(
            steps in prop::collection::vec(
                (prop::bool::weighted(0.7), key_of(&["a", "b", "*", "#", "#", "", "a*"]), 0usize..4),
                1..40,
            ),
            keys in prop::collection::vec(key_of(&["a", "b", "c", "", "*", "#", "a*"]), 1..20),
        ) {
            let mut trie = TopicTrie::default();
            let mut bound: Vec<(String, usize)> = Vec::new();
            for (bind, pattern, destination) in steps {
                if bind {
                    trie.bind(pattern.as_bytes(), &destination);
                    bound.push((pattern, destination));
                } else if let Some((pattern, destination)) = bound.pop() {
                    trie.unbind(pattern.as_bytes(), &destination);
                }
                for key in &keys {
                    let words = split(key);
                    let mut expected: Vec<_> = bound
                        .iter()
                        .filter(|(pattern, _)| matches(&split(pattern), &words))
                        .map(|(_, destination)| *destination)
                        .collect();
                    expected.sort_unstable();
                    expected.dedup();
                    prop_assert_eq!(routed(&trie, key), expected, "{} in {:?}", key, bound);
                }
            }
            for (pattern, destination) in bound {
                trie.unbind(pattern.as_bytes(), &destination);
            }
            prop_assert!(is_bare(&trie));
        }
    }
}
