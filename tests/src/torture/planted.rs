//! Faults planted in a sound outcome: each must be found, and nothing else.

use leveret_client::message::{
    Body, ConversationId, Cursor, GroupChange, GroupHistory, GroupSettings, MemberChange, Message,
    MessageId, Post, RejectionCode, Role, Seq, Timestamp, UserId,
};

use super::POISON;
use super::evidence::{Conversation, DeviceDiary, Evidence};
use super::fault::{Counts, Fault};
use super::judge;
use super::record::{Entry, Record};

mod receipts;

const SECOND: u64 = 1_000_000;

fn ana() -> UserId {
    "uana".parse().unwrap()
}

fn bruno() -> UserId {
    "ubruno".parse().unwrap()
}

fn carla() -> UserId {
    "ucarla".parse().unwrap()
}

fn group() -> ConversationId {
    "g_ops".parse().unwrap()
}

fn id(number: u64) -> MessageId {
    let octet = u8::try_from(number).unwrap();
    MessageId::from_parts(Timestamp::from_milliseconds(1_764_000_000_000), [octet; 10])
}

fn message(seq: u64, from: UserId, body: Body) -> Message {
    let ts = Timestamp::from_milliseconds(1_764_000_000_000 + seq);
    Message {
        id: id(seq),
        conv: group(),
        seq: Seq(seq),
        from,
        ts,
        sent_at: ts,
        body,
    }
}

fn post(message: &Message) -> Post {
    Post {
        id: message.id,
        conv: message.conv.clone(),
        to: None,
        from: message.from.clone(),
        dev: "dterm".parse().unwrap(),
        sent_at: message.sent_at,
        after: None,
        body: message.body.clone(),
    }
}

/// Ana makes the group with bruno; both say something; carla comes with the fourth message, goes with the
/// sixth, and has no business with what is said before and after.
fn history() -> Vec<Message> {
    let settings = GroupSettings {
        title: "ops".to_owned(),
        history: GroupHistory::Joined,
        ..GroupSettings::default()
    };
    let create = GroupChange::Create {
        settings,
        members: vec![bruno()],
    };
    let member = |change| Body::Member {
        user: carla(),
        change,
    };
    vec![
        message(1, ana(), Body::Group(create)),
        message(2, ana(), Body::text("oi")),
        message(3, bruno(), Body::text("oi, ana")),
        message(4, ana(), member(MemberChange::Add { role: Role::Member })),
        message(5, bruno(), Body::text("hello, carla")),
        message(6, ana(), member(MemberChange::Remove)),
        message(7, bruno(), Body::text("she has gone")),
        message(8, bruno(), Body::text("has she?")),
    ]
}

fn shown(message: &Message) -> Record {
    Record::Shown {
        message: Box::new(message.clone()),
    }
}

fn cursor(user: UserId, delivered: u64, read: u64) -> Cursor {
    Cursor {
        conv: group(),
        user,
        delivered: Seq(delivered),
        read: Seq(read),
    }
}

/// One record each second.
fn diary(name: &str, user: UserId, records: Vec<Record>) -> DeviceDiary {
    let entry = |(number, record)| Entry {
        at: (number as u64 + 1) * SECOND,
        record,
    };
    DeviceDiary {
        name: name.to_owned(),
        user,
        entries: records.into_iter().enumerate().map(entry).collect(),
    }
}

const ANA: usize = 0;
const BRUNO: usize = 1;
const CARLA: usize = 2;

fn evidence() -> Evidence {
    let history = history();
    let write = |message: &Message| {
        let post = Box::new(post(message));
        [Record::Writing { post }, Record::Written { id: message.id }]
    };
    let told = |message: &Message| Record::Sent {
        id: message.id,
        seq: message.seq,
    };
    let mut ana_says = vec![Record::Began];
    let mut bruno_says = vec![Record::Began];
    for message in &history {
        let writer = if message.from == ana() {
            &mut ana_says
        } else {
            &mut bruno_says
        };
        writer.extend(write(message));
    }
    ana_says.extend(history.iter().map(shown));
    ana_says.extend(
        history
            .iter()
            .filter(|message| message.from == ana())
            .map(told),
    );
    let reading = |seq| Record::Reading {
        conv: group(),
        seq: Seq(seq),
    };
    ana_says.extend([
        reading(5),
        Record::Cursor {
            cursor: cursor(ana(), 6, 6),
        },
        reading(8),
    ]);
    // Bruno's device dies after the seventh.
    bruno_says.extend(history[..7].iter().map(shown));
    bruno_says.push(Record::Began);
    bruno_says.extend(history[7..].iter().map(shown));
    bruno_says.extend(
        history
            .iter()
            .filter(|message| message.from == bruno())
            .map(told),
    );
    // Ana's cursors have come to bruno when they were true: hers came before, by the clock.
    bruno_says.push(Record::Cursor {
        cursor: cursor(ana(), 6, 5),
    });
    let mut carla_says = vec![Record::Began];
    carla_says.extend(history[3..6].iter().map(shown));
    carla_says.push(Record::Pried {
        conv: "g_other".parse().unwrap(),
        got: 0,
    });
    Evidence {
        devices: vec![
            diary("ana", ana(), ana_says),
            diary("bruno", bruno(), bruno_says),
            diary("carla", carla(), carla_says),
        ],
        conversations: vec![Conversation {
            id: group(),
            both: Vec::new(),
            history,
            cursors: vec![cursor(ana(), 8, 8), cursor(bruno(), 8, 8)],
        }],
        summaries: Vec::new(),
    }
}

/// The place of the first record of a device that `is` so.
fn find(evidence: &Evidence, device: usize, is: impl Fn(&Record) -> bool) -> usize {
    let entries = &evidence.devices[device].entries;
    entries.iter().position(|entry| is(&entry.record)).unwrap()
}

fn find_shown(evidence: &Evidence, device: usize, seq: u64) -> usize {
    find(
        evidence,
        device,
        |record| matches!(record, Record::Shown { message } if message.seq.0 == seq),
    )
}

fn found(evidence: &Evidence) -> Vec<Fault> {
    judge(evidence).faults
}

#[test]
fn a_sound_outcome_is_found_sound_and_counted() {
    let verdict = judge(&evidence());
    assert_eq!(verdict.faults, []);
    let counts = Counts {
        written: 8,
        stored: 8,
        rejected: 0,
        shown: 8 + 8 + 3,
        busy: 0,
        poisoned: 0,
        deaths: 1,
        disconnections: 0,
        cursors: 2,
        pried: 1,
    };
    assert_eq!(verdict.counts, counts);
}

#[test]
fn a_lost_message_is_found_unless_nothing_was_promised_or_it_was_refused() {
    let mut lost = evidence();
    lost.conversations[0].history.pop();
    for device in [ANA, BRUNO] {
        let place = find_shown(&lost, device, 8);
        lost.devices[device].entries.remove(place);
    }
    lost.conversations[0].cursors = vec![cursor(ana(), 7, 6), cursor(bruno(), 7, 7)];
    let place = find(&lost, BRUNO, |record| {
        *record
            == Record::Sent {
                id: id(8),
                seq: Seq(8),
            }
    });
    lost.devices[BRUNO].entries.remove(place);
    let place = find(&lost, ANA, |record| {
        matches!(record, Record::Reading { seq: Seq(8), .. })
    });
    lost.devices[ANA].entries.remove(place);
    let device = "bruno".to_owned();
    assert_eq!(
        found(&lost),
        [Fault::Lost {
            device: device.clone(),
            id: id(8)
        }]
    );
    // Told to be refused, for no reason.
    let mut refused = lost.clone();
    let record = Record::Rejected {
        id: id(8),
        code: RejectionCode::RateLimited,
    };
    refused.devices[BRUNO].entries.push(Entry {
        at: 99 * SECOND,
        record,
    });
    let code = RejectionCode::RateLimited;
    assert_eq!(
        found(&refused),
        [Fault::Refused {
            device,
            id: id(8),
            code
        }]
    );
    // It died before it was promised anything.
    let place = find(&lost, BRUNO, |record| {
        *record == Record::Written { id: id(8) }
    });
    lost.devices[BRUNO].entries.remove(place);
    assert_eq!(found(&lost), []);
}

#[test]
fn a_message_that_is_refused_and_stored_or_told_falsely_or_not_at_all_is_found() {
    let mut both = evidence();
    let record = Record::Rejected {
        id: id(2),
        code: RejectionCode::RateLimited,
    };
    both.devices[ANA].entries.push(Entry {
        at: 99 * SECOND,
        record,
    });
    let device = "ana".to_owned();
    assert_eq!(
        found(&both),
        [Fault::RefusedAndStored {
            device: device.clone(),
            id: id(2)
        }]
    );

    let mut falsely = evidence();
    let place = find(&falsely, ANA, |record| {
        *record
            == Record::Sent {
                id: id(2),
                seq: Seq(2),
            }
    });
    falsely.devices[ANA].entries[place].record = Record::Sent {
        id: id(2),
        seq: Seq(3),
    };
    assert_eq!(found(&falsely), [Fault::FalseSent { device, id: id(2) }]);

    let mut untold = evidence();
    untold.devices[BRUNO]
        .entries
        .retain(|entry| match &entry.record {
            Record::Sent { id: told, .. } => *told != id(8),
            Record::Shown { message } => message.id != id(8),
            _ => true,
        });
    let device = "bruno".to_owned();
    let (conv, seq) = (group(), Seq(8));
    let untold = found(&untold);
    let expected = [
        Fault::Untold {
            device: device.clone(),
            id: id(8),
        },
        Fault::NotShown { device, conv, seq },
    ];
    assert_eq!(untold, expected);
}

#[test]
fn a_message_that_nobody_wrote_or_that_is_stored_twice_or_in_disorder_is_found() {
    let mut phantom = evidence();
    phantom.devices[ANA]
        .entries
        .retain(|entry| !matches!(&entry.record, Record::Writing { post } if post.id == id(2)));
    assert_eq!(
        found(&phantom),
        [Fault::Phantom {
            conv: group(),
            seq: Seq(2)
        }]
    );

    let mut twice = evidence();
    twice.conversations[0].history[2].id = id(5);
    let twice = found(&twice);
    assert!(
        twice.contains(&Fault::StoredTwice {
            conv: group(),
            id: id(5)
        }),
        "{twice:?}"
    );

    let mut disorder = evidence();
    let writing = |number| move |record: &Record| matches!(record, Record::Writing { post } if post.id == id(number));
    let (first, second) = (
        find(&disorder, BRUNO, writing(3)),
        find(&disorder, BRUNO, writing(5)),
    );
    let moved = disorder.devices[BRUNO].entries[first].record.clone();
    disorder.devices[BRUNO].entries[first].record =
        disorder.devices[BRUNO].entries[second].record.clone();
    disorder.devices[BRUNO].entries[second].record = moved;
    let device = "bruno".to_owned();
    assert_eq!(
        found(&disorder),
        [Fault::StoredDisorderly { device, id: id(3) }]
    );
}

#[test]
fn a_hole_in_the_history_and_a_clock_that_goes_back_are_found() {
    let mut hole = evidence();
    hole.conversations[0].history.remove(1);
    assert!(found(&hole).contains(&Fault::Gap {
        conv: group(),
        seq: Seq(2)
    }));
    let mut back = evidence();
    back.conversations[0].history[4].ts = Timestamp::from_milliseconds(1);
    assert!(found(&back).contains(&Fault::TimeBack {
        conv: group(),
        seq: Seq(5)
    }));
}

#[test]
fn what_is_shown_twice_in_disorder_altered_or_never_is_found() {
    let device = "ana".to_owned();
    let (conv, seq) = (group(), Seq(4));
    let mut twice = evidence();
    let place = find_shown(&twice, ANA, 4);
    let again = twice.devices[ANA].entries[place].clone();
    twice.devices[ANA].entries.insert(place + 1, again);
    let fault = Fault::ShownTwice {
        device: device.clone(),
        conv: conv.clone(),
        seq,
    };
    assert_eq!(found(&twice), [fault]);

    let mut disorder = evidence();
    disorder.devices[ANA].entries.swap(place, place + 1);
    let fault = Fault::ShownDisorderly {
        device: device.clone(),
        conv: conv.clone(),
        seq,
    };
    assert!(found(&disorder).contains(&fault));

    let mut altered = evidence();
    if let Record::Shown { message } = &mut altered.devices[ANA].entries[place].record {
        message.from = bruno();
    }
    let fault = Fault::Altered {
        device: device.clone(),
        conv: conv.clone(),
        seq,
    };
    assert_eq!(found(&altered), [fault]);

    let mut never = evidence();
    never.devices[ANA].entries.remove(place);
    assert_eq!(found(&never), [Fault::NotShown { device, conv, seq }]);
}

#[test]
fn what_the_next_process_shows_again_is_found() {
    let mut again = evidence();
    let place = find_shown(&again, BRUNO, 8);
    let seventh = shown(&again.conversations[0].history[6]);
    let entry = Entry {
        at: again.devices[BRUNO].entries[place].at,
        record: seventh,
    };
    again.devices[BRUNO].entries.insert(place, entry);
    let (device, conv, seq) = ("bruno".to_owned(), group(), Seq(7));
    assert_eq!(found(&again), [Fault::ShownTwice { device, conv, seq }]);
}

#[test]
fn what_is_shown_to_whom_it_is_not_for_is_found() {
    for seq in [3, 7] {
        let mut foreign = evidence();
        let message = foreign.conversations[0].history[seq - 1].clone();
        let place = if seq == 3 { 1 } else { 4 };
        let entry = Entry {
            at: 9 * SECOND,
            record: shown(&message),
        };
        foreign.devices[CARLA].entries.insert(place, entry);
        let (device, conv, seq) = ("carla".to_owned(), group(), message.seq);
        assert_eq!(found(&foreign), [Fault::Foreign { device, conv, seq }]);
    }
    let mut leaked = evidence();
    let place = find(&leaked, CARLA, |record| {
        matches!(record, Record::Pried { .. })
    });
    let conv: ConversationId = "g_other".parse().unwrap();
    leaked.devices[CARLA].entries[place].record = Record::Pried {
        conv: conv.clone(),
        got: 1,
    };
    assert_eq!(
        found(&leaked),
        [Fault::Leaked {
            device: "carla".to_owned(),
            conv
        }]
    );
}

#[test]
fn a_poisoned_message_that_was_set_aside_and_is_not_in_the_history_at_last_is_found() {
    let post = Post {
        id: id(9),
        body: Body::text(POISON),
        ..post(&history()[1])
    };
    let set_aside = [
        Record::Writing {
            post: Box::new(post),
        },
        Record::Written { id: id(9) },
        Record::Rejected {
            id: id(9),
            code: RejectionCode::Poison,
        },
    ];
    let mut never = evidence();
    let entries = set_aside.map(|record| Entry { at: SECOND, record });
    never.devices[ANA].entries.splice(1..1, entries);
    let verdict = judge(&never);
    let fault = Fault::NotReplayed {
        device: "ana".to_owned(),
        id: id(9),
    };
    assert_eq!(verdict.faults, [fault]);
    assert_eq!(verdict.counts.poisoned, 1);
}
