//! Sessions against a service that lives in this file, and loses what it is told to lose.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;
use crate::journal::Journal;
use crate::message::{
    Body, ConversationKind, ConversationSummary, Event, Role, Seq, SyncPage, Timestamp,
};
use crate::transport::{AckToken, Arrived, ClientTransport};

const PATIENCE: Duration = Duration::from_secs(30);

fn group() -> ConversationId {
    "g_ops".parse().unwrap()
}

fn ana() -> BrokerUser {
    BrokerUser::parse("c.uana.dterm").unwrap()
}

/// One conversation, and one device's queue of it.
#[derive(Debug, Default)]
struct Service {
    history: Mutex<Vec<Message>>,
    queue: Mutex<VecDeque<Event>>,
    receipts: Mutex<Vec<Receipt>>,
    posted: AtomicUsize,
    /// Confirms that are still to be lost, each with its connection.
    losses: AtomicUsize,
    refuses_connections: AtomicUsize,
    /// How often it is still to say that events may be missing.
    missed: AtomicUsize,
    connections: AtomicUsize,
    news: tokio::sync::Notify,
}

impl Service {
    fn says(&self, number: u64) {
        let post = Post::to_group(
            &group(),
            &"ubruno".parse().unwrap(),
            &"dterm".parse().unwrap(),
            Body::text(&number.to_string()),
            Timestamp::now(),
        );
        self.append(post);
    }

    fn append(&self, post: Post) {
        let mut history = self.history.lock();
        let known = history
            .iter()
            .find(|message| message.id == post.id)
            .cloned();
        let message = known.unwrap_or_else(|| {
            let message = Message {
                id: post.id,
                conv: post.conv,
                seq: Seq(history.len() as u64 + 1),
                from: post.from,
                ts: post.sent_at,
                sent_at: post.sent_at,
                body: post.body,
            };
            history.push(message.clone());
            message
        });
        let sent = Sent {
            id: message.id,
            conv: message.conv.clone(),
            seq: message.seq,
            ts: message.ts,
        };
        self.queue
            .lock()
            .extend([Event::Msg(message), Event::Sent(sent)]);
        self.news.notify_waiters();
    }

    fn last(&self) -> Seq {
        Seq(self.history.lock().len() as u64)
    }
}

#[derive(Debug)]
struct Door(Arc<Service>);

#[async_trait]
impl Connector for Door {
    async fn connect(&self) -> Result<Box<dyn ClientTransport>, ConnectError> {
        let refuses = &self.0.refuses_connections;
        if refuses
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok()
        {
            return Err(ConnectError::Unreachable {
                peer: self.peer(),
                reason: "planned".to_owned(),
            });
        }
        self.0.connections.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Line {
            service: self.0.clone(),
            taken: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        }))
    }

    fn peer(&self) -> String {
        "this test".to_owned()
    }
}

/// A connection: what was taken and not acknowledged is there again for the next one.
#[derive(Debug)]
struct Line {
    service: Arc<Service>,
    taken: AtomicU64,
    acknowledged: AtomicU64,
}

#[async_trait]
impl ClientTransport for Line {
    async fn hand_over(&self, command: &Command) -> Result<(), TransportError> {
        match command {
            Command::Send(post) => {
                self.service.posted.fetch_add(1, Ordering::SeqCst);
                self.service.append(post.clone());
                let lost =
                    self.service
                        .losses
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                            left.checked_sub(1)
                        });
                if lost.is_ok() {
                    return Err(TransportError::Closed("planned".to_owned()));
                }
            }
            Command::Receive(receipt) => self.service.receipts.lock().push(receipt.clone()),
            Command::Typing(_) | Command::Presence(_) => {}
        }
        Ok(())
    }

    async fn ask(&self, request: &Request) -> Result<Reply, TransportError> {
        let history = self.service.history.lock().clone();
        Ok(match request {
            Request::Conversations => Reply::Conversations {
                conversations: vec![summary(&history)],
            },
            Request::Sync { positions, limit } => {
                let after = positions[0].after;
                let limit = usize::try_from(*limit).unwrap().min(7);
                let new = history.into_iter().filter(|message| message.seq > after);
                let mut messages: Vec<_> = new.collect();
                let more = if messages.len() > limit {
                    vec![group()]
                } else {
                    Vec::new()
                };
                messages.truncate(limit);
                Reply::Sync(SyncPage {
                    messages,
                    more,
                    hidden: Vec::new(),
                })
            }
            // It takes for ever to find out.
            Request::History { .. } => std::future::pending().await,
            _ => Reply::Unknown,
        })
    }

    async fn next(&self) -> Result<Arrived, TransportError> {
        loop {
            let news = self.service.news.notified();
            let missed =
                self.service
                    .missed
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        left.checked_sub(1)
                    });
            if missed.is_ok() {
                return Err(TransportError::Missed);
            }
            let number = self.taken.load(Ordering::SeqCst);
            let index = number - self.acknowledged.load(Ordering::SeqCst);
            let index = usize::try_from(index).unwrap();
            let event = self.service.queue.lock().get(index).cloned();
            if let Some(event) = event {
                self.taken.store(number + 1, Ordering::SeqCst);
                return Ok(Arrived {
                    event,
                    redelivered: false,
                    token: AckToken(number),
                });
            }
            news.await;
        }
    }

    fn keeps_events(&self) -> bool {
        true
    }

    async fn acknowledge(&self, token: AckToken) -> Result<(), TransportError> {
        let upto = token.0 + 1;
        let before = self.acknowledged.fetch_max(upto, Ordering::SeqCst);
        let count = usize::try_from(upto.saturating_sub(before)).unwrap();
        let mut queue = self.service.queue.lock();
        // A test may have taken some of it away.
        let count = count.min(queue.len());
        queue.drain(..count);
        Ok(())
    }

    async fn close(&self) {}
}

fn summary(history: &[Message]) -> ConversationSummary {
    let last = history.len() as u64;
    ConversationSummary {
        conv: group(),
        kind: ConversationKind::Group,
        settings: None,
        peer: None,
        members: 2,
        role: Role::Member,
        last_seq: Seq(last),
        last: history.last().cloned(),
        delivered: Seq::NONE,
        read: Seq::NONE,
        unread: last,
        muted: Toggle::Off,
    }
}

struct Place {
    service: Arc<Service>,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            service: Arc::default(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// As after a crash: the journal's lock may be held for a moment.
    async fn start(&self, options: SessionOptions) -> (Session, mpsc::Receiver<Notice>) {
        loop {
            let door = Arc::new(Door(self.service.clone()));
            match Session::start(door, ana(), options.clone()).await {
                Ok(started) => return started,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }
}

async fn kill(session: Session) {
    session.task.abort();
    // It ends by being aborted.
    let _ = session.task.await;
}

/// What came to the screen before the program was killed, after so many milliseconds at most.
async fn watch(notices: &mut mpsc::Receiver<Notice>, screen: &mut Vec<u64>, last: u64, time: u64) {
    let shows = async {
        while screen.last() != Some(&last) {
            match notices.recv().await {
                Some(Notice::Message(message)) => screen.push(message.seq.0),
                Some(_) => {}
                None => return,
            }
        }
    };
    // Being killed is what is tested.
    let _ = tokio::time::timeout(Duration::from_millis(time), shows).await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_holds_nothing_else_up() {
    let place = Place::new();
    let (session, mut notices) = place.start(place.journal().as_path().into()).await;
    let session = Arc::new(session);
    let asks = {
        let session = session.clone();
        tokio::spawn(async move {
            let request = Request::History {
                conv: group(),
                range: crate::message::HistoryRange::NEWEST,
                limit: 1,
            };
            session.ask(request).await
        })
    };
    tokio::task::yield_now().await;
    assert!(session.ask(Request::Conversations).await.is_ok());
    place.service.says(1);
    let shown = async {
        while !matches!(notices.recv().await, Some(Notice::Message(message)) if message.seq == Seq(1))
        {
        }
    };
    assert!(tokio::time::timeout(PATIENCE, shown).await.is_ok());
    assert!(!asks.is_finished());
    // It does not wait longer than there is a connection that it could come by.
    place.service.losses.store(1, Ordering::SeqCst);
    let body = Body::text("2");
    let (user, device) = (ana().user, ana().device);
    let post = Post::to_group(&group(), &user, &device, body, Timestamp::now());
    session.send(post).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, asks).await;
    let answer = answer.expect("it ends").expect("it does not panic");
    assert!(
        matches!(answer, Err(TransportError::Closed(_))),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_killed_again_and_again_shows_nothing_twice() {
    let place = Place::new();
    let mut screen = Vec::new();
    for round in 0..40 {
        for number in 0..5 {
            place.service.says(round * 5 + number);
        }
        let (session, mut notices) = place.start(place.journal().as_path().into()).await;
        watch(&mut notices, &mut screen, (round + 1) * 5, round % 4).await;
        kill(session).await;
    }
    let (session, mut notices) = place.start(place.journal().as_path().into()).await;
    place.service.says(0);
    let last = place.service.last().0;
    watch(&mut notices, &mut screen, last, 30_000).await;
    session.close().await;
    assert!(screen.is_sorted_by(|one, other| one < other), "{screen:?}");
    assert_eq!(screen.last(), Some(&last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_output_is_its_record_misses_nothing_and_repeats_nothing() {
    let place = Place::new();
    let mut screen: Vec<u64> = Vec::new();
    let from_record = |screen: &[u64]| SessionOptions {
        journal: place.journal(),
        shown: Some(vec![Position {
            conv: group(),
            after: Seq(screen.last().copied().unwrap_or(0)),
        }]),
        ..SessionOptions::default()
    };
    for round in 0..40 {
        for number in 0..5 {
            place.service.says(round * 5 + number);
        }
        let (session, mut notices) = place.start(from_record(&screen)).await;
        watch(&mut notices, &mut screen, (round + 1) * 5, round % 4).await;
        kill(session).await;
    }
    let (session, mut notices) = place.start(from_record(&screen)).await;
    watch(&mut notices, &mut screen, 200, 30_000).await;
    session.close().await;
    assert_eq!(screen, (1..=200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_that_events_may_be_missing_asks_and_stays_connected() {
    let place = Place::new();
    let (session, mut notices) = place.start(place.journal().as_path().into()).await;
    let mut screen = Vec::new();
    for round in 1..=3 {
        for number in 0..5 {
            place.service.says(number);
        }
        // The events are lost; the history has the messages. Or one comes, and then it is said.
        place.service.queue.lock().truncate(round - 1);
        place.service.missed.store(1, Ordering::SeqCst);
        place.service.news.notify_waiters();
        let last = place.service.last().0;
        watch(&mut notices, &mut screen, last, 30_000).await;
    }
    session.close().await;
    assert_eq!(screen, (1..=15).collect::<Vec<_>>());
    assert_eq!(place.service.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_program_that_says_of_each_of_thousands_that_it_was_read_comes_to_the_end() {
    const MESSAGES: u64 = 3_000;
    let place = Place::new();
    for number in 1..=MESSAGES {
        place.service.says(number);
    }
    place.service.queue.lock().clear();
    let (session, mut notices) = place.start(place.journal().as_path().into()).await;
    let mut last = 0;
    let reads = async {
        while last < MESSAGES {
            if let Some(Notice::Message(message)) = notices.recv().await {
                last = message.seq.0;
                session.read(&message).await.unwrap();
            }
        }
    };
    // Longer than for one thing, since there are many.
    let in_time = tokio::time::timeout(4 * PATIENCE, reads).await;
    assert!(in_time.is_ok(), "it goes no further than {last}");
    session.close().await;
}

#[tokio::test]
async fn a_message_whose_confirm_was_lost_is_sent_again_and_is_one() {
    let place = Place::new();
    place.service.losses.store(2, Ordering::SeqCst);
    let (session, mut notices) = place.start(place.journal().as_path().into()).await;
    let (user, device) = (ana().user, ana().device);
    let post = Post::to_group(&group(), &user, &device, Body::text("oi"), Timestamp::now());
    session.send(post.clone()).await.unwrap();
    let (mut sent, mut shown) = (0, 0);
    let both = async {
        while sent == 0 || shown == 0 {
            match notices.recv().await.unwrap() {
                Notice::Sent(_) => sent += 1,
                Notice::Message(_) => shown += 1,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert!(session.outbox().await.unwrap().is_empty());
    session.close().await;
    assert!(
        place.service.posted.load(Ordering::SeqCst) >= 2,
        "it was sent again"
    );
    assert_eq!(place.service.last(), Seq(1));
    let (_, remembered) = Journal::open(&place.journal()).unwrap();
    assert!(remembered.posts.is_empty());
}

#[tokio::test]
async fn what_was_read_without_a_connection_is_said_when_there_is_one() {
    let place = Place::new();
    place.service.says(1);
    place.service.refuses_connections.store(1, Ordering::SeqCst);
    let (session, mut notices) = place.start(place.journal().as_path().into()).await;
    let away = notices.recv().await.unwrap();
    assert!(matches!(away, Notice::Disconnected { .. }), "{away:?}");
    let message = place.service.history.lock()[0].clone();
    session.read(&message).await.unwrap();
    let said = async {
        while place.service.receipts.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, said).await.unwrap();
    let receipts = place.service.receipts.lock().clone();
    assert_eq!(
        receipts.len(),
        1,
        "reading says that it was delivered: {receipts:?}"
    );
    assert_eq!(receipts[0].status, ReceiptStatus::Read);
    session.close().await;
}

#[tokio::test]
async fn of_a_conversation_never_shown_only_the_end_is_shown_if_that_is_wanted() {
    let place = Place::new();
    for number in 1..=30 {
        place.service.says(number);
    }
    place.service.queue.lock().clear();
    let options = SessionOptions {
        backlog: Some(10),
        ..place.journal().as_path().into()
    };
    let (session, mut notices) = place.start(options).await;
    let mut screen = Vec::new();
    watch(&mut notices, &mut screen, 30, 30_000).await;
    assert_eq!(screen, (21..=30).collect::<Vec<_>>());
    session.close().await;
}

#[tokio::test]
async fn what_a_process_showed_and_died_before_it_said_so_is_said_by_the_next() {
    let place = Place::new();
    place.service.says(1);
    place.service.queue.lock().clear();
    let options = SessionOptions {
        shown: Some(vec![Position {
            conv: group(),
            after: Seq(1),
        }]),
        ..place.journal().as_path().into()
    };
    let (session, _notices) = place.start(options).await;
    let said = async {
        while place.service.receipts.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, said).await.unwrap();
    let receipt = place.service.receipts.lock()[0].clone();
    assert_eq!(
        (receipt.status, receipt.seq),
        (ReceiptStatus::Delivered, Seq(1))
    );
    session.close().await;
}

#[tokio::test]
async fn a_cursor_that_comes_late_takes_nobody_back() {
    let place = Place::new();
    let (session, mut notices) = place.start(place.journal().as_path().into()).await;
    let cursor = |delivered, read| {
        Event::Cursor(Cursor {
            conv: group(),
            user: "ubruno".parse().unwrap(),
            delivered: Seq(delivered),
            read: Seq(read),
        })
    };
    let events = [cursor(3, 1), cursor(5, 1), cursor(3, 1), cursor(4, 2)];
    place.service.queue.lock().extend(events);
    place.service.news.notify_waiters();
    let mut told = Vec::new();
    let all = async {
        while told.len() < 3 {
            if let Some(Notice::Cursor(cursor)) = notices.recv().await {
                told.push((cursor.delivered.0, cursor.read.0));
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    assert_eq!(told, [(3, 1), (5, 1), (5, 2)]);
    session.close().await;
}
