//! What is there, and what becomes of it when something happens. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::message::properties::BrokerUser;
use crate::message::{
    Body, ConversationId, ConversationSummary, CursorSummary, Handle, HistoryRange, MemberSummary,
    Message, Post, PresenceState, RejectionCode, Reply, Request, Seq, Toggle, UserId, UserSummary,
};
use crate::session::Notice;

use super::composer::Composer;
use super::conversation::{Conversation, Pending};
use super::demo::{DemoCommand, DemoStatus};
use super::key::Key;

/// Messages of one answer.
const PAGE: u32 = 100;
/// Who is writing says so again within this time.
const TYPING: Duration = Duration::from_secs(5);
/// How often it is said that somebody is writing.
const TYPING_INTERVAL: Duration = Duration::from_secs(3);

/// Whether there is a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Not yet.
    Connecting,
    /// There is.
    Connected {
        /// Where to.
        peer: String,
    },
    /// There is none.
    Away {
        /// Why.
        reason: String,
    },
}

/// What lies over the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Panel {
    /// Keys and commands.
    Help,
    /// Who is in the conversation.
    Members(Vec<MemberSummary>),
    /// Who has received and read a message.
    Receipts(Seq),
    /// What was found.
    Found(Vec<Message>),
}

/// Why somebody was asked for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To write to.
    Direct(String),
    /// To change its membership.
    Member(ConversationId, crate::message::MemberChange),
    /// To be in a new group, with those who are known already and those still to be asked for.
    Group {
        /// The group's title.
        title: String,
        /// Who is known.
        known: Vec<UserId>,
        /// Who is not.
        left: Vec<Handle>,
    },
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key.
    Key(Key),
    /// A text was put in as a whole.
    Paste(String),
    /// The session has something to say.
    Notice(Notice),
    /// A request was answered.
    Answer(Box<Request>, Box<Reply>),
    /// Somebody was looked for.
    Found(Option<UserSummary>, Intent),
    /// What was written before and is not in the history.
    Outbox(Vec<Post>),
    /// Something for the line at the bottom.
    Remark(String),
    /// How the demonstration stands.
    Demo(DemoStatus),
    /// Time passes.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send.
    Send(Box<Post>),
    /// Ask; the answer is an event.
    Ask(Request),
    /// Find somebody by name.
    Find(Handle, Intent),
    /// This, and all before it, was on the screen.
    Read(Box<Message>),
    /// Somebody is writing here, or no longer.
    Typing(ConversationId, Toggle),
    /// Somebody is here, or not.
    Presence(PresenceState),
    /// Tell the demonstration.
    Demo(DemoCommand),
    /// End.
    Quit,
}

/// What a message that is being written is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Writing {
    /// To be said.
    #[default]
    New,
    /// To answer this one.
    Reply(Seq),
    /// To stand instead of this one.
    Edit(Seq),
    /// To be a reaction to this one.
    React(Seq),
}

/// What is chosen among the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Stored(Seq),
    /// The message of this number among those that are not in the history.
    Pending(usize),
}

/// Everything that is there.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) own: BrokerUser,
    pub(super) name: String,
    pub(super) conversations: Vec<Conversation>,
    pub(super) names: HashMap<UserId, String>,
    pub(super) open: Option<ConversationId>,
    pub(super) composer: Composer,
    pub(super) writing: Writing,
    /// A message that is chosen; then the keys are for the messages.
    pub(super) choice: Option<Choice>,
    pub(super) panel: Option<Panel>,
    pub(super) connection: Connection,
    pub(super) remark: Option<String>,
    pub(super) typing: HashMap<(ConversationId, UserId), Instant>,
    pub(super) presence: HashMap<UserId, PresenceState>,
    pub(super) demo: Option<DemoStatus>,
    said_typing: Option<Instant>,
}

impl Model {
    /// Of this device, whose user has this name.
    #[must_use]
    pub fn new(own: BrokerUser, name: &Handle) -> Self {
        Self {
            names: HashMap::from([(own.user.clone(), name.to_string())]),
            own,
            name: name.to_string(),
            conversations: Vec::new(),
            open: None,
            composer: Composer::default(),
            writing: Writing::default(),
            choice: None,
            panel: None,
            connection: Connection::Connecting,
            remark: None,
            typing: HashMap::new(),
            presence: HashMap::new(),
            demo: None,
            said_typing: None,
        }
    }

    /// The conversation that is looked at.
    #[must_use]
    pub fn current(&self) -> Option<&Conversation> {
        let open = self.open.as_ref()?;
        self.conversations.iter().find(|one| one.id == *open)
    }

    pub(super) fn current_mut(&mut self) -> Option<&mut Conversation> {
        let open = self.open.clone()?;
        self.conversations.iter_mut().find(|one| one.id == open)
    }

    pub(super) fn name_of(&self, user: &UserId) -> String {
        let known = self.names.get(user);
        known.map_or_else(|| user.to_string(), |name| format!("@{name}"))
    }

    /// Who is writing in the conversation that is looked at.
    pub(super) fn writers(&self) -> Vec<String> {
        let here = |(conv, _): &&(ConversationId, UserId)| Some(conv) == self.open.as_ref();
        let mut names: Vec<_> = self
            .typing
            .keys()
            .filter(here)
            .map(|(_, user)| self.name_of(user))
            .collect();
        names.sort();
        names
    }

    /// Something happened.
    pub fn update(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = match event {
            Event::Key(key) => self.key(key, now),
            Event::Paste(text) => {
                text.chars().for_each(|letter| self.composer.insert(letter));
                Vec::new()
            }
            Event::Notice(notice) => self.notice(notice, now),
            Event::Answer(request, reply) => self.answer(&request, *reply),
            Event::Found(user, intent) => self.found(user, intent),
            Event::Outbox(posts) => {
                posts.into_iter().for_each(|post| self.pend(post));
                Vec::new()
            }
            Event::Remark(text) => {
                self.remark = Some(text);
                Vec::new()
            }
            Event::Demo(status) => {
                self.demo = Some(status);
                Vec::new()
            }
            Event::Tick => {
                self.typing.retain(|_, until| *until > now);
                Vec::new()
            }
        };
        effects.extend(self.read_what_is_shown());
        effects
    }

    fn conversation_mut(&mut self, id: &ConversationId) -> &mut Conversation {
        let place = match self.conversations.iter().position(|one| one.id == *id) {
            Some(place) => place,
            None => {
                self.conversations.insert(0, Conversation::new(id.clone()));
                0
            }
        };
        &mut self.conversations[place]
    }

    pub(super) fn pend(&mut self, post: Post) {
        let conversation = self.conversation_mut(&post.conv);
        if !conversation.is_pending(post.id) {
            let refused = None;
            conversation.pending.push(Pending { post, refused });
        }
    }

    fn notice(&mut self, notice: Notice, now: Instant) -> Vec<Effect> {
        match notice {
            Notice::Connected { peer } => {
                self.connection = Connection::Connected { peer };
                vec![Effect::Ask(Request::Conversations)]
            }
            Notice::Disconnected { reason } => {
                let reason = reason.to_string();
                self.connection = Connection::Away { reason };
                Vec::new()
            }
            Notice::Message(message) => self.message(message),
            Notice::Kept(_) | Notice::Sent(_) => Vec::new(),
            Notice::Rejected(rejected, post) => {
                self.remark = Some(format!("not taken: {}", rejected.code));
                let conversation = self.conversation_mut(&post.conv.clone());
                conversation.refused(*post, rejected.code);
                Vec::new()
            }
            Notice::Cursor(cursor) => {
                let is_own = cursor.user == self.own.user;
                let conversation = self.conversation_mut(&cursor.conv.clone());
                if is_own {
                    conversation.read = conversation.read.max(cursor.read);
                }
                conversation.cursor(&cursor);
                Vec::new()
            }
            Notice::Typing(typing) => {
                let key = (typing.conv, typing.from);
                match typing.state {
                    Toggle::On => self.typing.insert(key, now + TYPING),
                    Toggle::Off => self.typing.remove(&key),
                };
                Vec::new()
            }
            Notice::Presence(presence) => {
                self.presence.insert(presence.from, presence.state);
                Vec::new()
            }
        }
    }

    fn message(&mut self, message: Message) -> Vec<Effect> {
        let own = self.own.user.clone();
        let is_own = message.from == own;
        self.typing
            .remove(&(message.conv.clone(), message.from.clone()));
        let is_new = self.conversations.iter().all(|one| one.id != message.conv);
        let changes = matches!(message.body, Body::Group(_) | Body::Member { .. });
        let mut effects = Vec::new();
        if is_new || changes {
            effects.push(Effect::Ask(Request::Conversations));
        }
        let unknown = !self.names.contains_key(&message.from);
        if unknown {
            let users = vec![message.from.clone()];
            effects.push(Effect::Ask(Request::Users { users }));
        }
        let is_meant = match &message.body {
            Body::Text(text) => text.mentions.contains(&own),
            _ => false,
        };
        let id = message.conv.clone();
        let conversation = self.conversation_mut(&id);
        conversation.is_mentioned |= is_meant;
        if is_own {
            // Who writes has read what is there.
            conversation.read = conversation.read.max(message.seq);
            conversation.new_after = conversation.new_after.max(message.seq);
        }
        conversation.add(message);
        // The one last written in comes first.
        if let Some(place) = self.conversations.iter().position(|one| one.id == id) {
            self.conversations[..=place].rotate_right(1);
        }
        effects
    }

    fn answer(&mut self, request: &Request, reply: Reply) -> Vec<Effect> {
        match (request, reply) {
            (Request::Conversations, Reply::Conversations { conversations }) => {
                self.summaries(&conversations)
            }
            (Request::History { conv, .. }, Reply::Messages { messages }) => {
                self.history(&conv.clone(), messages)
            }
            (Request::Users { .. }, Reply::Users { users }) => {
                let name = |user: UserSummary| (user.user, user.handle.to_string());
                self.names.extend(users.into_iter().map(name));
                Vec::new()
            }
            (Request::Cursors { conv }, Reply::Cursors { cursors }) => {
                self.cursors(&conv.clone(), cursors);
                Vec::new()
            }
            (Request::Members { .. }, Reply::Members { members }) => {
                let name = |member: &MemberSummary| {
                    let user = &member.user;
                    (user.user.clone(), user.handle.to_string())
                };
                self.names.extend(members.iter().map(name));
                if let Some(Panel::Members(shown)) = &mut self.panel {
                    *shown = members;
                }
                Vec::new()
            }
            (Request::Search { .. }, Reply::Messages { messages }) => {
                self.panel = Some(Panel::Found(messages));
                Vec::new()
            }
            (_, Reply::Done) => {
                self.remark = Some("done".to_owned());
                vec![Effect::Ask(Request::Conversations)]
            }
            (Request::History { conv, .. }, Reply::Refused { .. }) => {
                self.conversation_mut(&conv.clone()).is_loading = false;
                Vec::new()
            }
            // A conversation in which nothing was said yet has no members.
            (Request::Cursors { .. } | Request::Members { .. }, Reply::Refused { .. }) => {
                Vec::new()
            }
            (_, Reply::Refused { code }) => {
                self.remark = Some(code.to_string());
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn summaries(&mut self, summaries: &[ConversationSummary]) -> Vec<Effect> {
        let listed = |one: &Conversation| {
            !one.pending.is_empty() || summaries.iter().any(|summary| summary.conv == one.id)
        };
        self.conversations.retain(listed);
        for summary in summaries.iter().rev() {
            let is_new = self.conversations.iter().all(|one| one.id != summary.conv);
            if let Some(peer) = &summary.peer {
                self.names
                    .insert(peer.user.clone(), peer.handle.to_string());
            }
            let conversation = self.conversation_mut(&summary.conv);
            conversation.summarise(summary);
            if is_new {
                conversation.new_after = summary.read;
            }
        }
        match &self.open {
            Some(open) if self.conversations.iter().any(|one| one.id == *open) => Vec::new(),
            Some(_) | None => match self.conversations.first().map(|one| one.id.clone()) {
                Some(first) => self.open(&first),
                None => Vec::new(),
            },
        }
    }

    fn history(&mut self, conv: &ConversationId, messages: Vec<Message>) -> Vec<Effect> {
        let mut unknown: Vec<_> = messages
            .iter()
            .map(|message| message.from.clone())
            .collect();
        unknown.sort();
        unknown.dedup();
        unknown.retain(|user| !self.names.contains_key(user));
        let conversation = self.conversation_mut(conv);
        conversation.is_loading = false;
        messages
            .into_iter()
            .for_each(|message| conversation.add(message));
        if unknown.is_empty() {
            return Vec::new();
        }
        vec![Effect::Ask(Request::Users { users: unknown })]
    }

    fn cursors(&mut self, conv: &ConversationId, cursors: Vec<CursorSummary>) {
        let conversation = self.conversation_mut(conv);
        for summary in cursors {
            conversation.cursor(&summary.cursor);
        }
    }

    /// Looks at a conversation.
    pub(super) fn open(&mut self, id: &ConversationId) -> Vec<Effect> {
        self.open = Some(id.clone());
        self.choice = None;
        self.panel = None;
        self.writing = Writing::New;
        let conversation = self.conversation_mut(id);
        conversation.new_after = conversation.read;
        conversation.is_mentioned = false;
        let mut effects = vec![
            Effect::Ask(Request::Cursors { conv: id.clone() }),
            Effect::Ask(Request::Members { conv: id.clone() }),
        ];
        effects.extend(self.older());
        effects
    }

    /// Older messages of the conversation that is looked at.
    pub(super) fn older(&mut self) -> Vec<Effect> {
        let Some(conversation) = self.current_mut() else {
            return Vec::new();
        };
        let first = conversation.messages.keys().next().copied();
        if conversation.is_loading || first == Some(Seq(1)) {
            return Vec::new();
        }
        conversation.is_loading = true;
        vec![Effect::Ask(Request::History {
            conv: conversation.id.clone(),
            range: first.map_or(HistoryRange::NEWEST, HistoryRange::Before),
            limit: PAGE,
        })]
    }

    /// What is at the end of the open conversation is on the screen.
    fn read_what_is_shown(&mut self) -> Option<Effect> {
        if self.choice.is_some() || self.panel.is_some() {
            return None;
        }
        let conversation = self.current_mut()?;
        let (seq, message) = conversation.messages.last_key_value()?;
        if *seq <= conversation.read {
            return None;
        }
        let message = message.clone();
        conversation.read = *seq;
        Some(Effect::Read(Box::new(message)))
    }

    /// Says that somebody is writing, now and then.
    pub(super) fn say_typing(&mut self, now: Instant) -> Vec<Effect> {
        let recently = self
            .said_typing
            .is_some_and(|said| now < said + TYPING_INTERVAL);
        match (&self.open, recently) {
            (Some(open), false) if !self.composer.text().starts_with('/') => {
                self.said_typing = Some(now);
                vec![Effect::Typing(open.clone(), Toggle::On)]
            }
            (Some(_) | None, _) => Vec::new(),
        }
    }

    pub(super) fn refusal_of(&self, number: usize) -> Option<RejectionCode> {
        let pending = self.current()?.pending.get(number)?;
        pending.refused
    }
}
