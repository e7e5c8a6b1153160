//! A terminal, a session, and what lies between them.

use std::io::{self, stdout};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, Event as TerminalEvent, KeyEventKind, poll, read,
};
use ratatui::crossterm::execute;
use tokio::sync::{mpsc, watch};

use super::demo::{DemoPort, DemoStatus};
use super::key::Key;
use super::model::{Effect, Event, Model};
use super::view::{Theme, render};
use crate::message::{Handle, Post, Reply, Request};
use crate::session::{Notice, Session};

/// Events that wait to be dealt with, at most.
const EVENTS_MAX: usize = 256;
/// How often the keyboard is asked whether the interface is over.
const KEYBOARD_INTERVAL: Duration = Duration::from_millis(200);
/// After which nobody is writing any more, and the like.
const TICK: Duration = Duration::from_secs(1);

/// What the interface shows beside the conversations.
#[derive(Debug)]
pub struct TuiOptions {
    /// The name of whoever sits here.
    pub name: Handle,
    /// A demonstration, if this is one.
    pub demo: Option<DemoPort>,
}

/// Shows everything until it is left.
pub async fn run(
    session: Session,
    mut notices: mpsc::Receiver<Notice>,
    options: TuiOptions,
) -> io::Result<()> {
    let theme = if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        Theme::Plain
    } else {
        Theme::Colours
    };
    let model = Model::new(session.device().clone(), &options.name);
    let session = Arc::new(session);
    let mut terminal = ratatui::try_init()?;
    // A terminal that cannot do it takes a paste as keys.
    let _ = execute!(stdout(), EnableBracketedPaste);
    let (events, happened) = mpsc::channel(EVENTS_MAX);
    let (over, is_over) = watch::channel(false);
    let keyboard = listen_to_keyboard(events.clone(), is_over);
    let (demo, status) = match options.demo {
        Some(DemoPort { commands, status }) => (Some(commands), Some(status)),
        None => (None, None),
    };
    let mut shell = Shell {
        worker: Worker {
            session: session.clone(),
            events,
            demo,
            posts: sender(session.clone()),
        },
        model,
        happened,
        status,
    };
    let result = shell.live(&mut terminal, &mut notices, theme).await;
    // Nobody listens if the keyboard is gone already.
    let _ = over.send(true);
    let _ = execute!(stdout(), DisableBracketedPaste);
    ratatui::restore();
    drop(shell);
    // It ends by itself.
    let _ = tokio::task::spawn_blocking(move || keyboard.join()).await;
    if let Some(session) = Arc::into_inner(session) {
        session.close().await;
    }
    result
}

struct Shell {
    worker: Worker,
    model: Model,
    happened: mpsc::Receiver<Event>,
    status: Option<watch::Receiver<DemoStatus>>,
}

impl Shell {
    async fn live(
        &mut self,
        terminal: &mut ratatui::DefaultTerminal,
        notices: &mut mpsc::Receiver<Notice>,
        theme: Theme,
    ) -> io::Result<()> {
        let mut ticks = tokio::time::interval(TICK);
        let posts = self.worker.session.outbox().await?;
        self.model.update(Event::Outbox(posts), Instant::now());
        loop {
            terminal.draw(|frame| render(frame, &self.model, theme))?;
            let event = tokio::select! {
                Some(event) = self.happened.recv() => event,
                notice = notices.recv() => match notice {
                    Some(notice) => Event::Notice(notice),
                    None => return Err(io::Error::other("the session has ended")),
                },
                Some(status) = changed(&mut self.status) => Event::Demo(status),
                _ = ticks.tick() => Event::Tick,
            };
            if !self.deal_with(event) {
                return Ok(());
            }
            // What has happened as well is dealt with before the next picture.
            for _ in 0..EVENTS_MAX {
                let Ok(notice) = notices.try_recv() else {
                    break;
                };
                self.deal_with(Event::Notice(notice));
            }
        }
    }

    /// Whether it goes on.
    fn deal_with(&mut self, event: Event) -> bool {
        let mut goes_on = true;
        for effect in self.model.update(event, Instant::now()) {
            if effect == Effect::Quit {
                goes_on = false;
            } else if let Some(remark) = self.worker.perform(effect) {
                self.model.update(Event::Remark(remark), Instant::now());
            }
        }
        goes_on
    }
}

async fn changed(status: &mut Option<watch::Receiver<DemoStatus>>) -> Option<DemoStatus> {
    let status = status.as_mut()?;
    status.changed().await.ok()?;
    Some(status.borrow_and_update().clone())
}

/// Sends one message after the other, in the order in which they were written.
fn sender(session: Arc<Session>) -> mpsc::Sender<Post> {
    let (posts, mut written) = mpsc::channel::<Post>(EVENTS_MAX);
    tokio::spawn(async move {
        while let Some(post) = written.recv().await {
            if let Err(error) = session.send(post).await {
                tracing::error!(%error, "a message could not be kept");
            }
        }
    });
    posts
}

struct Worker {
    session: Arc<Session>,
    events: mpsc::Sender<Event>,
    demo: Option<mpsc::Sender<super::demo::DemoCommand>>,
    posts: mpsc::Sender<Post>,
}

impl Worker {
    /// Does what is to be done, without waiting; what went wrong at once is said.
    fn perform(&self, effect: Effect) -> Option<String> {
        let (session, events) = (self.session.clone(), self.events.clone());
        match effect {
            Effect::Send(post) => {
                let written = self.posts.try_send(*post);
                return written.err().map(|_| "too much at once".to_owned());
            }
            Effect::Ask(request) => {
                tokio::spawn(async move {
                    // Without a connection there is no answer; it is asked again with the next one.
                    if let Ok(reply) = session.ask(request.clone()).await {
                        let answer = Event::Answer(Box::new(request), Box::new(reply));
                        // The interface may be over.
                        let _ = events.send(answer).await;
                    }
                });
            }
            Effect::Find(handle, intent) => {
                tokio::spawn(async move {
                    let request = Request::User { handle };
                    let event = match session.ask(request).await {
                        Ok(Reply::Users { users }) => {
                            Event::Found(users.into_iter().next(), intent)
                        }
                        Ok(_) => Event::Found(None, intent),
                        Err(error) => Event::Remark(error.to_string()),
                    };
                    let _ = events.send(event).await;
                });
            }
            Effect::Read(message) => {
                tokio::spawn(async move { session.read(&message).await });
            }
            Effect::Typing(conv, state) => {
                tokio::spawn(async move { session.typing(conv, state).await });
            }
            Effect::Presence(state) => {
                tokio::spawn(async move { session.set_presence(state).await });
            }
            Effect::Demo(command) => {
                let told = self.demo.as_ref().map(|demo| demo.try_send(command));
                if let Some(Err(_)) = told {
                    return Some("one thing after the other".to_owned());
                }
            }
            Effect::Quit => {}
        }
        None
    }
}

/// The keyboard blocks whoever reads it: it has a thread.
fn listen_to_keyboard(
    events: mpsc::Sender<Event>,
    over: watch::Receiver<bool>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        while !*over.borrow() {
            match poll(KEYBOARD_INTERVAL) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_) => return,
            }
            let Ok(event) = read() else { return };
            let event = match event {
                TerminalEvent::Key(key) if key.kind != KeyEventKind::Release => {
                    Key::from_terminal(key).map(Event::Key)
                }
                TerminalEvent::Paste(text) => Some(Event::Paste(text)),
                TerminalEvent::Resize(..) => Some(Event::Tick),
                _ => None,
            };
            if let Some(event) = event
                && events.blocking_send(event).is_err()
            {
                return;
            }
        }
    })
}
