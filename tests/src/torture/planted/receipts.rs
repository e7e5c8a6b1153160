//! Planted faults of cursors and of what follows from them.

use leveret_client::message::{ConversationKind, ConversationSummary, Cursor, Role, Seq, Toggle};

use super::*;

#[test]
fn a_cursor_that_goes_back_or_beyond_is_found() {
    let add = |cursor: Cursor| {
        let mut evidence = evidence();
        let record = Record::Cursor { cursor };
        evidence.devices[ANA].entries.push(Entry {
            at: 99 * SECOND,
            record,
        });
        found(&evidence)
    };
    let back = cursor(ana(), 5, 5);
    assert_eq!(
        add(back.clone()),
        [Fault::CursorBack {
            device: "ana".to_owned(),
            cursor: back
        }]
    );
    let whose = || "ana".to_owned();
    let beyond = cursor(bruno(), 9, 8);
    let faults = [
        Fault::CursorBeyond {
            whose: whose(),
            cursor: beyond.clone(),
        },
        Fault::FalseDelivered {
            whose: whose(),
            cursor: beyond.clone(),
        },
    ];
    assert_eq!(add(beyond), faults);
    let crossed = cursor(bruno(), 7, 8);
    assert_eq!(
        add(crossed.clone()),
        [Fault::CursorBeyond {
            whose: whose(),
            cursor: crossed
        }]
    );
}

#[test]
fn a_receipt_for_what_was_never_shown_or_read_is_found() {
    let mut early = evidence();
    let record = Record::Cursor {
        cursor: cursor(carla(), 7, 3),
    };
    early.devices[ANA].entries.insert(
        1,
        Entry {
            at: 2 * SECOND,
            record,
        },
    );
    let whose = "ana".to_owned();
    let fault = Fault::FalseDelivered {
        whose,
        cursor: cursor(carla(), 7, 3),
    };
    assert_eq!(found(&early), [fault]);

    // By then she had said nothing; later she did.
    let mut soon = evidence();
    let entries = &mut soon.devices[CARLA].entries;
    let (conv, seq) = (group(), Seq(5));
    let record = Record::Reading { conv, seq };
    let at = 90 * SECOND;
    entries.push(Entry { at, record });
    let late = soon.clone();
    let told = |evidence: &mut Evidence, at| {
        let cursor = cursor(carla(), 5, 5);
        let record = Record::Cursor { cursor };
        evidence.devices[ANA].entries.push(Entry { at, record });
    };
    told(&mut soon, 80 * SECOND);
    let whose = "ana".to_owned();
    let cursor_5 = cursor(carla(), 5, 5);
    let fault = Fault::FalseRead {
        whose,
        cursor: cursor_5,
    };
    assert_eq!(found(&soon), [fault]);
    let mut late = late;
    told(&mut late, 91 * SECOND);
    assert_eq!(found(&late), []);

    let mut unread = evidence();
    unread.conversations[0].cursors.push(cursor(carla(), 6, 5));
    let whose = "the service".to_owned();
    let fault = Fault::FalseRead {
        whose,
        cursor: cursor(carla(), 6, 5),
    };
    assert_eq!(found(&unread), [fault]);
}

#[test]
fn a_receipt_that_is_forgotten_is_found() {
    let mut forgotten = evidence();
    forgotten.conversations[0].cursors[0] = cursor(ana(), 7, 6);
    let (device, conv, seq) = ("ana".to_owned(), group(), Seq(8));
    let faults = [
        Fault::NeverDelivered {
            device: device.clone(),
            conv: conv.clone(),
            seq,
        },
        Fault::NeverRead { device, conv, seq },
    ];
    assert_eq!(found(&forgotten), faults);
}

#[test]
fn a_false_number_of_unread_messages_is_found() {
    let summary = |unread| ConversationSummary {
        conv: group(),
        kind: ConversationKind::Group,
        settings: None,
        peer: None,
        members: 2,
        role: Role::Member,
        last_seq: Seq(8),
        last: None,
        delivered: Seq(8),
        read: Seq(5),
        unread,
        muted: Toggle::Off,
    };
    let mut told = evidence();
    told.summaries = vec![(ana(), vec![summary(3)])];
    assert_eq!(found(&told), []);
    told.summaries = vec![(ana(), vec![summary(4)])];
    let (user, conv) = (ana(), group());
    assert_eq!(
        found(&told),
        [Fault::FalseUnread {
            user,
            conv,
            told: 4,
            counted: 3
        }]
    );
}
