//! Whole runs against a broker with a planted fault.

use clap::Parser;

use crate::fake::{self, Fault};
use crate::load::options::LoadOptions;
use crate::load::outcome::LoadResults;
use crate::progress::Progress;

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Command {
    #[command(flatten)]
    options: LoadOptions,
}

/// Fills a queue with 500 messages and drains it, with one fault on the way.
fn drain(fault: Fault) -> Result<LoadResults, String> {
    let arguments = "--drain 500 --size 64 --confirm-window 50 --drain-seconds 0.3";
    let options = Command::parse_from(arguments.split_whitespace()).options;
    let outcome = super::run(&fake::start(fault), &options, &Progress::hidden());
    outcome
        .map(|outcome| outcome.results)
        .map_err(|error| format!("{error:#}"))
}

#[test]
fn a_broker_that_keeps_its_word_has_no_fault() {
    let results = drain(Fault::None).unwrap();
    assert!(results.is_sound(), "{}", results.faults());
    assert_eq!(
        (results.published, results.received, results.remaining),
        (500, 500, 0)
    );
}

#[test]
fn a_lost_message_is_noticed() {
    let results = drain(Fault::Loses(123)).unwrap();
    assert_eq!((results.received, results.lost), (499, Some(1)));
    assert!(!results.is_sound());
}

#[test]
fn a_doubled_message_is_noticed() {
    let results = drain(Fault::Doubles(499)).unwrap();
    let faults = (results.duplicates, results.lost, results.out_of_order);
    assert_eq!(faults, (1, Some(0), 0));
    assert!(!results.is_sound());
}

#[test]
fn a_changed_order_is_noticed() {
    let results = drain(Fault::Swaps(77)).unwrap();
    assert_eq!((results.out_of_order, results.lost), (1, Some(0)));
    assert!(!results.is_sound());
}

#[test]
fn a_refused_message_is_neither_lost_nor_unsound() {
    let results = drain(Fault::Nacks(200)).unwrap();
    assert_eq!(
        (results.nacked, results.lost, results.received),
        (1, Some(0), 499)
    );
    assert!(results.is_sound());
}

#[test]
fn a_confirm_that_never_comes_is_noticed() {
    let results = drain(Fault::ForgetsConfirm(480)).unwrap();
    assert_eq!(results.unconfirmed, 1);
    assert!(!results.is_sound());
}

#[test]
fn a_broker_that_breaks_the_protocol_or_dies_is_told_plainly() {
    let cases = [
        (
            Fault::ConfirmsTwice(9),
            "the broker confirmed tag 10, which is not outstanding",
        ),
        (
            Fault::HangsUpAt(300),
            "the broker closed the connection without a word",
        ),
        (
            Fault::ClosesChannelAt(300),
            "the broker closed the channel: 404 no (after basic.publish)",
        ),
        (
            Fault::CutsBody(300),
            "a message came back changed: 63 body bytes instead of 64",
        ),
        (
            Fault::RefusesLogin,
            "the broker closed the connection: 403 who are you",
        ),
        (
            Fault::SpeaksOtherProtocol,
            "the broker does not speak AMQP 0-9-1: it answered",
        ),
    ];
    for (fault, expected) in cases {
        let told = drain(fault).map(|results| results.faults()).unwrap_err();
        assert!(told.contains(expected), "{fault:?}: {told}");
    }
}
