//! A broker of one queue with one planted fault, to see whether the generator notices.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::wire::{Arguments, FrameBuffer, FrameKind, MethodFrame, Uri, append_frame, method};

/// What the broker does wrong, and with which message, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Loses(usize),
    Doubles(usize),
    Swaps(usize),
    Nacks(usize),
    ConfirmsTwice(usize),
    ForgetsConfirm(usize),
    HangsUpAt(usize),
    ClosesChannelAt(usize),
    CutsBody(usize),
    RefusesLogin,
    SpeaksOtherProtocol,
}

#[derive(Debug, Default)]
struct Queue {
    bodies: VecDeque<Vec<u8>>,
    held_back: Option<Vec<u8>>,
    count: usize,
}

#[derive(Debug)]
struct Shared {
    fault: Fault,
    queue: Mutex<Queue>,
    filled: Condvar,
}

/// Starts the broker in threads that end with the test's process.
pub(crate) fn start(fault: Fault) -> Uri {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let shared = Shared {
        fault,
        queue: Mutex::default(),
        filled: Condvar::new(),
    };
    let shared = Arc::new(shared);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let shared = Arc::clone(&shared);
            thread::spawn(move || Session::new(stream.unwrap(), shared).serve());
        }
    });
    format!("amqp://127.0.0.1:{port}").parse().unwrap()
}

struct Session {
    stream: TcpStream,
    shared: Arc<Shared>,
    confirming: bool,
    tag: u64,
    publishing: bool,
}

impl Session {
    fn new(stream: TcpStream, shared: Arc<Shared>) -> Self {
        Self {
            stream,
            shared,
            confirming: false,
            tag: 0,
            publishing: false,
        }
    }

    /// Serves until the client goes, or the fault ends it.
    fn serve(mut self) {
        let mut header = [0; 8];
        if self.stream.read_exact(&mut header).is_err() {
            return;
        }
        if self.shared.fault == Fault::SpeaksOtherProtocol {
            self.send(b"AMQP\x03\x01\x00\x00");
            return;
        }
        let start = MethodFrame::new(0, method::CONNECTION_START)
            .u16(9)
            .table(&[])
            .long_string(b"AMQPLAIN PLAIN")
            .long_string(b"en_US");
        self.send(&start.finish().unwrap());
        let mut buffer = FrameBuffer::new(128 * 1024);
        let mut stream = self.stream.try_clone().unwrap();
        while buffer.fill(&mut stream).is_ok_and(|count| count > 0) {
            while let Some(frame) = buffer.next().unwrap() {
                let goes_on = match frame.kind {
                    FrameKind::Method => {
                        let (id, arguments) = method::split(frame.payload).unwrap();
                        self.answer(frame.channel, id, arguments)
                    }
                    FrameKind::Body => self.take(frame.payload.to_vec()),
                    FrameKind::Header | FrameKind::Heartbeat => true,
                };
                if !goes_on {
                    return;
                }
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        // A client that has gone needs no answer.
        let _ = self.stream.write_all(bytes);
    }

    fn answer(&mut self, channel: u16, id: u32, arguments: &[u8]) -> bool {
        let reply = |id| MethodFrame::new(channel, id);
        let frame = match id {
            method::CONNECTION_START_OK if self.shared.fault == Fault::RefusesLogin => {
                let close = reply(method::CONNECTION_CLOSE)
                    .u16(403)
                    .short_string("who are you");
                close.u32(id)
            }
            method::CONNECTION_START_OK => reply(method::CONNECTION_TUNE).u16(10).u32(8192).u16(60),
            method::CONNECTION_OPEN => reply(method::CONNECTION_OPEN_OK).short_string(""),
            method::CHANNEL_OPEN => reply(method::CHANNEL_OPEN_OK).long_string(b""),
            method::QUEUE_DECLARE => {
                let depth = self.shared.queue.lock().unwrap().bodies.len();
                let mut arguments = Arguments::new(arguments);
                arguments.u16().unwrap();
                let name = String::from_utf8_lossy(arguments.short_string().unwrap());
                let declared = reply(method::QUEUE_DECLARE_OK).short_string(&name);
                declared.u32(u32::try_from(depth).unwrap()).u32(0)
            }
            method::QUEUE_DELETE => reply(method::QUEUE_DELETE_OK).u32(0),
            method::BASIC_QOS => reply(method::BASIC_QOS_OK),
            method::BASIC_CONSUME => {
                let shared = Arc::clone(&self.shared);
                let stream = self.stream.try_clone().unwrap();
                thread::spawn(move || deliver(&shared, stream));
                reply(method::BASIC_CONSUME_OK).short_string("c")
            }
            method::CONFIRM_SELECT => {
                self.confirming = true;
                reply(method::CONFIRM_SELECT_OK)
            }
            method::CONNECTION_CLOSE => reply(method::CONNECTION_CLOSE_OK),
            method::BASIC_PUBLISH => {
                self.publishing = true;
                return true;
            }
            _ => return true,
        };
        self.send(&frame.finish().unwrap());
        true
    }

    /// Takes the first body frame of a message; the tests' messages have only one.
    fn take(&mut self, body: Vec<u8>) -> bool {
        assert!(
            std::mem::take(&mut self.publishing),
            "a body without a publish"
        );
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.queue.lock().unwrap();
        let number = queue.count;
        queue.count += 1;
        let fault = shared.fault;
        if fault == Fault::HangsUpAt(number) {
            // A reset instead of a goodbye: there may be unread input.
            return self.stream.shutdown(std::net::Shutdown::Both).is_err();
        }
        if fault == Fault::ClosesChannelAt(number) {
            let close = MethodFrame::new(1, method::CHANNEL_CLOSE)
                .u16(404)
                .short_string("no");
            self.send(&close.u32(method::BASIC_PUBLISH).finish().unwrap());
        }
        if fault == Fault::Swaps(number) {
            queue.held_back = Some(body);
        } else {
            if fault == Fault::Doubles(number) {
                queue.bodies.push_back(body.clone());
            }
            if fault == Fault::CutsBody(number) {
                queue.bodies.push_back(body[1..].to_vec());
            } else if fault != Fault::Loses(number) && fault != Fault::Nacks(number) {
                queue.bodies.push_back(body);
            }
            let held_back = queue.held_back.take();
            queue.bodies.extend(held_back);
        }
        drop(queue);
        shared.filled.notify_all();
        self.confirm(number);
        true
    }

    fn confirm(&mut self, number: usize) {
        if !self.confirming {
            return;
        }
        self.tag += 1;
        let id = match self.shared.fault {
            Fault::ForgetsConfirm(forgotten) if forgotten == number => return,
            Fault::Nacks(nacked) if nacked == number => method::BASIC_NACK,
            _ => method::BASIC_ACK,
        };
        let frame = MethodFrame::new(1, id)
            .u64(self.tag)
            .u8(0)
            .finish()
            .unwrap();
        self.send(&frame);
        if self.shared.fault == Fault::ConfirmsTwice(number) {
            self.send(&frame);
        }
    }
}

/// Sends what lies in the queue, until the client goes.
fn deliver(shared: &Shared, mut stream: TcpStream) {
    for tag in 1_u64.. {
        let mut queue = shared.queue.lock().unwrap();
        while queue.bodies.is_empty() {
            queue = shared.filled.wait(queue).unwrap();
        }
        let body = queue.bodies.pop_front().unwrap();
        drop(queue);
        let deliver = MethodFrame::new(1, method::BASIC_DELIVER)
            .short_string("c")
            .u64(tag)
            .u8(0)
            .short_string("")
            .short_string("q");
        let mut bytes = deliver.finish().unwrap();
        let mut header = vec![0, 60, 0, 0];
        header.extend_from_slice(&(body.len() as u64).to_be_bytes());
        header.extend_from_slice(&[0, 0]);
        append_frame(&mut bytes, FrameKind::Header, 1, &header);
        append_frame(&mut bytes, FrameKind::Body, 1, &body);
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
}
