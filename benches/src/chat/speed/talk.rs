//! Sending, and screens.

use std::collections::HashSet;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use futures_util::stream::{FuturesUnordered, StreamExt as _, TryStreamExt as _};
use leveret_client::message::{
    Body, Command, ConversationId, Event, Message, MessageId, MessageStatus, Post, Reply, Request,
    Seq,
};
use leveret_client::timeline::{Arrival, Timelines};
use leveret_client::transport::{Arrived, ClientTransport, TransportError};
use tokio::sync::mpsc;

use crate::chat::ledger::Number;

/// Messages of one sender that are not confirmed, at most.
pub(super) const WINDOW: usize = 32;
/// Octets of a message's text: about what people write.
pub(super) const TEXT_BYTES: usize = 400;
/// Without anything new for so long, nothing more comes.
const PATIENCE: Duration = Duration::from_secs(60);
/// After everything has come, what comes too much would come within this.
const LINGER: Duration = Duration::from_millis(300);
/// Messages of one answer.
const PAGE: u32 = 500;

/// The next event, acknowledged; `None` if some may be missing.
async fn next(transport: &dyn ClientTransport) -> Result<Option<Event>> {
    let Arrived { event, token, .. } = match transport.next().await {
        Ok(arrived) => arrived,
        Err(TransportError::Missed) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    transport.acknowledge(token).await?;
    if let Event::Rejected(rejected) = &event {
        bail!("message {} was refused: {}", rejected.id, rejected.code);
    }
    Ok(Some(event))
}

/// Sends everything, in its order, some at a time. When the last one was confirmed to the client.
pub(super) async fn hand_over_all(
    transport: &dyn ClientTransport,
    posts: Vec<Post>,
) -> Result<Instant> {
    let mut under_way = FuturesUnordered::new();
    for post in posts {
        if under_way.len() >= WINDOW
            && let Some(kept) = under_way.next().await
        {
            kept?;
        }
        let kept = async move { transport.hand_over(&Command::Send(post)).await };
        under_way.push(begun(kept).await);
    }
    under_way.try_collect::<()>().await?;
    Ok(Instant::now())
}

/// Begins something, so that what is begun first goes out first.
async fn begun<'f, T: Send + 'f>(
    something: impl Future<Output = T> + Send + 'f,
) -> Pin<Box<dyn Future<Output = T> + Send + 'f>> {
    // It gives its message a place when it is first asked, unless the runtime makes it wait for its turn.
    let mut something = Box::pin(tokio::task::unconstrained(something));
    match poll_fn(|context| Poll::Ready(something.as_mut().poll(context))).await {
        Poll::Ready(done) => Box::pin(ready(done)),
        Poll::Pending => something,
    }
}

/// Waits until the service has said of all of them that they are in the history; when it had.
pub(super) async fn hear_of_all(
    transport: &dyn ClientTransport,
    posts: impl IntoIterator<Item = MessageId>,
) -> Result<Instant> {
    let mut open: HashSet<MessageId> = posts.into_iter().collect();
    while !open.is_empty() {
        match tokio::time::timeout(PATIENCE, next(transport)).await {
            Ok(event) => match event? {
                Some(Event::Sent(sent)) => {
                    open.remove(&sent.id);
                }
                // What does not fit becomes a bump, and its own answer with it.
                Some(Event::Bump(_)) | None => forget_stored(transport, &mut open).await?,
                Some(_) => {}
            },
            Err(_) => bail!("{} messages were never accepted: {open:?}", open.len()),
        }
    }
    Ok(Instant::now())
}

async fn forget_stored(
    transport: &dyn ClientTransport,
    open: &mut HashSet<MessageId>,
) -> Result<()> {
    for id in open.iter().copied().collect::<Vec<_>>() {
        if let Reply::Status(MessageStatus::Stored { .. }) =
            transport.ask(&Request::Status { id }).await?
        {
            open.remove(&id);
        }
    }
    Ok(())
}

/// Times of a schedule that was fixed beforehand, by a thread of its own: an async timer is late by up to
/// a millisecond. Each time is that at which the message was due, however late it goes out.
pub(super) fn schedule(count: u32, rate: u32) -> mpsc::Receiver<(u32, Instant)> {
    // Whoever does not keep up finds them all here: none is left out.
    let (ticks, due) = mpsc::channel(count.max(1) as usize);
    let begin = Instant::now() + Duration::from_millis(20);
    std::thread::spawn(move || {
        for place in 0..count {
            let at = begin + Duration::from_secs(1) * place / rate.max(1);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            if ticks.blocking_send((place, at)).is_err() {
                return;
            }
        }
    });
    due
}

/// Sends by the schedule, however long confirms take. When each was due, and when confirmed, by its place.
pub(super) async fn send_on_time(
    transport: &dyn ClientTransport,
    mut schedule: mpsc::Receiver<(u32, Instant)>,
    post: impl Fn(u32) -> Post,
) -> Result<Vec<(Instant, Instant)>> {
    let mut under_way = FuturesUnordered::new();
    let mut times = Vec::new();
    let mut is_over = false;
    while !is_over || !under_way.is_empty() {
        tokio::select! {
            biased;
            tick = schedule.recv(), if !is_over => match tick {
                Some((place, due)) => {
                    let post = post(place);
                    times.push((due, due));
                    let kept = async move {
                        let kept = transport.hand_over(&Command::Send(post)).await;
                        kept.map(|()| (place, Instant::now()))
                    };
                    under_way.push(begun(kept).await);
                }
                None => is_over = true,
            },
            Some(confirmed) = under_way.next() => {
                let (place, at) = confirmed?;
                if let Some(times) = times.get_mut(place as usize) {
                    times.1 = at;
                }
            }
        }
    }
    Ok(times)
}

/// Shows each message once and in order, as a client does, and fetches what is missing.
pub(super) struct Screen<'t> {
    transport: &'t dyn ClientTransport,
    timelines: Timelines,
    /// Messages of the benchmark, in the order of showing.
    pub(super) shown: Vec<(Number, Instant)>,
}

impl<'t> Screen<'t> {
    pub(super) fn new(transport: &'t dyn ClientTransport) -> Self {
        Self {
            transport,
            timelines: Timelines::default(),
            shown: Vec::new(),
        }
    }

    /// Shows until there are so many in all, or nothing comes any more.
    pub(super) async fn read(&mut self, count: usize) -> Result<()> {
        while self.shown.len() < count {
            match tokio::time::timeout(PATIENCE, next(self.transport)).await {
                Ok(event) => self.take(event?).await?,
                // Whoever judges says which are missing.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Shows what comes too much.
    pub(super) async fn linger(&mut self) -> Result<()> {
        let end = tokio::time::Instant::now() + LINGER;
        while let Ok(event) = tokio::time::timeout_at(end, next(self.transport)).await {
            self.take(event?).await?;
        }
        Ok(())
    }

    async fn take(&mut self, event: Option<Event>) -> Result<()> {
        match event {
            Some(Event::Msg(message)) => match self.timelines.arrive(message) {
                Arrival::Show(messages) => {
                    self.show(messages);
                    Ok(())
                }
                Arrival::Duplicate => Ok(()),
                Arrival::Gap(position) => self.fetch(vec![position.conv]).await,
            },
            Some(Event::Bump(bump)) => {
                if self.timelines.missing(&bump.conv, bump.last_seq).is_some() {
                    return self.fetch(vec![bump.conv]).await;
                }
                Ok(())
            }
            Some(_) => Ok(()),
            None => self.catch_up().await,
        }
    }

    /// Shows everything that the history has.
    pub(super) async fn catch_up(&mut self) -> Result<()> {
        let reply = self.transport.ask(&Request::Conversations).await?;
        let Reply::Conversations { conversations } = reply else {
            bail!("no conversations: {reply:?}");
        };
        let lacks = |conv: &ConversationId, last: Seq| self.timelines.missing(conv, last).is_some();
        let missing = conversations
            .into_iter()
            .filter_map(|summary| lacks(&summary.conv, summary.last_seq).then_some(summary.conv));
        let missing = missing.collect();
        self.fetch(missing).await
    }

    async fn fetch(&mut self, mut missing: Vec<ConversationId>) -> Result<()> {
        while !missing.is_empty() {
            let position = |conv: &ConversationId| leveret_client::message::Position {
                conv: conv.clone(),
                after: self.timelines.position(conv),
            };
            let request = Request::Sync {
                positions: missing.iter().map(position).collect(),
                limit: PAGE,
            };
            let reply = self.transport.ask(&request).await?;
            let Reply::Sync(page) = reply else {
                bail!("no synchronisation: {reply:?}");
            };
            ensure!(
                page.more.is_empty() || !page.messages.is_empty() || !page.hidden.is_empty(),
                "the service promises more and gives nothing"
            );
            for position in page.hidden {
                let messages = self.timelines.hidden(position);
                self.show(messages);
            }
            for message in page.messages {
                if let Arrival::Show(messages) = self.timelines.arrive(message) {
                    self.show(messages);
                }
            }
            missing = page.more;
        }
        Ok(())
    }

    fn show(&mut self, messages: Vec<Message>) {
        let now = Instant::now();
        for message in messages {
            if let Body::Text(text) = &message.body {
                self.shown
                    .extend(Number::parse(&text.text).map(|number| (number, now)));
            }
        }
    }
}
