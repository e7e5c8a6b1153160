//! Whole rounds against a broker with a planted fault: each is found, and nothing else is.

use clap::Parser;

use crate::crash::redelivery::fake::{FakeBroker, Fault};
use crate::crash::redelivery::ledger::{Findings, Ids};
use crate::crash::redelivery::outcome::RoundOutcome;
use crate::crash::redelivery::plan::{CrashOptions, Plan};
use crate::crash::redelivery::round;
use crate::progress::Progress;

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Command {
    #[command(flatten)]
    options: CrashOptions,
}

/// 400 messages, of which 0 to 39 are settled and 40 to 59 held.
fn round_with(fault: Fault, more: &str) -> Result<RoundOutcome, String> {
    let arguments =
        format!("--size 64 --held 20 --confirm-window 50 --silence 0.5 --surplus 0.1 {more}");
    let arguments = if more.contains("--count") {
        arguments
    } else {
        format!("{arguments} --count 400")
    };
    let options = Command::parse_from(arguments.split_whitespace()).options;
    options.check().unwrap();
    let plan = Plan::new(&options, "run", &[]);
    let mut broker = FakeBroker::new(fault);
    let outcome = round::run(&mut broker, &plan, 0, &Progress::hidden());
    outcome.map_err(|error| format!("{error:#}"))
}

fn findings(fault: Fault) -> Findings {
    round_with(fault, "").unwrap().findings
}

fn ids(id: u64) -> Ids {
    Ids {
        count: 1,
        first: vec![id],
    }
}

#[test]
fn a_broker_that_keeps_its_word_has_no_findings_in_any_variant() {
    for variant in [
        "",
        "--queues 7",
        "--priorities 4",
        "--dead-letters",
        "--twice --twice-after 1",
        "--queues 3 --priorities 2 --dead-letters --ttl",
    ] {
        let outcome = round_with(Fault::None, variant).unwrap();
        assert_eq!(outcome.findings, Findings::default(), "{variant}");
        assert_eq!((outcome.sent, outcome.confirmed), (400, 400), "{variant}");
        let due = if variant.contains("dead") { 400 } else { 360 };
        assert_eq!((outcome.due, outcome.received), (due, due), "{variant}");
        assert!(outcome.all_seconds >= outcome.first_seconds, "{variant}");
        let last = outcome.curve.last().map(|point| point.messages);
        assert_eq!(last, Some(due), "{variant}");
    }
}

#[test]
fn what_was_not_confirmed_when_the_broker_was_killed_while_publishing_is_no_loss() {
    let outcome = round_with(Fault::None, "--while-publishing --count 20000").unwrap();
    assert!(outcome.confirmed >= 10_000, "{}", outcome.confirmed);
    assert!(outcome.findings.keeps_promise(), "{:?}", outcome.findings);
    assert_eq!(outcome.findings.slips(0), []);
}

#[test]
fn a_lost_message_is_told_by_its_number() {
    let found = findings(Fault::Loses(123));
    let expected = Findings {
        lost: ids(123),
        ..Findings::default()
    };
    assert_eq!(found, expected);
    assert!(!found.keeps_promise());
}

#[test]
fn a_held_message_that_is_lost_is_lost() {
    assert_eq!(findings(Fault::Loses(45)).lost, ids(45));
}

#[test]
fn a_doubled_message_is_told_though_it_comes_after_all_others() {
    let found = findings(Fault::Doubles(200));
    assert_eq!((&found.duplicates, found.lost.count), (&ids(200), 0));
    assert!(!found.keeps_promise());
}

#[test]
fn a_changed_order_is_told() {
    let found = findings(Fault::Delays(300));
    assert_eq!(found.out_of_order, ids(300));
    assert!(found.keeps_promise());
    assert_eq!(found.slips(0).len(), 1);
}

#[test]
fn a_missing_and_a_false_flag_are_told() {
    let unflagged = findings(Fault::Unflags(47));
    assert_eq!(
        (unflagged.unflagged.clone(), unflagged.slips(0).len()),
        (ids(47), 1)
    );
    let flagged = findings(Fault::Flags(61));
    assert_eq!(
        (flagged.falsely_flagged.clone(), flagged.slips(0).len()),
        (ids(61), 1)
    );
}

#[test]
fn a_changed_body_and_an_invented_message_are_told() {
    let changed = findings(Fault::Changes(399));
    assert_eq!(
        (&changed.changed, changed.keeps_promise()),
        (&ids(399), false)
    );
    let invented = findings(Fault::Invents(1_000_000));
    assert_eq!(
        (&invented.never_sent, invented.keeps_promise()),
        (&ids(1_000_000), false)
    );
}

#[test]
fn a_lost_acknowledgement_is_counted_and_allowed() {
    let found = findings(Fault::Revives(7));
    assert_eq!(
        (found.acked_back.clone(), found.keeps_promise()),
        (ids(7), true)
    );
}

#[test]
fn a_broker_that_dies_or_answers_wrongly_is_told_plainly() {
    let died = round_with(Fault::DiesAfter(100), "").unwrap_err();
    assert!(died.contains("publishing"), "{died}");
    let wrong = round_with(Fault::SpeaksOtherProtocol, "").unwrap_err();
    assert!(wrong.contains("does not speak AMQP 0-9-1"), "{wrong}");
}
