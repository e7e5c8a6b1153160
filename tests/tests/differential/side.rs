//! One broker's half of a play: its connections, what is outstanding on them, and what each step brought.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use leveret_tests::client::{Client, Delivery, Options, Received, declared};
use leveret_tests::outcome::Outcome;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::Table;
use leveret_tests::target::Address;

use crate::method::{is_answered, plain, publish, settle};
use crate::script::{Action, Script, Settle, Slot, Step, Which, is_own_name, real};
use crate::seen::{self, Seen};

/// The channel on each connection that looks at queues, and does nothing else.
const OBSERVER: u16 = 9;

/// A tag that no channel of a script comes to.
const UNKNOWN_TAG: u64 = 999;

/// A broker, and how far the script has come on it.
#[derive(Debug)]
pub(crate) struct Side {
    address: Address,
    prefix: String,
    clients: Vec<Client>,
    slots: Vec<Slot>,
    channels: BTreeMap<Slot, Channel>,
    /// Queues that are there, and the connection that may see them.
    watched: BTreeMap<String, usize>,
    /// Those of them that are quorum queues. Line 4.1.3 of the differences: their consumers are counted otherwise.
    quorum: BTreeSet<String>,
    /// Names that the broker made, and what they are called in comparisons.
    made: Vec<(String, String)>,
    seen: Seen,
    /// Connections that ended in this step.
    ended: BTreeSet<usize>,
}

/// What a client knows about a channel of its own.
#[derive(Debug, Default)]
struct Channel {
    /// Consumers whose deliveries are settled when sent.
    settled_when_sent: BTreeSet<String>,
    /// Deliveries to settle, in an order that is the same on both brokers.
    outstanding: Vec<u64>,
    /// Deliveries of the present step, by consumer.
    arrived: BTreeMap<String, Vec<u64>>,
    /// In transactions: settled, and not committed.
    set_aside: Option<Vec<u64>>,
    /// With confirms: publishes so far, and those without an answer.
    confirms: Option<(u64, BTreeSet<u64>)>,
}

/// Which delivery a step settles.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    tag: u64,
    /// Places among the outstanding ones of all that it settles.
    pub(crate) covered: Vec<usize>,
}

impl Side {
    /// Opens the connections and channels that a script uses.
    pub(crate) async fn open(address: &Address, prefix: &str, script: &Script) -> Result<Self> {
        let slots: BTreeSet<Slot> = script.0.iter().map(|step| step.on).collect();
        let connections = slots.iter().map(|slot| slot.connection + 1).max();
        let mut side = Self {
            address: address.clone(),
            prefix: prefix.to_owned(),
            clients: Vec::new(),
            slots: slots.into_iter().collect(),
            channels: BTreeMap::new(),
            watched: BTreeMap::new(),
            quorum: BTreeSet::new(),
            made: Vec::new(),
            seen: Seen::default(),
            ended: BTreeSet::new(),
        };
        for connection in 0..connections.unwrap_or(1) {
            let client = side.connect(connection).await?;
            side.clients.push(client);
        }
        Ok(side)
    }

    async fn connect(&mut self, connection: usize) -> Result<Client> {
        let mut client = Client::connect(&self.address, &Options::default()).await?;
        client.open(OBSERVER).await?;
        for slot in self
            .slots
            .iter()
            .filter(|slot| slot.connection == connection)
        {
            client.open(slot.channel).await?;
            self.channels.insert(*slot, Channel::default());
        }
        Ok(client)
    }

    /// What the present step has brought so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        // RabbitMQ ends the channels of a connection one by one, and hands to one what the other held.
        let too_late = |line: &String| {
            self.slots.iter().any(|slot| {
                self.ended.contains(&slot.connection)
                    && line.starts_with(&format!("{slot} delivers to"))
            })
        };
        let mut lines = self.seen.lines();
        lines.retain(|line| !too_late(line));
        let mut lines: Vec<_> = lines.into_iter().map(|line| self.clean(line)).collect();
        // Names that the broker made have another order on each.
        lines.sort_by(|one, other| stream(one).cmp(stream(other)));
        lines
    }

    /// Whether there are quorum queues.
    pub(crate) fn has_quorum(&self) -> bool {
        !self.quorum.is_empty()
    }

    /// Whether the step was answered by a close.
    pub(crate) fn has_closed(&self) -> bool {
        self.seen.is_closed
    }

    /// A text without what differs from run to run.
    fn clean(&self, mut text: String) -> String {
        for (name, alias) in &self.made {
            text = text.replace(name, alias);
        }
        text.replace(&self.prefix, "")
    }

    /// The queues that are there, by the names for comparisons.
    pub(crate) fn queues(&self) -> Vec<String> {
        let names = self.watched.keys().cloned();
        names.map(|name| self.clean(name)).collect()
    }

    /// What a step would settle; `None` if nothing is outstanding.
    pub(crate) fn target(&self, on: Slot, settle: &Settle) -> Option<Target> {
        let outstanding = self.channels.get(&on).map(|channel| &channel.outstanding)?;
        let covering = |up_to: u64| {
            let tags = outstanding.iter().enumerate();
            let covered = tags.filter(|(_, tag)| **tag <= up_to);
            covered.map(|(place, _)| place).collect()
        };
        let multiple = settle.multiple && settle.how != crate::script::Verdict::Reject;
        Some(match settle.which {
            Which::Unknown => Target {
                tag: UNKNOWN_TAG,
                covered: Vec::new(),
            },
            Which::Zero => Target {
                tag: 0,
                covered: if multiple { covering(u64::MAX) } else { vec![] },
            },
            Which::Outstanding(number) => {
                let place = number.checked_rem(outstanding.len())?;
                let tag = outstanding[place];
                let covered = if multiple { covering(tag) } else { vec![place] };
                Target { tag, covered }
            }
        })
    }

    /// Does a step.
    pub(crate) async fn perform(
        &mut self,
        number: usize,
        step: &Step,
        target: Option<&Target>,
    ) -> Result<()> {
        self.seen = Seen::default();
        self.ended.clear();
        self.watch_what_is_declared(step);
        let on = step.on;
        match &step.action {
            Action::Publish(message) => {
                let (method, properties, body) = publish(&self.prefix, message, number);
                if let Some((count, open)) = &mut self.channel(on).confirms {
                    *count += 1;
                    open.insert(*count);
                }
                let client = &mut self.clients[on.connection];
                client.publish(on.channel, method, &properties, body).await
            }
            Action::Settle(settlement) => {
                let target = target.context("nothing to settle")?;
                let method = settle(settlement, target.tag);
                self.clients[on.connection]
                    .send(on.channel, &method)
                    .await?;
                self.settled(on, &target.covered);
                Ok(())
            }
            Action::CloseConnection => {
                let client = self.replace(on.connection).await?;
                self.seen.reply = "closed".to_owned();
                client.close().await
            }
            Action::DropConnection => {
                drop(self.replace(on.connection).await?);
                Ok(())
            }
            action => self.call(on, action).await,
        }
    }

    fn watch_what_is_declared(&mut self, step: &Step) {
        if let Action::DeclareQueue(declare) = &step.action
            && is_own_name(&declare.queue)
        {
            let name = real(&self.prefix, &declare.queue);
            if declare.is_quorum() {
                self.quorum.insert(name.clone());
            }
            self.watched.entry(name).or_insert(step.on.connection);
        }
    }

    fn channel(&mut self, on: Slot) -> &mut Channel {
        self.channels.entry(on).or_default()
    }

    fn settled(&mut self, on: Slot, covered: &[usize]) {
        let channel = self.channel(on);
        let mut gone = Vec::new();
        for place in covered.iter().rev() {
            gone.push(channel.outstanding.remove(*place));
        }
        if let Some(set_aside) = &mut channel.set_aside {
            set_aside.extend(gone);
        }
    }

    /// Opens a connection in the place of one, which is still open.
    async fn replace(&mut self, connection: usize) -> Result<Client> {
        let fresh = self.connect(connection).await?;
        self.ended.insert(connection);
        Ok(std::mem::replace(&mut self.clients[connection], fresh))
    }

    async fn call(&mut self, on: Slot, action: &Action) -> Result<()> {
        let Some(method) = plain(&self.prefix, action) else {
            bail!("{action:?} is no single method");
        };
        if let Action::Recover { requeue: true, .. } = action {
            self.channel(on).outstanding.clear();
        }
        if let Action::Consume(consume) = action
            && consume.no_ack
        {
            let tag = consume.tag.clone();
            self.channel(on).settled_when_sent.insert(tag);
        }
        let client = &mut self.clients[on.connection];
        if !is_answered(action) {
            return client.send(on.channel, &method).await;
        }
        match client.call(on.channel, method).await? {
            Outcome::Reply(received) => {
                self.replied(on, action, &received)?;
                self.seen.reply = seen::reply(&received)?;
                self.leave_out_what_quorum_queues_count(action);
                if received.method.id == method::CHANNEL_CLOSE_OK {
                    self.reopen(on).await?;
                }
            }
            refusal => {
                self.seen.reply = refusal.notation();
                self.seen.is_closed = true;
                self.ended(on, &refusal).await?;
            }
        }
        Ok(())
    }

    /// Line 4.1.3 of the differences; and where RabbitMQ fetches for somebody who is to settle, it counts among those that
    /// are left what has expired already and is gone the next moment.
    fn leave_out_what_quorum_queues_count(&mut self, action: &Action) {
        let queue = match action {
            Action::DeclareQueue(declare) => &declare.queue,
            Action::Get {
                queue,
                no_ack: false,
            } => queue,
            _ => return,
        };
        if self.quorum.contains(&real(&self.prefix, queue))
            && let Some((reply, _count)) = self.seen.reply.rsplit_once(',')
        {
            self.seen.reply = reply.to_owned();
        }
    }

    fn replied(&mut self, on: Slot, action: &Action, received: &Received) -> Result<()> {
        match action {
            Action::Get { no_ack: false, .. } if received.method.id == method::BASIC_GET_OK => {
                let tag = Delivery::read(received)?.tag;
                self.arrived(on, "get", tag);
            }
            Action::DeclareQueue(declare) if declare.queue.is_empty() => {
                let (name, ..) = declared(received)?;
                self.named(&name, "gen");
                self.watched.entry(name).or_insert(on.connection);
            }
            Action::Consume(consume) if consume.tag.is_empty() => {
                let tag = received.method.reader().short()?;
                self.named(&tag, "tag");
                if consume.no_ack {
                    self.channel(on).settled_when_sent.insert(tag);
                }
            }
            Action::SelectConfirms => {
                self.channel(on).confirms.get_or_insert_default();
            }
            Action::SelectTransaction => {
                self.channel(on).set_aside.get_or_insert_default();
            }
            Action::Commit => self.channel(on).set_aside = Some(Vec::new()),
            Action::Rollback => {
                let channel = self.channel(on);
                let set_aside = channel.set_aside.replace(Vec::new());
                channel.outstanding.extend(set_aside.unwrap_or_default());
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes a name that the broker made.
    fn named(&mut self, name: &str, kind: &str) {
        if !self.made.iter().any(|(known, _)| known == name) {
            let alias = format!("{kind}{}", self.made.len() + 1);
            self.made.push((name.to_owned(), alias));
        }
    }

    fn arrived(&mut self, on: Slot, consumer: &str, tag: u64) {
        let arrived = &mut self.channel(on).arrived;
        arrived.entry(consumer.to_owned()).or_default().push(tag);
    }

    /// After a refusal: opens again what it has closed.
    async fn ended(&mut self, on: Slot, refusal: &Outcome) -> Result<()> {
        match refusal {
            Outcome::Reply(_) => Ok(()),
            Outcome::ChannelClosed(_) => self.reopen(on).await,
            Outcome::ConnectionClosed(_) | Outcome::Dropped => {
                self.collect(on.connection)?;
                drop(self.replace(on.connection).await?);
                Ok(())
            }
        }
    }

    async fn reopen(&mut self, on: Slot) -> Result<()> {
        self.collect(on.connection)?;
        self.clients[on.connection].open(on.channel).await?;
        if on.channel != OBSERVER {
            self.channels.insert(on, Channel::default());
        }
        Ok(())
    }

    /// Makes sure that what was sent has been worked off, what it caused has arrived, and notes it.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        self.touch_channels().await?;
        self.look_at_queues().await?;
        self.touch_channels().await?;
        for connection in 0..self.clients.len() {
            self.collect(connection)?;
        }
        Ok(())
    }

    /// A round trip on each channel.
    async fn touch_channels(&mut self) -> Result<()> {
        for slot in self.slots.clone() {
            let client = &mut self.clients[slot.connection];
            let outcome = client
                .call(slot.channel, method::channel_flow(true))
                .await?;
            if matches!(outcome, Outcome::Reply(_)) {
                continue;
            }
            let stream = match &outcome {
                Outcome::ChannelClosed(_) => format!("{slot} closed"),
                _ => format!("connection {} closed", slot.connection),
            };
            self.seen.event(stream, outcome.notation());
            self.seen.is_closed = true;
            self.ended(slot, &outcome).await?;
        }
        Ok(())
    }

    async fn look_at_queues(&mut self) -> Result<()> {
        for (queue, first) in self.watched.clone() {
            let counts = self.look_at(&queue, first).await?;
            let alias = self.clean(queue.clone());
            if counts.is_none() {
                self.watched.remove(&queue);
            }
            let counts = counts.unwrap_or_else(|| "gone".to_owned());
            self.seen.queues.insert(alias, counts);
        }
        Ok(())
    }

    /// A queue's counts, seen by whichever connection may see it.
    async fn look_at(&mut self, queue: &str, first: usize) -> Result<Option<String>> {
        for connection in 0..self.clients.len() {
            let connection = (first + connection) % self.clients.len();
            let declare = method::queue_declare(queue, queue_bits::PASSIVE, &Table::new());
            match self.clients[connection].call(OBSERVER, declare).await? {
                Outcome::Reply(received) => {
                    let (_, messages, consumers) = declared(&received)?;
                    self.watched.insert(queue.to_owned(), connection);
                    let mut counts = format!("{messages} ready");
                    if !self.quorum.contains(queue) {
                        write!(counts, ", {consumers} consumers")?;
                    }
                    return Ok(Some(counts));
                }
                Outcome::ChannelClosed(close) => {
                    self.clients[connection].open(OBSERVER).await?;
                    if close.code == 404 {
                        return Ok(None);
                    }
                }
                refusal => {
                    let stream = format!("connection {connection} closed");
                    self.seen.event(stream, refusal.notation());
                    self.collect(connection)?;
                    drop(self.replace(connection).await?);
                }
            }
        }
        Ok(Some("locked".to_owned()))
    }

    /// Notes what has come on a connection and was not asked for.
    fn collect(&mut self, connection: usize) -> Result<()> {
        for received in self.clients[connection].kept() {
            let on = Slot {
                connection,
                channel: received.channel,
            };
            self.note(on, &received)?;
        }
        Ok(())
    }

    fn note(&mut self, on: Slot, received: &Received) -> Result<()> {
        let mut reader = received.method.reader();
        match received.method.id {
            method::BASIC_DELIVER => {
                let delivery = Delivery::read(received)?;
                if !self
                    .channel(on)
                    .settled_when_sent
                    .contains(&delivery.consumer)
                {
                    self.arrived(on, &delivery.consumer, delivery.tag);
                }
                let stream = format!("{on} delivers to {}", delivery.consumer);
                self.seen.event(stream, seen::message(&delivery));
            }
            method::BASIC_RETURN => {
                self.seen
                    .event(format!("{on} returns"), seen::returned(received)?);
            }
            method::BASIC_CANCEL => {
                let tag = reader.short()?;
                self.seen
                    .event(format!("{on} cancels {tag}"), String::new());
            }
            method::BASIC_ACK | method::BASIC_NACK => {
                let (number, multiple) = (reader.u64()?, reader.u8()? & 1 != 0);
                self.confirmed(on, number, multiple, received.method.id);
            }
            id => self
                .seen
                .event(format!("{on} unexpected"), format!("{id:?}")),
        }
        Ok(())
    }

    fn confirmed(&mut self, on: Slot, number: u64, multiple: bool, id: method::MethodId) {
        let open = self.channel(on).confirms.as_mut().map(|(_, open)| open);
        let answered: Vec<u64> = match open {
            Some(open) if multiple => open.extract_if(..=number, |_| true).collect(),
            Some(open) => open.take(&number).into_iter().collect(),
            None => Vec::new(),
        };
        if answered.is_empty() {
            let event = format!("{id:?} {number}, multiple {multiple}");
            self.seen.event(format!("{on} confirms twice"), event);
        }
        let confirms = self.seen.confirms.entry(on).or_default();
        if id == method::BASIC_ACK {
            confirms.acked.extend(answered);
        } else {
            confirms.nacked.extend(answered);
        }
    }

    /// Ends a step: what it delivered can be settled by the next.
    pub(crate) fn end_step(&mut self) {
        for channel in self.channels.values_mut() {
            for (_, tags) in std::mem::take(&mut channel.arrived) {
                channel.outstanding.extend(tags);
            }
        }
    }

    /// Takes one message out of a queue, by whichever connection may see it.
    pub(crate) async fn take_one(&mut self, alias: &str) -> Result<bool> {
        self.seen = Seen::default();
        let found = self.watched.iter().find(|(name, _)| {
            let name = (*name).clone();
            self.clean(name) == alias
        });
        let Some((queue, connection)) = found.map(|(queue, on)| (queue.clone(), *on)) else {
            return Ok(false);
        };
        let client = &mut self.clients[connection];
        match client
            .call(OBSERVER, method::basic_get(&queue, true))
            .await?
        {
            Outcome::Reply(received) => {
                self.seen.reply = format!("{alias}: {}", seen::reply(&received)?);
                Ok(received.method.id == method::BASIC_GET_OK)
            }
            refusal => {
                self.seen.reply = refusal.notation();
                let on = Slot {
                    connection,
                    channel: OBSERVER,
                };
                self.ended(on, &refusal).await?;
                Ok(false)
            }
        }
    }

    /// Closes all connections, and deletes what is left under the script's names.
    pub(crate) async fn clean_up(mut self, script: &Script) -> Result<()> {
        let mut queues: BTreeSet<String> = script.names('q').into_iter().collect();
        queues.extend(self.watched.keys().cloned());
        for client in self.clients.drain(..) {
            // Whatever is wrong with it was said before.
            let _ = client.close().await;
        }
        clean_up(&self.address, &self.prefix, &queues, &script.names('x')).await
    }
}

/// What a line is about: order counts within that alone.
fn stream(line: &str) -> &str {
    line.split_once(": ").map_or(line, |(stream, _)| stream)
}

/// Deletes queues and exchanges.
pub(crate) async fn clean_up(
    address: &Address,
    prefix: &str,
    queues: &BTreeSet<String>,
    exchanges: &[String],
) -> Result<()> {
    let mut client = Client::connect(address, &Options::default()).await?;
    client.open(1).await?;
    let queues = queues
        .iter()
        .map(|queue| method::queue_delete(&real(prefix, queue), 0));
    let exchanges = exchanges
        .iter()
        .map(|exchange| method::exchange_delete(&real(prefix, exchange), 0));
    for delete in queues.chain(exchanges) {
        if !matches!(client.call(1, delete).await?, Outcome::Reply(_)) {
            client.open(1).await?;
        }
    }
    client.close().await
}
