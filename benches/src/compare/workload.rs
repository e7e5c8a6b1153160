//! The workloads by name. Each is a `leveret-bench load` command line and what to read off it.

use clap::Parser;
use serde::Serialize;

use crate::load::{LoadOptions, LoadResults};

/// One named workload.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
}

/// What a round of a workload does.
#[derive(Debug)]
pub(crate) enum Work {
    /// One load with these arguments, of which these figures count.
    Load {
        arguments: &'static str,
        measures: &'static [Measure],
    },
    /// Persistent and transient confirms one at a time, and the disk alone.
    SingleConfirm,
    /// Connections and queues that come and go.
    Churn,
}

/// A figure of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Measure {
    Consumed,
    Confirmed,
    LatencyP50,
    LatencyP99,
}

/// Whether more or less of something is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// One figure of one round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) measure: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) value: f64,
}

/// All workloads, in the order of `all`.
pub(crate) const WORKLOADS: [Workload; 11] = [
    Workload {
        name: "transient-16",
        work: Work::Load {
            arguments: "--size 16 --auto-ack --in-flight-max 50000",
            measures: &[Measure::Consumed],
        },
    },
    Workload {
        name: "transient-1k",
        work: Work::Load {
            arguments: "--size 1024 --auto-ack --in-flight-max 50000",
            measures: &[Measure::Consumed],
        },
    },
    Workload {
        name: "acked-1k",
        work: Work::Load {
            arguments: "--size 1024 --prefetch 1000 --in-flight-max 50000",
            measures: &[Measure::Consumed],
        },
    },
    Workload {
        name: "persistent-1k",
        work: Work::Load {
            arguments: "--size 1024 --persistent --confirm-window 1000 --prefetch 1000",
            measures: &[Measure::Consumed, Measure::LatencyP50],
        },
    },
    Workload {
        name: "publish-only-1k",
        work: Work::Load {
            arguments: "--size 1024 --persistent --confirm-window 1000 --publish-only",
            measures: &[Measure::Confirmed],
        },
    },
    Workload {
        name: "drain-1k",
        work: Work::Load {
            arguments: "--size 1024 --persistent --confirm-window 2000 --prefetch 1000 \
                --drain 200000",
            measures: &[Measure::Consumed],
        },
    },
    Workload {
        name: "paced-5k",
        work: Work::Load {
            arguments: "--size 1024 --persistent --confirm-window 1000 --rate 5000",
            measures: &[Measure::LatencyP50, Measure::LatencyP99],
        },
    },
    Workload {
        name: "single-confirm",
        work: Work::SingleConfirm,
    },
    Workload {
        name: "fanout-50",
        work: Work::Load {
            arguments: "--fan-out 50 --consumer-connections 10 --size 128 --auto-ack \
                --in-flight-max 100000",
            measures: &[Measure::Consumed],
        },
    },
    Workload {
        name: "topic",
        work: Work::Load {
            arguments: "--exchange topic --queues 50 --consumer-connections 5 \
                --routing-key region.{key}.order.created --binding region.{queue}.order.* \
                --binding audit.{queue}.# --binding #.{queue}.deleted \
                --size 128 --auto-ack --in-flight-max 50000",
            measures: &[Measure::Consumed],
        },
    },
    Workload {
        name: "churn",
        work: Work::Churn,
    },
];

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Arguments {
    #[command(flatten)]
    options: LoadOptions,
}

/// Load options from the text of a command line.
pub(crate) fn options(arguments: &str) -> Result<LoadOptions, clap::Error> {
    Arguments::try_parse_from(arguments.split_whitespace()).map(|parsed| parsed.options)
}

impl Measure {
    /// Reads the figure off a load; `None` if the load did not have it.
    pub(crate) fn read(self, results: &LoadResults) -> Option<Sample> {
        let latency = results.latency_microseconds.as_ref();
        let (measure, value) = match self {
            Self::Consumed => ("consumed", results.consumed_per_second),
            Self::Confirmed => ("confirmed", results.confirmed_per_second),
            Self::LatencyP50 => ("latency p50", latency.map(|latency| latency.p50)),
            Self::LatencyP99 => ("latency p99", latency.map(|latency| latency.p99)),
        };
        let (unit, better) = match self {
            Self::Consumed | Self::Confirmed => ("/s", Better::Higher),
            Self::LatencyP50 | Self::LatencyP99 => ("us", Better::Lower),
        };
        value.map(|value| Sample {
            measure,
            unit,
            better,
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_a_valid_command_line() {
        for workload in &WORKLOADS {
            if let Work::Load { arguments, .. } = workload.work {
                let parsed = options(arguments).map_err(|error| error.to_string());
                let checked = parsed.map(|options| options.check().is_ok());
                assert_eq!(checked, Ok(true), "{}", workload.name);
            }
        }
    }

    #[test]
    fn no_two_workloads_have_the_same_name() {
        let mut names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), WORKLOADS.len());
    }
}
