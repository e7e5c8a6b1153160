//! Faults planted in a sound outcome: each must be found, and nothing else.

use super::*;

const QUEUE: &str = "queue";
const OTHER: &str = "other";
const DEAD: &str = "dead";
const TRANSACTION: TransactionId = TransactionId(7);

const fn message(publisher: u32, sequence: u32) -> MessageId {
    MessageId {
        publisher,
        sequence,
    }
}

const fn seen(message: MessageId, redelivered: bool) -> Seen {
    Seen {
        message: Some(message),
        intact: true,
        redelivered,
    }
}

fn queue(name: &str) -> Entity {
    Entity::Queue(name.to_owned())
}

fn binding() -> Entity {
    Entity::Binding(Binding {
        exchange: "exchange".to_owned(),
        key: "key".to_owned(),
        queue: QUEUE.to_owned(),
    })
}

/// In `queue`: 1:1 settled in round one; 1:2 delivered; 1:3, 1:4; 2:1 sent once those were
/// confirmed; 1:5 unconfirmed; 3:1 acked just now; 4:1 rejected; 5:1 acked and 5:2 published in
/// an unanswered transaction, with 5:3 in `other`; 6:1 acked in a transaction that was committed;
/// 7:1 published in one that was not.
fn first_round() -> History {
    let mut history = History::new();
    for name in [QUEUE, OTHER, DEAD] {
        history.declare_sent(&queue(name));
        history.declare_ok(&queue(name));
    }
    history.is_unordered(DEAD);
    history.declare_sent(&binding());
    history.declare_ok(&binding());
    history.declare_sent(&queue("deleted"));
    history.declare_ok(&queue("deleted"));
    history.delete_sent(&queue("deleted"));
    history.delete_ok(&queue("deleted"));

    put(&mut history, message(1, 1), true);
    history.delivered(1, QUEUE, seen(message(1, 1), false));
    history.ack_sent(QUEUE, message(1, 1));
    history
}

fn put(history: &mut History, id: MessageId, confirmed: bool) {
    history.publish_sent(id, &[QUEUE.to_owned()], None);
    if confirmed {
        history.confirmed(id, &[QUEUE.to_owned()]);
    }
}

fn history() -> (History, Observation) {
    let mut history = first_round();
    let entities = |history: &History| {
        let exists =
            |(entity, known): (&Entity, &Option<bool>)| (entity.clone(), known.unwrap_or_default());
        history.entities().iter().map(exists).collect()
    };
    let nothing = |history: &History| Observation {
        queues: [QUEUE, OTHER, DEAD]
            .map(|name| (name.to_owned(), Vec::new()))
            .into(),
        entities: entities(history),
    };
    history.killed();
    let empty = nothing(&history);
    assert_eq!(history.judge(&empty).faults, []);

    for id in [message(1, 2), message(1, 3), message(1, 4), message(2, 1)] {
        put(&mut history, id, true);
    }
    put(&mut history, message(1, 5), false);
    for publisher in 3..=6 {
        put(&mut history, message(publisher, 1), true);
    }
    for (id, channel) in [(message(1, 2), 1), (message(3, 1), 1), (message(4, 1), 1)] {
        history.delivered(channel, QUEUE, seen(id, false));
    }
    for id in [message(5, 1), message(6, 1)] {
        history.delivered(2, QUEUE, seen(id, false));
    }
    history.ack_sent(QUEUE, message(3, 1));
    history.reject_sent(QUEUE, message(4, 1), DEAD);
    history.ack_sent_in(QUEUE, message(6, 1), TransactionId(1));
    history.commit_sent(TransactionId(1));
    history.commit_ok(TransactionId(1));
    history.ack_sent_in(QUEUE, message(5, 1), TRANSACTION);
    history.publish_sent(message(5, 2), &[QUEUE.to_owned()], Some(TRANSACTION));
    history.publish_sent(message(5, 3), &[OTHER.to_owned()], Some(TRANSACTION));
    history.commit_sent(TRANSACTION);
    history.publish_sent(message(7, 1), &[QUEUE.to_owned()], Some(TransactionId(2)));
    history.killed();

    let mut observation = nothing(&history);
    let queued = [
        seen(message(1, 2), true),
        seen(message(1, 3), true),
        seen(message(1, 4), false),
        seen(message(2, 1), false),
        seen(message(3, 1), true),
        seen(message(5, 2), false),
    ];
    observation.queues.insert(QUEUE.to_owned(), queued.into());
    let other = vec![seen(message(5, 3), false)];
    observation.queues.insert(OTHER.to_owned(), other);
    let dead = vec![seen(message(4, 1), false)];
    observation.queues.insert(DEAD.to_owned(), dead);
    (history, observation)
}

fn queued(observation: &mut Observation) -> &mut Vec<Seen> {
    observation.queues.entry(QUEUE.to_owned()).or_default()
}

#[test]
fn a_sound_outcome_is_found_sound_and_counted() {
    let (mut history, observation) = history();
    let verdict = history.judge(&observation);
    let counts = Counts {
        observed: 8,
        confirmed: 5,
        unconfirmed_kept: 3,
        unconfirmed_dropped: 2,
        acked_back: 1,
        flagged_unseen: 1,
        flagged_unseen_max: 1,
        transactions_unknown: 1,
    };
    assert_eq!((verdict.faults, verdict.counts), (vec![], counts));
}

#[test]
fn an_unanswered_transaction_may_as_well_not_have_happened() {
    let (mut history, mut observation) = history();
    observation.queues.insert(OTHER.to_owned(), Vec::new());
    let queued = queued(&mut observation);
    queued.pop();
    queued.push(seen(message(5, 1), true));
    assert_eq!(history.judge(&observation).faults, []);
}

#[test]
fn a_rejected_message_may_be_where_it_was() {
    let (mut history, mut observation) = history();
    observation.queues.insert(DEAD.to_owned(), Vec::new());
    queued(&mut observation).insert(5, seen(message(4, 1), true));
    assert_eq!(history.judge(&observation).faults, []);
}

type Plant = fn(&mut Observation);

fn in_queue(fault: impl FnOnce(String) -> Fault) -> Fault {
    fault(QUEUE.to_owned())
}

fn planted_in_messages() -> Vec<(&'static str, Plant, Fault)> {
    vec![
        (
            "a confirmed message is lost",
            |o| {
                queued(o).remove(2);
            },
            in_queue(|queue| Fault::Lost {
                queue,
                message: message(1, 4),
            }),
        ),
        (
            "a body is changed",
            |o| queued(o)[5].intact = false,
            in_queue(|queue| Fault::Changed {
                queue,
                message: Some(message(5, 2)),
            }),
        ),
        (
            "a message nobody published is there",
            |o| queued(o).push(seen(message(9, 9), true)),
            in_queue(|queue| Fault::Phantom {
                queue,
                message: Some(message(9, 9)),
            }),
        ),
        (
            "a message is in another queue, too",
            |o| queued(o).push(seen(message(5, 3), true)),
            in_queue(|queue| Fault::Phantom {
                queue,
                message: Some(message(5, 3)),
            }),
        ),
    ]
}

fn planted_in_order_and_flags() -> Vec<(&'static str, Plant, Fault)> {
    let reordered = |first, second| {
        in_queue(|queue| Fault::Reordered {
            queue,
            first,
            second,
        })
    };
    vec![
        (
            "a message is there twice",
            |o| queued(o).push(seen(message(2, 1), true)),
            in_queue(|queue| Fault::Twice {
                queue,
                message: message(2, 1),
            }),
        ),
        (
            "two messages of one publisher are swapped",
            |o| queued(o).swap(1, 2),
            reordered(message(1, 3), message(1, 4)),
        ),
        (
            "a message is before one that was confirmed when it was sent",
            |o| queued(o).swap(2, 3),
            reordered(message(1, 4), message(2, 1)),
        ),
        (
            "a delivered message is not flagged",
            |o| queued(o)[0].redelivered = false,
            in_queue(|queue| Fault::NotFlagged {
                queue,
                message: message(1, 2),
            }),
        ),
        (
            "an acked message that comes back is not flagged",
            |o| queued(o)[4].redelivered = false,
            in_queue(|queue| Fault::NotFlagged {
                queue,
                message: message(3, 1),
            }),
        ),
        (
            "a message that was gone after the last crash is back",
            |o| queued(o).insert(0, seen(message(1, 1), true)),
            in_queue(|queue| Fault::SettledBack {
                queue,
                message: message(1, 1),
            }),
        ),
    ]
}

fn planted_in_operations() -> Vec<(&'static str, Plant, Fault)> {
    vec![
        (
            "an ack of a committed transaction is undone",
            |o| queued(o).insert(5, seen(message(6, 1), true)),
            in_queue(|queue| Fault::SettledBack {
                queue,
                message: message(6, 1),
            }),
        ),
        (
            "one publish of a transaction is there, another is not",
            |o| o.queues.entry(OTHER.to_owned()).or_default().clear(),
            Fault::HalfTransaction {
                transaction: TRANSACTION,
            },
        ),
        (
            "the publishes of a transaction are there, its ack is not",
            |o| queued(o).insert(5, seen(message(5, 1), true)),
            Fault::HalfTransaction {
                transaction: TRANSACTION,
            },
        ),
        (
            "a publish that was not committed is there",
            |o| queued(o).push(seen(message(7, 1), false)),
            in_queue(|queue| Fault::Uncommitted {
                queue,
                message: message(7, 1),
            }),
        ),
        (
            "a rejected message is nowhere",
            |o| o.queues.entry(DEAD.to_owned()).or_default().clear(),
            in_queue(|queue| Fault::DeadLetterLost {
                queue,
                message: message(4, 1),
            }),
        ),
        (
            "a rejected message is where it was and among the dead",
            |o| queued(o).insert(5, seen(message(4, 1), true)),
            Fault::Twice {
                queue: DEAD.to_owned(),
                message: message(4, 1),
            },
        ),
    ]
}

fn planted_in_entities() -> Vec<(&'static str, Plant, Fault)> {
    vec![
        (
            "a deleted queue is back",
            |o| {
                o.entities.insert(queue("deleted"), true);
            },
            Fault::EntityBack {
                entity: queue("deleted"),
            },
        ),
        (
            "a declared queue is gone",
            |o| {
                o.entities.insert(queue(OTHER), false);
                o.queues.remove(OTHER);
            },
            Fault::EntityLost {
                entity: queue(OTHER),
            },
        ),
        (
            "a binding is gone",
            |o| {
                o.entities.insert(binding(), false);
            },
            Fault::EntityLost { entity: binding() },
        ),
    ]
}

#[test]
fn each_planted_fault_is_found_and_nothing_else() {
    let planted = planted_in_messages()
        .into_iter()
        .chain(planted_in_order_and_flags())
        .chain(planted_in_operations())
        .chain(planted_in_entities());
    for (name, plant, expected) in planted {
        let (mut history, mut observation) = history();
        plant(&mut observation);
        let found = history.judge(&observation).faults;
        assert_eq!(found, [expected], "{name}");
    }
}

#[test]
fn each_fault_in_a_delivery_is_found() {
    let plant = |seen: Seen| {
        let (mut history, _) = history();
        history.delivered(1, QUEUE, seen);
        history.take_faults()
    };
    assert_eq!(plant(seen(message(1, 2), true)), [], "flagged");
    assert_eq!(plant(seen(message(1, 3), false)), [], "for the first time");
    let queue = || QUEUE.to_owned();
    let cases = [
        (
            seen(message(1, 2), false),
            Fault::NotFlagged {
                queue: queue(),
                message: message(1, 2),
            },
        ),
        (
            seen(message(1, 1), true),
            Fault::SettledBack {
                queue: queue(),
                message: message(1, 1),
            },
        ),
        (
            seen(message(7, 1), false),
            Fault::Uncommitted {
                queue: queue(),
                message: message(7, 1),
            },
        ),
    ];
    for (seen, expected) in cases {
        assert_eq!(plant(seen), [expected], "{seen:?}");
    }
}

#[test]
fn the_messages_of_a_queue_that_was_made_anew_must_not_come_back() {
    let (mut history, mut observation) = history();
    history.delete_sent(&queue(OTHER));
    history.delete_ok(&queue(OTHER));
    history.declare_sent(&queue(OTHER));
    history.declare_ok(&queue(OTHER));
    let expected = Fault::SettledBack {
        queue: OTHER.to_owned(),
        message: message(5, 3),
    };
    assert_eq!(history.judge(&observation).faults, [expected]);

    observation.queues.insert(OTHER.to_owned(), Vec::new());
    for seen in observation.queues.values_mut().flatten() {
        seen.redelivered = true;
    }
    assert_eq!(history.judge(&observation).faults, []);
}

#[test]
fn one_run_gives_a_message_without_the_flag_once() {
    let check = |flags: [bool; 2], is_fault: bool| {
        let mut history = History::new();
        history.declare_sent(&queue(QUEUE));
        history.declare_ok(&queue(QUEUE));
        put(&mut history, message(1, 1), true);
        for (channel, redelivered) in (1..).zip(flags) {
            history.delivered(channel, QUEUE, seen(message(1, 1), redelivered));
        }
        let faults = history.take_faults();
        assert_eq!(!faults.is_empty(), is_fault, "{flags:?}: {faults:?}");
    };
    check([false, true], false);
    check([true, true], false);
    check([false, false], true);
    // The second client was quicker to read than the first.
    check([true, false], false);
}

#[test]
fn what_was_there_at_the_start_is_never_given_without_the_flag() {
    let mut history = History::new();
    history.declare_sent(&queue(QUEUE));
    history.declare_ok(&queue(QUEUE));
    put(&mut history, message(1, 1), true);
    history.killed();
    let observation = Observation {
        queues: [(QUEUE.to_owned(), vec![seen(message(1, 1), true)])].into(),
        entities: [(queue(QUEUE), true)].into(),
    };
    assert_eq!(history.judge(&observation).faults, []);
    history.delivered(1, QUEUE, seen(message(1, 1), false));
    let fault = Fault::NotFlagged {
        queue: QUEUE.to_owned(),
        message: message(1, 1),
    };
    assert_eq!(history.take_faults(), [fault]);
}
