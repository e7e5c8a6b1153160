//! Names, bindings and keys of one run, and what they promise: which queue gets which message.

use anyhow::{Result, ensure};

use crate::load::options::{ExchangeKind, LoadOptions};
use crate::wire::{ClientError, Connection, Value};

/// More keys than this would make the table of what goes where too large.
const ROUTES_MAX: usize = 10_000_000;

/// The exchange, queues and routing keys of one run. The names are its own.
#[derive(Debug)]
pub(crate) struct Topology {
    exchange: Option<(String, ExchangeKind)>,
    queues: Vec<String>,
    bindings: Vec<Vec<String>>,
    keys: Vec<String>,
    durable: bool,
    arguments: Vec<(String, Value)>,
    /// For each key the queues that its messages reach.
    routes: Vec<Vec<usize>>,
    producers: usize,
}

impl Topology {
    /// Plans a run called `run`; nothing is declared yet.
    pub(crate) fn plan(options: &LoadOptions, run: &str) -> Result<Self> {
        let queues: Vec<String> = (0..options.queue_count())
            .map(|index| format!("{run}.{index}"))
            .collect();
        let kind = match options.fan_out {
            Some(_) => Some(ExchangeKind::Fanout),
            None => options.exchange,
        };
        let key_count = match kind {
            None => queues.len(),
            Some(ExchangeKind::Fanout) => 1,
            Some(ExchangeKind::Direct | ExchangeKind::Topic) => {
                options.keys.unwrap_or(queues.len())
            }
        };
        ensure!(
            key_count.saturating_mul(queues.len()) <= ROUTES_MAX,
            "too many keys and queues"
        );
        let keys: Vec<String> = match kind {
            None => queues.clone(),
            Some(_) => (0..key_count)
                .map(|index| options.routing_key.replace("{key}", &index.to_string()))
                .collect(),
        };
        let bindings: Vec<Vec<String>> = match kind {
            None => vec![Vec::new(); queues.len()],
            Some(_) => (0..queues.len())
                .map(|index| {
                    let filled = |key: &String| key.replace("{queue}", &index.to_string());
                    options.binding.iter().map(filled).collect()
                })
                .collect(),
        };
        let routes = routes(kind, &keys, &bindings);
        Ok(Self {
            exchange: kind.map(|kind| (format!("{run}.exchange"), kind)),
            queues,
            bindings,
            keys,
            durable: !options.transient_queue,
            arguments: options.queue_args.clone(),
            routes,
            producers: options.producers,
        })
    }

    pub(crate) fn exchange(&self) -> &str {
        self.exchange.as_ref().map_or("", |(name, _)| name)
    }

    pub(crate) fn queues(&self) -> &[String] {
        &self.queues
    }

    pub(crate) fn key(&self, index: usize) -> &str {
        &self.keys[index]
    }

    /// The keys a producer goes through in turn: its share of them, or one that others use too.
    pub(crate) fn keys_of(&self, producer: usize) -> Vec<usize> {
        if producer < self.keys.len() {
            (producer..self.keys.len())
                .step_by(self.producers)
                .collect()
        } else {
            vec![producer % self.keys.len()]
        }
    }

    /// How many queues each message of one round through the producer's keys reaches.
    pub(crate) fn copies_of(&self, producer: usize) -> Vec<u64> {
        let copies = |key: usize| self.routes[key].len() as u64;
        self.keys_of(producer).into_iter().map(copies).collect()
    }

    /// Whether a producer's message reaches a queue, for each key of the producer's round.
    pub(crate) fn reaches(&self, producer: usize, queue: usize) -> Vec<bool> {
        let reaches = |key: usize| self.routes[key].contains(&queue);
        self.keys_of(producer).into_iter().map(reaches).collect()
    }

    pub(crate) fn declare(&self, connection: &mut Connection) -> Result<(), ClientError> {
        if let Some((exchange, kind)) = &self.exchange {
            connection.declare_exchange(1, exchange, kind.name())?;
        }
        for (queue, bindings) in self.queues.iter().zip(&self.bindings) {
            connection.declare_queue(1, queue, self.durable, &self.arguments)?;
            for binding in bindings {
                connection.bind_queue(1, queue, self.exchange(), binding)?;
            }
        }
        Ok(())
    }

    pub(crate) fn delete(&self, connection: &mut Connection) -> Result<(), ClientError> {
        for queue in &self.queues {
            connection.delete_queue(1, queue)?;
        }
        if let Some((exchange, _)) = &self.exchange {
            connection.delete_exchange(1, exchange)?;
        }
        Ok(())
    }
}

fn routes(
    kind: Option<ExchangeKind>,
    keys: &[String],
    bindings: &[Vec<String>],
) -> Vec<Vec<usize>> {
    let matches = |key: &String, index: usize| match kind {
        None => false,
        Some(ExchangeKind::Fanout) => true,
        Some(ExchangeKind::Direct) => bindings[index].contains(key),
        Some(ExchangeKind::Topic) => bindings[index].iter().any(|pattern| topic(pattern, key)),
    };
    let queues = 0..bindings.len();
    match kind {
        None => queues.map(|index| vec![index]).collect(),
        Some(_) => keys
            .iter()
            .map(|key| {
                queues
                    .clone()
                    .filter(|index| matches(key, *index))
                    .collect()
            })
            .collect(),
    }
}

/// Whether a topic pattern matches a routing key: `*` is one word, `#` any number of words.
fn topic(pattern: &str, key: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let words: Vec<&str> = if key.is_empty() {
        Vec::new()
    } else {
        key.split('.').collect()
    };
    // reached[i]: the part of the pattern read so far matches the first i words.
    let mut reached = vec![false; words.len() + 1];
    reached[0] = true;
    for part in pattern {
        if part == "#" {
            let first = reached
                .iter()
                .position(|yes| *yes)
                .unwrap_or(words.len() + 1);
            reached.iter_mut().skip(first).for_each(|yes| *yes = true);
            continue;
        }
        for index in (0..words.len()).rev() {
            reached[index + 1] = reached[index] && (part == "*" || part == words[index]);
        }
        reached[0] = false;
    }
    reached[words.len()]
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: LoadOptions,
    }

    fn plan(arguments: &str) -> Topology {
        let arguments = format!("load {arguments}");
        let command = Command::parse_from(arguments.split_whitespace());
        Topology::plan(&command.options, "run").unwrap()
    }

    #[test]
    fn topic_patterns_match_as_in_amqp() {
        let cases = [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("#", "", true),
            ("#", "a.b.c", true),
            ("a.#", "a", true),
            ("#.c", "a.b.c", true),
            ("#.b", "a.b.c", false),
            ("*.#.c", "c", false),
            ("a.#.c", "a.c", true),
            ("#.#", "a", true),
            ("*", "", false),
        ];
        for (pattern, key, expected) in cases {
            assert_eq!(topic(pattern, key), expected, "{pattern} on {key}");
        }
    }

    #[test]
    fn producers_share_the_queues_of_the_default_exchange() {
        let topology = plan("--queues 5 --producers 2");
        assert_eq!(topology.keys_of(0), [0, 2, 4]);
        assert_eq!(topology.keys_of(1), [1, 3]);
        assert_eq!(topology.copies_of(1), [1, 1]);
        assert_eq!(topology.reaches(0, 2), [false, true, false]);
        assert_eq!(topology.exchange(), "");
    }

    #[test]
    fn more_producers_than_queues_double_up() {
        let topology = plan("--queues 2 --producers 5");
        let keys: Vec<Vec<usize>> = (0..5).map(|index| topology.keys_of(index)).collect();
        assert_eq!(keys, [[0], [1], [0], [1], [0]]);
    }

    #[test]
    fn a_fan_out_reaches_every_queue() {
        let topology = plan("--fan-out 50");
        assert_eq!(topology.queues().len(), 50);
        assert_eq!(topology.copies_of(0), [50]);
        assert_eq!(topology.reaches(0, 49), [true]);
    }

    #[test]
    fn a_topic_exchange_promises_what_its_bindings_match() {
        let topology = plan(
            "--exchange topic --queues 2 --keys 4 --routing-key k.{key} --binding k.{queue} --binding #.3",
        );
        assert_eq!(topology.copies_of(0), [1, 1, 0, 2]);
        assert_eq!(topology.reaches(0, 1), [false, true, false, true]);
    }
}
