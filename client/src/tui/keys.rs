//! What keys and commands do. Pure.

use std::time::Instant;

use crate::message::{
    Body, ConversationId, Format, GroupChange, GroupSettings, MemberChange, Post, PresenceState,
    ReactionChange, Request, Role, Seq, Text, Timestamp, UserId, UserSummary, mentioned,
};

use super::demo::DemoCommand;
use super::key::Key;
use super::model::{Choice, Effect, Intent, Model, Panel, Writing};
use super::slash::{self, Change, Slash};

/// How far a page goes.
const PAGE: usize = 10;

impl Model {
    pub(super) fn key(&mut self, key: Key, now: Instant) -> Vec<Effect> {
        self.remark = None;
        match key {
            Key::Control('c' | 'q') => return vec![Effect::Quit],
            Key::Function(1) => return self.slash(Slash::Help),
            Key::Function(2) => return self.slash(Slash::Members),
            Key::Function(8) => return self.slash(Slash::Offline),
            Key::Function(9) => return self.slash(Slash::Kill),
            Key::PreviousConversation => return self.step(-1),
            Key::NextConversation => return self.step(1),
            Key::Control('n') => return self.next_unread(),
            Key::Escape if self.panel.is_some() => {
                self.panel = None;
                return Vec::new();
            }
            Key::PageUp => return self.choose_older(PAGE),
            Key::PageDown => return self.choose_newer(PAGE),
            _ => {}
        }
        match self.choice {
            Some(choice) => self.key_on_message(key, choice),
            None => self.key_in_composer(key, now),
        }
    }

    fn key_in_composer(&mut self, key: Key, now: Instant) -> Vec<Effect> {
        match key {
            Key::Char(letter) => {
                self.composer.insert(letter);
                return self.say_typing(now);
            }
            Key::Newline => self.composer.insert('\n'),
            Key::Backspace => self.composer.backspace(),
            Key::Delete => self.composer.delete(),
            Key::Left => self.composer.left(),
            Key::Right => self.composer.right(),
            Key::Home => self.composer.home(),
            Key::End => self.composer.end(),
            Key::Enter => return self.enter(),
            Key::Tab | Key::Up => return self.choose_older(1),
            Key::Escape => {
                self.writing = Writing::New;
                self.composer.take();
            }
            _ => {}
        }
        Vec::new()
    }

    fn key_on_message(&mut self, key: Key, choice: Choice) -> Vec<Effect> {
        match (key, choice) {
            (Key::Up | Key::Char('k'), _) => return self.choose_older(1),
            (Key::Down | Key::Char('j'), _) => return self.choose_newer(1),
            (Key::Char('G') | Key::End | Key::Tab | Key::Escape, _) => self.choice = None,
            (Key::Char('r'), Choice::Stored(seq)) => self.begin(Writing::Reply(seq), ""),
            (Key::Char('+'), Choice::Stored(seq)) => self.begin(Writing::React(seq), ""),
            (Key::Char('e'), Choice::Stored(seq)) => self.begin_edit(seq),
            (Key::Char('d'), Choice::Stored(target)) => {
                self.choice = None;
                return self.say(Body::Delete { target });
            }
            (Key::Char('i') | Key::Enter, Choice::Stored(seq)) => {
                self.panel = Some(Panel::Receipts(seq));
                let conv = self.open.clone();
                return conv
                    .map(|conv| Effect::Ask(Request::Cursors { conv }))
                    .into_iter()
                    .collect();
            }
            (Key::Enter, Choice::Pending(number)) => {
                let why = self.refusal_of(number).map(|code| code.to_string());
                self.remark = why.or_else(|| Some("kept here until it can be sent".to_owned()));
            }
            (Key::Char('s'), Choice::Pending(number)) => return self.send_again(number),
            (Key::Char('x'), Choice::Pending(number)) => {
                if self.refusal_of(number).is_some()
                    && let Some(conversation) = self.current_mut()
                {
                    conversation.pending.remove(number);
                    self.choice = None;
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn begin(&mut self, writing: Writing, text: &str) {
        self.writing = writing;
        self.composer.set(text);
        self.choice = None;
    }

    fn begin_edit(&mut self, seq: Seq) {
        let own = self.own.user.clone();
        let text = self.current().and_then(|conversation| {
            let message = conversation.messages.get(&seq)?;
            match &message.body {
                Body::Text(text) if message.from == own => {
                    Some(conversation.edited(seq).unwrap_or(&text.text).to_owned())
                }
                _ => None,
            }
        });
        match text {
            Some(text) => self.begin(Writing::Edit(seq), &text),
            None => self.remark = Some("only one's own words can be changed".to_owned()),
        }
    }

    /// A refused message, as a new one.
    fn send_again(&mut self, number: usize) -> Vec<Effect> {
        if self.refusal_of(number).is_none() {
            return Vec::new();
        }
        let Some(conversation) = self.current_mut() else {
            return Vec::new();
        };
        let body = conversation.pending.remove(number).post.body;
        self.choice = None;
        self.say(body)
    }

    /// What can be chosen, oldest first.
    fn choices(&self) -> Vec<Choice> {
        let Some(conversation) = self.current() else {
            return Vec::new();
        };
        let stored = conversation
            .shown()
            .map(|message| Choice::Stored(message.seq));
        let pending = (0..conversation.pending.len()).map(Choice::Pending);
        stored.chain(pending).collect()
    }

    fn choose_older(&mut self, steps: usize) -> Vec<Effect> {
        let choices = self.choices();
        let Some(last) = choices.len().checked_sub(1) else {
            return Vec::new();
        };
        let here = self
            .choice
            .and_then(|choice| choices.iter().position(|one| *one == choice));
        let place = match here {
            Some(place) => place.saturating_sub(steps),
            None => (last + 1).saturating_sub(steps),
        };
        self.choice = choices.get(place).copied();
        if place < 2 * PAGE {
            return self.older();
        }
        Vec::new()
    }

    fn choose_newer(&mut self, steps: usize) -> Vec<Effect> {
        let choices = self.choices();
        let here = self
            .choice
            .and_then(|choice| choices.iter().position(|one| *one == choice));
        // Below the newest is where one writes.
        self.choice = here.and_then(|place| choices.get(place + steps).copied());
        Vec::new()
    }

    fn step(&mut self, by: isize) -> Vec<Effect> {
        let here = |one: &super::Conversation| Some(&one.id) == self.open.as_ref();
        let place = self.conversations.iter().position(here).unwrap_or(0);
        let place = place.saturating_add_signed(by);
        match self.conversations.get(place).map(|one| one.id.clone()) {
            Some(id) => self.open(&id),
            None => Vec::new(),
        }
    }

    fn next_unread(&mut self) -> Vec<Effect> {
        let unread = self.conversations.iter().find(|one| one.unread() > 0);
        match unread.map(|one| one.id.clone()) {
            Some(id) => self.open(&id),
            None => Vec::new(),
        }
    }

    fn enter(&mut self) -> Vec<Effect> {
        let text = self.composer.take();
        if let Some(command) = text.strip_prefix('/') {
            return match slash::parse(command) {
                Ok(slash) => self.slash(slash),
                Err(mistake) => {
                    self.remark = Some(mistake);
                    self.composer.set(&text);
                    Vec::new()
                }
            };
        }
        if text.trim().is_empty() {
            return Vec::new();
        }
        let body = match std::mem::take(&mut self.writing) {
            Writing::New => Body::Text(self.text(&text, None)),
            Writing::Reply(seq) => Body::Text(self.text(&text, Some(seq))),
            Writing::Edit(target) => Body::Edit {
                target,
                text,
                format: Format::Plain,
            },
            Writing::React(target) => Body::React {
                target,
                emoji: text.trim().to_owned(),
                change: ReactionChange::Add,
            },
        };
        self.say(body)
    }

    fn text(&self, text: &str, reply_to: Option<Seq>) -> Text {
        let mentioned = mentioned(text);
        let is_meant = |name: &String| mentioned.iter().any(|one| one.as_str() == name);
        let meant = self.names.iter().filter(|(_, name)| is_meant(name));
        let mut mentions: Vec<_> = meant.map(|(user, _)| user.clone()).collect();
        mentions.sort();
        mentions.truncate(crate::message::MENTIONS_MAX);
        Text {
            mentions,
            reply_to,
            ..Text::from(text)
        }
    }

    /// Says something in the conversation that is looked at.
    fn say(&mut self, body: Body) -> Vec<Effect> {
        let Some(conversation) = self.current() else {
            self.remark = Some("nobody to talk to yet: /dm @name".to_owned());
            return Vec::new();
        };
        let (id, peer) = (conversation.id.clone(), conversation.peer.clone());
        match peer {
            Some(peer) => self.send(self.direct(&peer, body)),
            None => self.send(self.to_group(&id, body)),
        }
    }

    fn direct(&self, user: &UserId, body: Body) -> Post {
        let (own, device) = (&self.own.user, &self.own.device);
        Post::to_user(user, own, device, body, Timestamp::now())
    }

    fn to_group(&self, group: &ConversationId, body: Body) -> Post {
        let (own, device) = (&self.own.user, &self.own.device);
        Post::to_group(group, own, device, body, Timestamp::now())
    }

    fn send(&mut self, post: Post) -> Vec<Effect> {
        self.pend(post.clone());
        vec![Effect::Send(Box::new(post))]
    }

    fn slash(&mut self, slash: Slash) -> Vec<Effect> {
        let open = self.open.clone();
        match (slash, open) {
            (Slash::Help, _) => self.panel = Some(Panel::Help),
            (Slash::Quit, _) => return vec![Effect::Quit],
            (Slash::Direct(handle, text), _) => {
                return vec![Effect::Find(handle, Intent::Direct(text))];
            }
            (Slash::New(title, mut left), _) => {
                let known = Vec::new();
                return match left.pop() {
                    Some(next) => vec![Effect::Find(next, Intent::Group { title, known, left })],
                    None => self.new_group(title, known),
                };
            }
            (Slash::Join(id), _) => match id.parse() {
                Ok(group) => {
                    let user = self.own.user.clone();
                    let change = MemberChange::Join;
                    let post = self.to_group(&group, Body::Member { user, change });
                    return vec![Effect::Send(Box::new(post))];
                }
                Err(_) => self.remark = Some("a group's id begins with g_".to_owned()),
            },
            (Slash::Receipts(state), _) => return vec![Effect::Ask(Request::Receipts { state })],
            (Slash::Away, _) => return vec![Effect::Presence(PresenceState::Away)],
            (Slash::Back, _) => return vec![Effect::Presence(PresenceState::Online)],
            (Slash::Search(text), _) => {
                let (conv, limit) = (None, 50);
                return vec![Effect::Ask(Request::Search { text, conv, limit })];
            }
            (Slash::Offline, _) => return self.demonstrate(DemoCommand::Offline),
            (Slash::Kill, _) => return self.demonstrate(DemoCommand::Kill),
            (_, None) => self.remark = Some("no conversation is open".to_owned()),
            (Slash::Member(handle, change), Some(conv)) => {
                let change = match change {
                    Change::Invite => MemberChange::Add { role: Role::Member },
                    Change::Kick => MemberChange::Remove,
                    Change::Ban => MemberChange::Ban,
                    Change::Unban => MemberChange::Unban,
                    Change::Role(role) => MemberChange::Role { role },
                };
                return vec![Effect::Find(handle, Intent::Member(conv, change))];
            }
            (Slash::Title(title), Some(_)) => return self.settings(Some(title), None),
            (Slash::Topic(topic), Some(_)) => return self.settings(None, Some(topic)),
            (Slash::Leave, Some(_)) => {
                let user = self.own.user.clone();
                let change = MemberChange::Leave;
                return self.say(Body::Member { user, change });
            }
            (Slash::Mute(state), Some(conv)) => {
                return vec![Effect::Ask(Request::Mute { conv, state })];
            }
            (Slash::Members, Some(conv)) => {
                self.panel = Some(Panel::Members(Vec::new()));
                return vec![Effect::Ask(Request::Members { conv })];
            }
        }
        Vec::new()
    }

    fn settings(&mut self, title: Option<String>, topic: Option<String>) -> Vec<Effect> {
        let Some(conversation) = self.current().filter(|one| one.is_group()) else {
            self.remark = Some("only groups have titles and topics".to_owned());
            return Vec::new();
        };
        let old = conversation.title.trim_start_matches('#').to_owned();
        let settings = GroupSettings {
            title: title.unwrap_or(old),
            topic: topic.unwrap_or_else(|| conversation.topic.clone()),
            ..conversation.settings.clone()
        };
        self.say(Body::Group(GroupChange::Settings { settings }))
    }

    fn demonstrate(&mut self, command: DemoCommand) -> Vec<Effect> {
        if self.demo.is_none() {
            self.remark = Some("only in a demonstration: leveret-chat demo".to_owned());
            return Vec::new();
        }
        vec![Effect::Demo(command)]
    }

    fn new_group(&mut self, title: String, members: Vec<UserId>) -> Vec<Effect> {
        let group = ConversationId::random_group();
        let settings = GroupSettings {
            title,
            ..GroupSettings::default()
        };
        let create = GroupChange::Create { settings, members };
        let post = self.to_group(&group, Body::Group(create));
        let effects = self.send(post);
        self.open = Some(group);
        effects
    }

    pub(super) fn found(&mut self, user: Option<UserSummary>, intent: Intent) -> Vec<Effect> {
        let Some(user) = user else {
            self.remark = Some("there is nobody of that name".to_owned());
            return Vec::new();
        };
        self.names
            .insert(user.user.clone(), user.handle.to_string());
        match intent {
            Intent::Direct(text) => {
                let id = ConversationId::direct(&self.own.user, &user.user);
                let mut effects = self.open(&id);
                if let Some(conversation) = self.current_mut() {
                    conversation.title = format!("@{}", user.handle);
                    conversation.peer = Some(user.user);
                    conversation.members = conversation.members.max(2);
                }
                if !text.is_empty() {
                    effects.extend(self.say(Body::Text(self.text(&text, None))));
                }
                effects
            }
            Intent::Member(conv, change) => {
                let user = user.user;
                let post = self.to_group(&conv, Body::Member { user, change });
                self.send(post)
            }
            Intent::Group {
                title,
                mut known,
                mut left,
            } => {
                known.push(user.user);
                match left.pop() {
                    Some(next) => vec![Effect::Find(next, Intent::Group { title, known, left })],
                    None => self.new_group(title, known),
                }
            }
        }
    }
}
