//! The rows: what is measured, and what is to be reached.

use crate::churn::Cycle;
use serde::{Deserialize, Serialize};

/// One row, and its place in the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) work: Work,
}

/// What a round of a row does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// A load: the arguments of both, those that RabbitMQ gets besides, and what to read off it.
    Load {
        arguments: &'static str,
        theirs: &'static str,
        figure: &'static str,
        goal: Goal,
    },
    /// Loads with `{n}` replaced by each step in turn: the processor time of a message.
    Growth {
        arguments: &'static str,
        steps: &'static [u64],
        what: &'static str,
    },
    /// As `drain` of `leveret-bench load`, of so many messages; fewer in a quick run.
    Drain {
        count: u64,
        quick: u64,
        goal: Goal,
    },
    SingleConfirm,
    Churn {
        cycle: Cycle,
        goal: Goal,
    },
    Crash {
        count: u64,
        quick: u64,
    },
    Memory {
        count: u64,
        quick: u64,
    },
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Goal {
    /// Better than RabbitMQ by this factor.
    Times(f64),
    /// At most this much, whatever RabbitMQ does.
    AtMost(f64),
    /// No more than a fifth between the cheapest and the dearest step.
    Flat,
    /// Shown, and not judged.
    Open,
}

const PERSISTENT: &str = "--size 1024 --persistent --confirm-window 1000 --prefetch 100";

/// All rows, in the order of the table.
pub(super) const ROWS: [Row; 19] = [
    Row {
        name: "transient-16",
        title: "transient, 16 B, automatic ack",
        work: load(
            "--size 16 --auto-ack --in-flight-max 50000",
            "consumed",
            15.0,
        ),
    },
    Row {
        name: "transient-1k",
        title: "transient, 1 KiB, automatic ack",
        work: load(
            "--size 1024 --auto-ack --in-flight-max 50000",
            "consumed",
            9.0,
        ),
    },
    Row {
        name: "persistent-classic",
        title: "persistent 1 KiB, window 1000, prefetch 100; classic queue",
        work: load(PERSISTENT, "consumed", 8.0),
    },
    Row {
        name: "persistent-quorum",
        title: "persistent 1 KiB, window 1000, prefetch 100; quorum queue",
        work: Work::Load {
            arguments: PERSISTENT,
            theirs: "--queue-args x-queue-type=quorum",
            figure: "consumed",
            goal: Goal::Times(20.0),
        },
    },
    Row {
        name: "publish-only",
        title: "persistent 1 KiB, publish only, window 1000",
        work: load(
            "--size 1024 --persistent --confirm-window 1000 --publish-only",
            "confirmed",
            8.0,
        ),
    },
    Row {
        name: "single-confirm",
        title: "persistent 1 KiB, one at a time",
        work: Work::SingleConfirm,
    },
    Row {
        name: "drain",
        title: "drain of a backlog",
        work: Work::Drain {
            count: 1_000_000,
            quick: 100_000,
            goal: Goal::Times(14.0),
        },
    },
    Row {
        name: "fan-out",
        title: "fan-out to 50 queues, copies",
        work: load(
            "--fan-out 50 --consumer-connections 10 --size 128 --auto-ack --in-flight-max 100000",
            "consumed",
            25.0,
        ),
    },
    Row {
        name: "topic",
        title: "topic exchange, 1,000 bindings",
        work: load(
            "--exchange topic --queues 100 --consumer-connections 5 --size 128 --auto-ack \
             --in-flight-max 50000 --routing-key region.{key}.order.created \
             --binding region.{queue}.order.* --binding audit.{queue}.# --binding #.{queue}.gone \
             --binding a.*.{queue} --binding b.*.{queue} --binding c.*.{queue} \
             --binding d.{queue}.# --binding e.{queue}.# --binding *.f.{queue} --binding g.#.{queue}",
            "consumed",
            20.0,
        ),
    },
    Row {
        name: "paced-5k",
        title: "5,000 persistent messages/s, p99",
        work: load(
            "--size 1024 --persistent --confirm-window 1000 --rate 5000",
            "latency p99",
            2.0,
        ),
    },
    Row {
        name: "paced-20k",
        title: "20,000 persistent messages/s, p99",
        work: load(
            "--size 1024 --persistent --confirm-window 1000 --rate 20000",
            "latency p99",
            2.0,
        ),
    },
    Row {
        name: "connection-churn",
        title: "connect, open a channel, close",
        work: Work::Churn {
            cycle: Cycle::Connection,
            goal: Goal::Times(20.0),
        },
    },
    Row {
        name: "churn",
        title: "connect, declare, publish, get, delete, close",
        work: Work::Churn {
            cycle: Cycle::Whole,
            goal: Goal::Times(20.0),
        },
    },
    Row {
        name: "queue-churn",
        title: "durable queue: declare, delete",
        work: Work::Churn {
            cycle: Cycle::Queue,
            goal: Goal::Times(5.0),
        },
    },
    Row {
        name: "crash",
        title: "kill -9 with a backlog",
        work: Work::Crash {
            count: 1_000_000,
            quick: 100_000,
        },
    },
    Row {
        name: "memory",
        title: "memory",
        work: Work::Memory {
            count: 1_000_000,
            quick: 100_000,
        },
    },
    Row {
        name: "growth-queues",
        title: "cost as queues grow",
        work: Work::Growth {
            arguments: "--size 1024 --persistent --confirm-window 1000 --prefetch 100 \
                        --queues {n} --consumer-connections 4",
            steps: &[1, 10, 100, 1000],
            what: "queues",
        },
    },
    Row {
        name: "growth-connections",
        title: "cost as connections grow, 10,000 messages/s in all",
        work: Work::Growth {
            arguments: "--size 1024 --producers {n} --auto-ack --rate 10000",
            steps: &[1, 10, 100, 1000, 5000],
            what: "publishing connections",
        },
    },
    Row {
        name: "growth-backlog",
        title: "cost as the backlog grows",
        work: Work::Growth {
            arguments: "--size 1024 --persistent --confirm-window 2000 --prefetch 1000 --drain {n}",
            steps: &[10_000, 100_000, 1_000_000, 10_000_000],
            what: "messages in the backlog",
        },
    },
];

const fn load(arguments: &'static str, figure: &'static str, times: f64) -> Work {
    Work::Load {
        arguments,
        theirs: "",
        figure,
        goal: Goal::Times(times),
    }
}

impl Row {
    /// The steps of a growth that a run of this length takes.
    pub(super) fn steps(&self, quick: bool, backlog_max: u64) -> Vec<u64> {
        match self.work {
            Work::Growth { steps, .. } => {
                let most = if quick { 100_000 } else { backlog_max };
                steps.iter().copied().filter(|step| *step <= most).collect()
            }
            Work::Load { .. }
            | Work::Drain { .. }
            | Work::SingleConfirm
            | Work::Churn { .. }
            | Work::Crash { .. }
            | Work::Memory { .. } => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::load_options;

    #[test]
    fn every_row_is_a_valid_command_line() {
        for row in &ROWS {
            let lines = match row.work {
                Work::Load {
                    arguments, theirs, ..
                } => vec![arguments.to_owned(), format!("{arguments} {theirs}")],
                Work::Growth {
                    arguments, steps, ..
                } => {
                    let filled = |step: &u64| arguments.replace("{n}", &step.to_string());
                    steps.iter().map(filled).collect()
                }
                Work::Drain { .. }
                | Work::SingleConfirm
                | Work::Churn { .. }
                | Work::Crash { .. }
                | Work::Memory { .. } => Vec::new(),
            };
            for line in lines {
                let options = load_options(&line).map_err(|error| error.to_string());
                let checked = options.map(|options| options.check().is_ok());
                assert_eq!(checked, Ok(true), "{}: {line}", row.name);
            }
        }
    }
}
