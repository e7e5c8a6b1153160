//! Whether everything that was published came, once and in order.

use crate::load::consumer::Consumed;
use crate::load::producer::Produced;
use crate::load::tally::Seen;
use crate::load::topology::Topology;

/// The faults of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) received: u64,
    pub(crate) redelivered: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    /// Due and not received; they may still lie in their queue.
    pub(crate) missing: u64,
}

/// Compares what was sent with what was seen. Bodies without numbers can only be counted.
pub(crate) fn judge(
    topology: &Topology,
    produced: &[Produced],
    consumed: &[Consumed],
    numbered: bool,
) -> Verdict {
    let mut verdict = Verdict::default();
    let tallies = consumed.iter().flat_map(|one| &one.tallies);
    for (_, tally) in tallies.clone() {
        verdict.received += tally.received;
        verdict.redelivered += tally.redelivered;
        verdict.duplicates += tally.duplicates;
        verdict.out_of_order += tally.out_of_order;
    }
    for queue in 0..topology.queues().len() {
        let of_queue = tallies.clone().filter(|(index, _)| *index == queue);
        let mut unique: u64 = of_queue.clone().map(|(_, tally)| tally.unique).sum();
        let mut due = 0;
        for (producer, sent) in produced.iter().enumerate() {
            let mut seen = Seen::default();
            if numbered {
                let twice: u64 = of_queue
                    .clone()
                    .map(|(_, tally)| seen.add(tally.seen(producer)))
                    .sum();
                unique -= twice;
                verdict.duplicates += twice;
            }
            let reaches = topology.reaches(producer, queue);
            let reaches_as_number: Vec<u64> = reaches.iter().map(|yes| u64::from(*yes)).collect();
            due += super::producer::deliveries(&reaches_as_number, sent.sent);
            // A refused message is not due; it may have come all the same.
            let refused_and_absent = sent.nacked.iter().filter(|sequence| {
                reaches[position(**sequence, reaches.len())] && !seen.contains(**sequence)
            });
            due -= refused_and_absent.count() as u64;
        }
        verdict.missing += due.saturating_sub(unique);
    }
    verdict
}

fn position(sequence: u64, length: usize) -> usize {
    usize::try_from(sequence % length.max(1) as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::load::latency::Latency;
    use crate::load::options::LoadOptions;
    use crate::load::tally::Tally;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: LoadOptions,
    }

    fn topology(arguments: &str) -> Topology {
        let arguments = format!("load {arguments}");
        let command = Command::parse_from(arguments.split_whitespace());
        Topology::plan(&command.options, "run").unwrap()
    }

    fn produced(sent: u64, nacked: Vec<u64>) -> Produced {
        Produced {
            sent,
            nacked,
            unconfirmed: 0,
            blocked_count: 0,
            confirm_latency: Latency::default(),
        }
    }

    fn consumed(queue: usize, sequences: &[u64]) -> Consumed {
        let mut tally = Tally::new(1);
        sequences
            .iter()
            .for_each(|sequence| tally.mark(0, *sequence, false));
        Consumed {
            tallies: vec![(queue, tally)],
            latency: Latency::default(),
        }
    }

    #[test]
    fn what_was_sent_and_came_nowhere_is_missing() {
        let consumed = [consumed(0, &[0, 2]), consumed(1, &[1])];
        let verdict = judge(
            &topology("--queues 2"),
            &[produced(6, Vec::new())],
            &consumed,
            true,
        );
        assert_eq!((verdict.received, verdict.missing), (3, 3));
    }

    #[test]
    fn a_fan_out_owes_every_queue_a_copy() {
        let consumed = [consumed(0, &[0, 1, 2]), consumed(1, &[0, 2])];
        let verdict = judge(
            &topology("--fan-out 2"),
            &[produced(3, Vec::new())],
            &consumed,
            true,
        );
        assert_eq!(verdict.missing, 1);
    }

    #[test]
    fn a_message_given_to_two_consumers_hides_no_loss() {
        let consumed = [consumed(0, &[0, 1]), consumed(0, &[1, 2])];
        let verdict = judge(
            &topology("--queues 1"),
            &[produced(4, Vec::new())],
            &consumed,
            true,
        );
        assert_eq!((verdict.duplicates, verdict.missing), (1, 1));
    }

    #[test]
    fn a_refused_message_is_not_due_but_may_come() {
        let consumed = [consumed(0, &[0, 1])];
        let verdict = judge(
            &topology("--queues 1"),
            &[produced(4, vec![1, 2])],
            &consumed,
            true,
        );
        assert_eq!(verdict.missing, 1, "3 is");
    }
}
