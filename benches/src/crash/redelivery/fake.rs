//! A broker inside the test that survives being killed, with one fault planted at that moment.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::crash::redelivery::subject::Subject;
use crate::load::Stamp;
use crate::wire::{
    Arguments, Connection, FrameBuffer, FrameKind, MethodFrame, Uri, append_frame, method,
};

/// What is wrong after the restart, and with which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Loses(u64),
    Doubles(u64),
    /// Gives it back behind its successor in the queue.
    Delays(u64),
    /// Gives it back without the redelivered flag.
    Unflags(u64),
    /// Gives it back with the flag, though it was never delivered.
    Flags(u64),
    Changes(u64),
    /// Gives back one more that nobody sent.
    Invents(u64),
    /// Gives back what was settled.
    Revives(u64),
    /// Goes away by itself when so many have been published.
    DiesAfter(u64),
    /// Answers the restarted client in another protocol.
    SpeaksOtherProtocol,
}

#[derive(Debug, Clone)]
struct Message {
    body: Vec<u8>,
    priority: u8,
    redelivered: bool,
}

/// Messages by the order in which they are delivered: priority, then age.
type Queue = BTreeMap<(u8, u64), Message>;

#[derive(Debug, Default)]
struct State {
    is_up: bool,
    was_killed: bool,
    queues: HashMap<String, Queue>,
    settled: HashMap<u64, (String, Message)>,
    published: u64,
    streams: Vec<TcpStream>,
}

/// The broker as a round sees it.
pub(super) struct FakeBroker {
    uri: Uri,
    fault: Fault,
    state: Arc<Mutex<State>>,
}

pub(super) fn id(body: &[u8]) -> u64 {
    Stamp::read(body).unwrap().sequence
}

impl FakeBroker {
    pub(super) fn new(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                let mut state = shared.lock().unwrap();
                if state.is_up {
                    state.streams.push(stream.try_clone().unwrap());
                    drop(state);
                    thread::spawn(move || Session::new(stream, shared, fault).serve());
                }
            }
        });
        let uri = format!("amqp://127.0.0.1:{port}").parse().unwrap();
        Self { uri, fault, state }
    }
}

impl Subject for FakeBroker {
    fn uri(&self) -> &Uri {
        &self.uri
    }

    fn launch(&mut self) -> Result<Instant> {
        self.state.lock().unwrap().is_up = true;
        Ok(Instant::now())
    }

    fn wait_until_accepting(&mut self) -> Result<Instant> {
        Ok(Instant::now())
    }

    fn open(&mut self) -> Result<Connection> {
        Ok(Connection::open(&self.uri)?)
    }

    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        state.is_up = false;
        for stream in state.streams.drain(..) {
            // The client may be gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        // The sessions put back what they hold.
        while Arc::strong_count(&self.state) > 2 {
            thread::sleep(Duration::from_millis(1));
        }
        let mut state = self.state.lock().unwrap();
        state.was_killed = true;
        plant(&mut state, self.fault);
        Ok(())
    }

    fn resident_bytes(&self) -> Option<u64> {
        None
    }
}

fn plant(state: &mut State, fault: Fault) {
    if let Fault::Revives(wanted) = fault {
        let (queue, message) = state.settled.remove(&wanted).unwrap();
        let redelivered = true;
        let message = Message {
            redelivered,
            ..message
        };
        let key = (u8::MAX - 1 - message.priority, wanted);
        state.queues.get_mut(&queue).unwrap().insert(key, message);
    }
    for queue in state.queues.values_mut() {
        for (priority, number) in queue.keys().copied().collect::<Vec<_>>() {
            let key = (priority, number);
            match fault {
                Fault::Loses(wanted) if wanted == number => drop(queue.remove(&key)),
                Fault::Doubles(wanted) if wanted == number => {
                    let again = queue[&key].clone();
                    queue.insert((u8::MAX, number), again);
                }
                Fault::Delays(wanted) if wanted == number => {
                    let delayed = queue.remove(&key).unwrap();
                    queue.insert((u8::MAX, number), delayed);
                }
                Fault::Unflags(wanted) if wanted == number => {
                    queue.get_mut(&key).unwrap().redelivered = false;
                }
                Fault::Flags(wanted) if wanted == number => {
                    queue.get_mut(&key).unwrap().redelivered = true;
                }
                Fault::Changes(wanted) if wanted == number => {
                    *queue.get_mut(&key).unwrap().body.last_mut().unwrap() ^= 1;
                }
                Fault::Invents(wanted) if number == 50 => {
                    let mut invented = queue[&key].clone();
                    let stamp = Stamp {
                        producer: 0,
                        sequence: wanted,
                        sent_at: 0,
                    };
                    stamp.write(&mut invented.body, 64);
                    queue.insert((u8::MAX, wanted), invented);
                }
                _ => {}
            }
        }
    }
}

struct Consumer {
    queue: String,
    prefetch: usize,
    unacked: usize,
}

struct Session {
    stream: TcpStream,
    state: Arc<Mutex<State>>,
    fault: Fault,
    confirming: bool,
    published: u64,
    key: String,
    priority: u8,
    prefetch: usize,
    /// By channel.
    consumers: Vec<(u16, Consumer)>,
    unacked: BTreeMap<(u16, u64), (usize, Message)>,
    tags: HashMap<u16, u64>,
}

impl Session {
    fn new(stream: TcpStream, state: Arc<Mutex<State>>, fault: Fault) -> Self {
        Self {
            stream,
            state,
            fault,
            confirming: false,
            published: 0,
            key: String::new(),
            priority: 0,
            prefetch: 0,
            consumers: Vec::new(),
            unacked: BTreeMap::new(),
            tags: HashMap::new(),
        }
    }

    fn serve(mut self) {
        self.converse();
        let mut state = self.state.lock().unwrap();
        for (_, (consumer, mut message)) in std::mem::take(&mut self.unacked) {
            message.redelivered = true;
            let queue = &self.consumers[consumer].1.queue;
            put(&mut state, queue, message);
        }
    }

    fn converse(&mut self) {
        let mut header = [0; 8];
        if self.stream.read_exact(&mut header).is_err() {
            return;
        }
        let was_killed = self.state.lock().unwrap().was_killed;
        if self.fault == Fault::SpeaksOtherProtocol && was_killed {
            self.send(b"AMQP\x03\x01\x00\x00");
            return;
        }
        let start = MethodFrame::new(0, method::CONNECTION_START)
            .u16(9)
            .table(&[])
            .long_string(b"PLAIN")
            .long_string(b"en_US");
        self.send(&start.finish().unwrap());
        let turn = Some(Duration::from_millis(1));
        self.stream.set_read_timeout(turn).unwrap();
        let mut buffer = FrameBuffer::new(128 * 1024);
        let mut stream = self.stream.try_clone().unwrap();
        loop {
            match buffer.fill(&mut stream) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            while let Some(frame) = buffer.next().unwrap() {
                match frame.kind {
                    FrameKind::Method => {
                        let (id, arguments) = method::split(frame.payload).unwrap();
                        self.answer(frame.channel, id, &mut Arguments::new(arguments));
                    }
                    FrameKind::Header => {
                        let flags = frame.payload[12];
                        self.priority = if flags & 8 != 0 { frame.payload[15] } else { 0 };
                    }
                    FrameKind::Body => self.publish(frame.payload.to_vec()),
                    FrameKind::Heartbeat => {}
                }
            }
            if !self.state.lock().unwrap().is_up {
                return;
            }
            self.deliver();
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        // A client that has gone needs no answer.
        let _ = self.stream.write_all(bytes);
    }

    fn answer(&mut self, channel: u16, id: u32, arguments: &mut Arguments<'_>) {
        let mut text = || {
            arguments.u16().unwrap();
            String::from_utf8_lossy(arguments.short_string().unwrap()).into_owned()
        };
        let reply = |id| MethodFrame::new(channel, id);
        let frame = match id {
            method::CONNECTION_START_OK => reply(method::CONNECTION_TUNE).u16(10).u32(8192).u16(0),
            method::CONNECTION_OPEN => reply(method::CONNECTION_OPEN_OK).short_string(""),
            method::CHANNEL_OPEN => reply(method::CHANNEL_OPEN_OK).long_string(b""),
            method::CONFIRM_SELECT => {
                self.confirming = true;
                reply(method::CONFIRM_SELECT_OK)
            }
            method::QUEUE_DECLARE => {
                let name = text();
                let mut state = self.state.lock().unwrap();
                let depth = state.queues.entry(name.clone()).or_default().len();
                let depth = u32::try_from(depth).unwrap();
                reply(method::QUEUE_DECLARE_OK)
                    .short_string(&name)
                    .u32(depth)
                    .u32(0)
            }
            method::BASIC_QOS => {
                arguments.u32().unwrap();
                self.prefetch = usize::from(arguments.u16().unwrap());
                reply(method::BASIC_QOS_OK)
            }
            method::BASIC_CONSUME => {
                let (queue, prefetch) = (text(), self.prefetch);
                let unacked = 0;
                self.consumers.push((
                    channel,
                    Consumer {
                        queue,
                        prefetch,
                        unacked,
                    },
                ));
                reply(method::BASIC_CONSUME_OK).short_string("t")
            }
            method::CONNECTION_CLOSE => reply(method::CONNECTION_CLOSE_OK),
            method::CONNECTION_TUNE_OK => return,
            method::BASIC_PUBLISH => {
                text();
                let key = arguments.short_string().unwrap();
                self.key = String::from_utf8_lossy(key).into_owned();
                return;
            }
            method::BASIC_ACK | method::BASIC_NACK => {
                let (tag, flags) = (arguments.u64().unwrap(), arguments.u8().unwrap());
                self.settle(channel, tag, flags & 1 != 0, id == method::BASIC_NACK);
                return;
            }
            other => panic!("{} is not expected", method::name(other)),
        };
        self.send(&frame.finish().unwrap());
    }

    fn publish(&mut self, body: Vec<u8>) {
        let mut state = self.state.lock().unwrap();
        state.published += 1;
        if self.fault == Fault::DiesAfter(state.published) {
            state.is_up = false;
            for stream in &state.streams {
                let _ = stream.shutdown(Shutdown::Both);
            }
            return;
        }
        let message = Message {
            body,
            priority: self.priority,
            redelivered: false,
        };
        put(&mut state, &self.key, message);
        drop(state);
        self.published += 1;
        if self.confirming {
            let confirm = MethodFrame::new(1, method::BASIC_ACK)
                .u64(self.published)
                .u8(0);
            self.send(&confirm.finish().unwrap());
        }
    }

    fn settle(&mut self, channel: u16, tag: u64, multiple: bool, rejected: bool) {
        let first = if multiple { 0 } else { tag };
        let range = (channel, first)..=(channel, tag);
        let tags: Vec<_> = self.unacked.range(range).map(|(tag, _)| *tag).collect();
        let mut state = self.state.lock().unwrap();
        for tag in tags {
            let (consumer, message) = self.unacked.remove(&tag).unwrap();
            let consumer = &mut self.consumers[consumer].1;
            consumer.unacked -= 1;
            if rejected {
                let dead = state
                    .queues
                    .keys()
                    .find(|name| name.ends_with("dead-letters"));
                let dead = dead.unwrap().clone();
                put(&mut state, &dead, message);
            } else {
                let settled = (consumer.queue.clone(), message);
                state.settled.insert(id(&settled.1.body), settled);
            }
        }
    }

    /// Sends what there is to those who may have it.
    fn deliver(&mut self) {
        let mut bytes = Vec::new();
        let mut state = self.state.lock().unwrap();
        for (index, (channel, consumer)) in self.consumers.iter_mut().enumerate() {
            let queue = state.queues.get_mut(&consumer.queue).unwrap();
            while consumer.unacked < consumer.prefetch {
                let Some((_, message)) = queue.pop_first() else {
                    break;
                };
                let tag = self.tags.entry(*channel).or_default();
                *tag += 1;
                consumer.unacked += 1;
                append_delivery(&mut bytes, *channel, *tag, &message);
                self.unacked.insert((*channel, *tag), (index, message));
            }
        }
        drop(state);
        self.send(&bytes);
    }
}

fn put(state: &mut State, queue: &str, message: Message) {
    let key = (u8::MAX - 1 - message.priority, id(&message.body));
    let queue = state.queues.get_mut(queue).unwrap();
    queue.insert(key, message);
}

fn append_delivery(bytes: &mut Vec<u8>, channel: u16, tag: u64, message: &Message) {
    let deliver = MethodFrame::new(channel, method::BASIC_DELIVER)
        .short_string("t")
        .u64(tag)
        .u8(u8::from(message.redelivered))
        .short_string("")
        .short_string("q");
    bytes.extend(deliver.finish().unwrap());
    let mut header = vec![0, 60, 0, 0];
    header.extend_from_slice(&(message.body.len() as u64).to_be_bytes());
    header.extend_from_slice(&[0, 0]);
    append_frame(bytes, FrameKind::Header, channel, &header);
    append_frame(bytes, FrameKind::Body, channel, &message.body);
}
