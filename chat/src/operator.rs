//! What an operator does by hand: look at shards, and decide what becomes of dead letters.

use leveret_client::message::properties::{Address, BrokerUser, Properties};
use leveret_client::message::{
    Command, ConversationId, MessageId, ShardCount, Timestamp, envelope,
};

use crate::amqp::{BrokerUrl, Depth, Incoming, Link, LinkError, Outgoing, Published};
use crate::topology::{DEAD_QUEUE, send_queue};

/// Dead letters looked at by one call; they are all in hand meanwhile.
const DEAD_LETTERS_MAX: usize = 10_000;

/// A message that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The queue it was in.
    pub queue: String,
    /// Its id, if it is a message of somebody.
    pub id: Option<MessageId>,
    /// Its conversation.
    pub conversation: Option<ConversationId>,
    /// Who sent it, as the broker or a service attests; `None` if nobody does, and then it cannot be
    /// sent again.
    pub sender: Option<BrokerUser>,
    /// What it says, as it came.
    pub body: Vec<u8>,
}

/// What becomes of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays where it is.
    Keep,
    /// It is sent again, by the service for its sender. What was done with it before is not done twice.
    Replay,
    /// It is gone.
    Drop,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Dead letters that stay.
    pub kept: u64,
    /// Sent again.
    pub replayed: u64,
    /// Gone.
    pub dropped: u64,
    /// To be sent again, which was not possible; they stay.
    pub failed: u64,
}

impl DeadLetter {
    fn new(incoming: &Incoming) -> (Self, Option<Command>) {
        let command = envelope::decode::<Command>(&incoming.body).ok();
        let claimed = command.as_ref().map(|command| {
            let (user, device) = command.author();
            let (user, device) = (user.clone(), device.clone());
            BrokerUser { user, device }
        });
        // The broker's own word, or a service's for somebody else; see `identity`.
        let is_attested = |claimed: &BrokerUser| {
            incoming.user_id.as_deref() == Some(claimed.name().as_str())
                || incoming.sender.as_ref() == Some(claimed)
        };
        let (id, conversation) = match &command {
            Some(Command::Send(post)) => (Some(post.id), Some(post.conv.clone())),
            Some(Command::Receive(receipt)) => (Some(receipt.message), Some(receipt.conv.clone())),
            Some(Command::Typing(_) | Command::Presence(_)) | None => (None, None),
        };
        let letter = Self {
            queue: incoming.routing_key.clone(),
            id,
            conversation,
            sender: claimed.filter(is_attested),
            body: incoming.body.clone(),
        };
        (letter, command)
    }
}

/// Looks at all dead letters, oldest first, and does with each what `decide` says.
pub async fn dead_letters(
    link: &Link,
    broker: &BrokerUrl,
    shards: ShardCount,
    mut decide: impl FnMut(&DeadLetter) -> Verdict,
) -> Result<Outcome, LinkError> {
    let mut inspection = link.inspect(DEAD_QUEUE).await?;
    let mut outcome = Outcome::default();
    for _ in 0..DEAD_LETTERS_MAX {
        let Some(incoming) = inspection.next().await? else {
            break;
        };
        let (letter, command) = DeadLetter::new(&incoming);
        match decide(&letter) {
            Verdict::Keep => outcome.kept += 1,
            Verdict::Drop => {
                inspection.ack(incoming.tag).await?;
                outcome.dropped += 1;
            }
            Verdict::Replay => {
                let sent = match (&letter.sender, command) {
                    (Some(sender), Some(command)) => {
                        send_again(link, broker, shards, sender, &command).await?
                    }
                    (None, _) | (_, None) => false,
                };
                if sent {
                    // Only now: if this does not come through, it is sent twice, and stored once.
                    inspection.ack(incoming.tag).await?;
                    outcome.replayed += 1;
                } else {
                    outcome.failed += 1;
                }
            }
        }
    }
    inspection.end().await?;
    Ok(outcome)
}

/// Whether the broker took it. It goes without the mark of dead letters, which nobody believes.
async fn send_again(
    link: &Link,
    broker: &BrokerUrl,
    shards: ShardCount,
    sender: &BrokerUser,
    command: &Command,
) -> Result<bool, LinkError> {
    let mut properties = Properties::of(command, broker.user(), Timestamp::now());
    properties.sender = Some(sender.clone());
    let body = envelope::encode(command);
    let message = Outgoing {
        address: Address::of(command, shards),
        also: &[],
        properties,
        body: &body,
    };
    Ok(link.publish(message).await?.wait().await? == Published::Confirmed)
}

/// How full each send shard is, and how many routers want it.
pub async fn shards(link: &Link, shards: ShardCount) -> Result<Vec<(String, Depth)>, LinkError> {
    let mut depths = Vec::new();
    for shard in shards.shards() {
        let queue = send_queue(shard);
        let depth = link.depth(&queue).await?;
        depths.push((queue, depth));
    }
    Ok(depths)
}
