//! What a chat can do wrong, and what it may do but should be counted.

use std::fmt;

use leveret_client::message::{ConversationId, Cursor, MessageId, RejectionCode, Seq, UserId};

/// A broken promise. The numbers are those of the properties in the design.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each fault names the device and the message it is about"
)]
pub enum Fault {
    /// P1: its writer was told that it will not be forgotten, and it is neither in the history nor
    /// refused.
    Lost { device: String, id: MessageId },
    /// P1: it was refused although nothing was wrong with it.
    Refused {
        device: String,
        id: MessageId,
        code: RejectionCode,
    },
    /// P1: its writer was told that it was refused, and it is in the history.
    RefusedAndStored { device: String, id: MessageId },
    /// P1: its writer was never told what became of it.
    Untold { device: String, id: MessageId },
    /// P11: it was set aside because it brought its router down, and is not in the history although it was
    /// sent again.
    NotReplayed { device: String, id: MessageId },
    /// P1: its writer was told another place than the one it has.
    FalseSent { device: String, id: MessageId },
    /// P1: it is in histories more than once.
    StoredTwice { conv: ConversationId, id: MessageId },
    /// P7: it is in the history, and nobody wrote it, or somebody else, or something else.
    Phantom { conv: ConversationId, seq: Seq },
    /// P2: it was shown twice, by one process or by two.
    ShownTwice {
        device: String,
        conv: ConversationId,
        seq: Seq,
    },
    /// P3: it was shown after a later one.
    ShownDisorderly {
        device: String,
        conv: ConversationId,
        seq: Seq,
    },
    /// P3: a device's messages have another order than that in which it wrote them.
    StoredDisorderly { device: String, id: MessageId },
    /// P3: what was shown is not what the history has.
    Altered {
        device: String,
        conv: ConversationId,
        seq: Seq,
    },
    /// P4: the history has a hole.
    Gap { conv: ConversationId, seq: Seq },
    /// P4: a device of a member never showed it.
    NotShown {
        device: String,
        conv: ConversationId,
        seq: Seq,
    },
    /// The time of a message is before that of the message before.
    TimeBack { conv: ConversationId, seq: Seq },
    /// P5: a cursor was shown to go back.
    CursorBack { device: String, cursor: Cursor },
    /// P5: read beyond delivered, or delivered beyond the last message.
    CursorBeyond { whose: String, cursor: Cursor },
    /// P5: a cursor says that somebody has what none of its devices ever showed.
    FalseDelivered { whose: String, cursor: Cursor },
    /// P5: a cursor says that somebody has read what none of its devices had said to be read.
    FalseRead { whose: String, cursor: Cursor },
    /// P5: what a device has shown never counted as delivered.
    NeverDelivered {
        device: String,
        conv: ConversationId,
        seq: Seq,
    },
    /// P5: what a device said to be read never counted as such.
    NeverRead {
        device: String,
        conv: ConversationId,
        seq: Seq,
    },
    /// P5: the number of unread messages is not that of the messages after the cursor.
    FalseUnread {
        user: UserId,
        conv: ConversationId,
        told: u64,
        counted: u64,
    },
    /// P6: a device showed what its user was never to see.
    Foreign {
        device: String,
        conv: ConversationId,
        seq: Seq,
    },
    /// P6: a device asked for what is not its user's, and got it.
    Leaked {
        device: String,
        conv: ConversationId,
    },
}

/// What is allowed, and worth knowing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages of which their writers were told that they will not be forgotten.
    pub written: u64,
    /// Messages in histories.
    pub stored: u64,
    /// Messages that were refused.
    pub rejected: u64,
    /// Messages shown, on all devices.
    pub shown: u64,
    /// Times that there was no room for a message.
    pub busy: u64,
    /// Messages that brought their router down.
    pub poisoned: u64,
    /// Processes of devices that died.
    pub deaths: u64,
    /// Times that devices lost their connection.
    pub disconnections: u64,
    /// Cursors shown.
    pub cursors: u64,
    /// Tries to read what is not one's own.
    pub pried: u64,
}

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Everything that is wrong; empty if nothing is.
    pub faults: Vec<Fault>,
    /// Everything that is counted.
    pub counts: Counts,
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            written,
            stored,
            rejected,
            shown,
            busy,
            poisoned,
            deaths,
            disconnections,
            cursors,
            pried,
        } = self;
        write!(
            formatter,
            "{written} written, {stored} stored, {rejected} refused, {poisoned} poisoned, \
             {busy} times no room; {shown} shown; \
             {deaths} deaths of devices, {disconnections} connections lost; {cursors} cursors, {pried} times pried"
        )
    }
}
