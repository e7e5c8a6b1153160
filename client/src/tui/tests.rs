//! The interface without a terminal: what happens goes in, the screen is read.

use std::time::Instant;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::view::{Theme, render};
use super::*;
use crate::message::properties::BrokerUser;
use crate::message::{
    Body, ConversationId, ConversationKind, ConversationSummary, Cursor, Message, Post, Rejected,
    RejectionCode, Reply, Request, Role, Seq, Timestamp, Toggle, Typing, UserSummary,
};
use crate::session::Notice;

fn own() -> BrokerUser {
    BrokerUser::parse("c.uana.dterm").unwrap()
}

fn bruno() -> UserSummary {
    UserSummary {
        user: "ubruno".parse().unwrap(),
        handle: "bruno".parse().unwrap(),
        name: "Bruno".to_owned(),
        bot: false,
        deleted: false,
    }
}

fn with_bruno() -> ConversationId {
    ConversationId::direct(&own().user, &bruno().user)
}

fn summary(conv: ConversationId, last: u64, read: u64) -> ConversationSummary {
    ConversationSummary {
        kind: conv.kind(),
        settings: (conv.kind() == ConversationKind::Group).then(|| crate::message::GroupSettings {
            title: "geral".to_owned(),
            ..Default::default()
        }),
        peer: (conv.kind() == ConversationKind::Direct).then(bruno),
        conv,
        members: 2,
        role: Role::Member,
        last_seq: Seq(last),
        last: None,
        delivered: Seq(last),
        read: Seq(read),
        unread: last - read,
        muted: Toggle::Off,
    }
}

fn message(conv: &ConversationId, seq: u64, from: &str, body: Body) -> Message {
    let post = Post::to_group(
        conv,
        &from.parse().unwrap(),
        &"dterm".parse().unwrap(),
        body,
        Timestamp::from_milliseconds(1_764_000_000_000 + seq * 60_000),
    );
    stored(&post, seq)
}

fn stored(post: &Post, seq: u64) -> Message {
    Message {
        id: post.id,
        conv: post.conv.clone(),
        seq: Seq(seq),
        from: post.from.clone(),
        ts: post.sent_at,
        sent_at: post.sent_at,
        body: post.body.clone(),
    }
}

struct Screen {
    model: Model,
    now: Instant,
}

impl Screen {
    /// Ana, with bruno and a group with three unread messages.
    fn new() -> Self {
        let model = Model::new(own(), &"ana".parse().unwrap());
        let mut screen = Self {
            model,
            now: Instant::now(),
        };
        let peer = "amqp://here".to_owned();
        screen.notice(Notice::Connected { peer });
        let group = "g_geral".parse().unwrap();
        let conversations = vec![summary(with_bruno(), 1, 1), summary(group, 3, 0)];
        screen.answer(
            Request::Conversations,
            Reply::Conversations { conversations },
        );
        screen
    }

    fn event(&mut self, event: Event) -> Vec<Effect> {
        self.model.update(event, self.now)
    }

    fn notice(&mut self, notice: Notice) -> Vec<Effect> {
        self.event(Event::Notice(notice))
    }

    fn answer(&mut self, request: Request, reply: Reply) -> Vec<Effect> {
        self.event(Event::Answer(Box::new(request), Box::new(reply)))
    }

    fn key(&mut self, key: Key) -> Vec<Effect> {
        self.event(Event::Key(key))
    }

    fn types(&mut self, text: &str) -> Vec<Effect> {
        text.chars().for_each(|letter| {
            self.key(Key::Char(letter));
        });
        self.key(Key::Enter)
    }

    /// Types it, and gives the message that is to be sent.
    fn sends(&mut self, text: &str) -> Post {
        let effects = self.types(text);
        let post = effects.into_iter().find_map(|effect| match effect {
            Effect::Send(post) => Some(*post),
            _ => None,
        });
        post.expect("it is sent")
    }

    fn draw(&self, width: u16, height: u16, theme: Theme) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| render(frame, &self.model, theme))
            .unwrap();
        let buffer = terminal.backend().buffer().clone();
        let line = |row: u16| {
            let cell = |column| buffer[(column, row)].symbol().to_owned();
            (0..width).map(cell).collect::<String>()
        };
        (0..height).map(line).collect()
    }

    fn text(&self) -> String {
        self.draw(100, 24, Theme::Plain).join("\n")
    }
}

#[test]
fn the_mark_of_a_message_goes_from_written_to_read() {
    let mut screen = Screen::new();
    let post = screen.sends("oi, bruno");
    assert_eq!(post.conv, with_bruno());
    assert!(screen.text().contains("oi, bruno ·"), "{}", screen.text());
    screen.notice(Notice::Message(stored(&post, 2)));
    assert!(screen.text().contains("oi, bruno ✓ "), "{}", screen.text());
    for (delivered, read, mark) in [(2, 1, "oi, bruno ✓✓ "), (2, 2, "oi, bruno ✓✓ read")] {
        screen.notice(Notice::Cursor(Cursor {
            conv: with_bruno(),
            user: bruno().user,
            delivered: Seq(delivered),
            read: Seq(read),
        }));
        assert!(screen.text().contains(mark), "{}", screen.text());
    }
}

#[test]
fn what_is_refused_says_why_and_can_be_sent_again_or_dropped() {
    let mut screen = Screen::new();
    let post = screen.sends("too fast");
    let rejected = Rejected::new(post.id, RejectionCode::RateLimited);
    screen.notice(Notice::Rejected(rejected, Box::new(post.clone())));
    assert!(screen.text().contains("too fast ! too many messages"));
    screen.key(Key::Up);
    let effects = screen.key(Key::Char('s'));
    let [Effect::Send(again)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(again.body, post.body);
    assert_ne!(again.id, post.id, "a new message");
    let rejected = Rejected::new(again.id, RejectionCode::Banned);
    screen.notice(Notice::Rejected(rejected, again.clone()));
    screen.key(Key::Up);
    screen.key(Key::Char('x'));
    assert!(!screen.text().contains("too fast"), "{}", screen.text());
}

#[test]
fn unread_messages_are_counted_until_they_are_looked_at() {
    let mut screen = Screen::new();
    let group: ConversationId = "g_geral".parse().unwrap();
    let first = screen.text();
    let line = first.lines().find(|line| line.contains("#geral")).unwrap();
    assert!(line.contains('3'), "{line}");
    let effects = screen.key(Key::NextConversation);
    let asks = |effect: &Effect| matches!(effect, Effect::Ask(Request::History { .. }));
    assert!(effects.iter().any(asks), "{effects:?}");
    let messages = (1..=3).map(|seq| message(&group, seq, "ubruno", Body::text("words")));
    let request = Request::History {
        conv: group.clone(),
        range: crate::message::HistoryRange::NEWEST,
        limit: 100,
    };
    let messages = messages.collect();
    let effects = screen.answer(request, Reply::Messages { messages });
    let reads = |effect: &Effect| matches!(effect, Effect::Read(last) if last.seq == Seq(3));
    assert!(effects.iter().any(reads), "{effects:?}");
    let line = screen.text();
    let line = line.lines().find(|line| line.contains("#geral")).unwrap();
    assert!(!line[..24].contains('3'), "{line}");
    // Somewhere else, a new message counts again; one that mentions ana says so.
    screen.key(Key::PreviousConversation);
    let text = crate::message::Text {
        mentions: vec![own().user],
        ..crate::message::Text::from("@ana?")
    };
    screen.notice(Notice::Message(message(
        &group,
        4,
        "ubruno",
        Body::Text(text),
    )));
    let line = screen.text();
    let line = line.lines().find(|line| line.contains("#geral")).unwrap();
    assert!(line.contains("@1"), "{line}");
}

#[test]
fn an_edit_changes_the_line_and_a_deletion_takes_the_words() {
    let mut screen = Screen::new();
    let conv = with_bruno();
    let say = |seq, body| Notice::Message(message(&conv, seq, "ubruno", body));
    screen.notice(say(2, Body::text("fisrt words")));
    screen.notice(say(
        3,
        Body::Edit {
            target: Seq(2),
            text: "first words".to_owned(),
            format: crate::message::Format::Plain,
        },
    ));
    let text = screen.text();
    assert!(text.contains("first words (edited)") && !text.contains("fisrt"));
    screen.notice(say(4, Body::Delete { target: Seq(2) }));
    let text = screen.text();
    assert!(
        text.contains("[gone]") && !text.contains("first words"),
        "{text}"
    );
}

#[test]
fn a_message_can_be_answered_changed_and_reacted_to_by_keys() {
    let mut screen = Screen::new();
    let mine = screen.sends("mien");
    screen.notice(Notice::Message(stored(&mine, 2)));
    screen.key(Key::Up);
    screen.key(Key::Char('e'));
    for _ in 0..4 {
        screen.key(Key::Backspace);
    }
    let edit = screen.sends("mine");
    assert!(matches!(edit.body, Body::Edit { target: Seq(2), .. }));
    screen.notice(Notice::Message(stored(&edit, 3)));
    screen.notice(Notice::Message(message(
        &with_bruno(),
        4,
        "ubruno",
        Body::text("question?"),
    )));
    screen.key(Key::Up);
    screen.key(Key::Char('r'));
    let answer = screen.sends("answer @bruno");
    let Body::Text(text) = answer.body else {
        panic!("a text");
    };
    assert_eq!(text.reply_to, Some(Seq(4)));
    assert_eq!(text.mentions, [bruno().user]);
    let typing = Typing {
        from: bruno().user,
        dev: "dx".parse().unwrap(),
        conv: with_bruno(),
        state: Toggle::On,
    };
    screen.notice(Notice::Typing(typing));
    assert!(screen.text().contains("@bruno writing…"));
    screen.now += std::time::Duration::from_secs(6);
    screen.event(Event::Tick);
    assert!(!screen.text().contains("writing…"));
}

#[test]
fn commands_do_what_they_say_and_mistakes_are_kept_to_be_mended() {
    let mut screen = Screen::new();
    let effects = screen.types("/dm @bruno oi");
    let [Effect::Find(handle, intent)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(handle.as_str(), "bruno");
    let effects = screen.event(Event::Found(Some(bruno()), intent.clone()));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Send(_)))
    );
    let effects = screen.types("/receipts off");
    let state = Toggle::Off;
    assert_eq!(effects, [Effect::Ask(Request::Receipts { state })]);
    screen.types("/dance");
    let text = screen.text();
    assert!(
        text.contains("/dance is not known") && text.contains("│/dance"),
        "{text}"
    );
    screen.key(Key::Escape);
    assert_eq!(screen.types("/quit"), [Effect::Quit]);
    screen.types("/kill");
    assert!(screen.text().contains("only in a demonstration"));
    screen.event(Event::Demo(DemoStatus {
        serving: true,
        ..DemoStatus::default()
    }));
    assert!(screen.text().contains("lost 0, duplicated 0"));
    let kill = Effect::Demo(DemoCommand::Kill);
    assert_eq!(screen.key(Key::Function(9)), [kill]);
}

#[test]
fn what_others_write_cannot_reach_the_terminal_itself() {
    let mut screen = Screen::new();
    let evil = Body::text("red\u{1b}[31m \u{202e}backwards\u{7}");
    screen.notice(Notice::Message(message(&with_bruno(), 2, "ubruno", evil)));
    let text = screen.text();
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}') && !text.contains('\u{7}'));
}

#[test]
fn without_a_connection_the_screen_says_that_nothing_is_lost() {
    let mut screen = Screen::new();
    let reason = crate::transport::ConnectError::Unreachable {
        peer: "here".to_owned(),
        reason: "refused".to_owned(),
    };
    screen.notice(Notice::Disconnected { reason });
    screen.sends("later, then");
    let text = screen.text();
    assert!(text.contains("no connection, what is written is kept here"));
    assert!(text.contains("later, then ·"), "{text}");
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        any::<char>().prop_map(Key::Char),
        "[/a-z@ ]".prop_map(|text| Key::Char(text.chars().next().unwrap_or(' '))),
        prop::sample::select(vec![
            Key::Enter,
            Key::Newline,
            Key::Backspace,
            Key::Delete,
            Key::Left,
            Key::Right,
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::PageDown,
            Key::Home,
            Key::End,
            Key::Tab,
            Key::Escape,
            Key::NextConversation,
            Key::PreviousConversation,
            Key::Function(1),
            Key::Function(2),
            Key::Control('n'),
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_key_and_no_size_brings_it_down(
        keys in prop::collection::vec(key(), 0..80),
        texts in prop::collection::vec(".{0,60}", 0..12),
        width in 1_u16..90,
        height in 1_u16..30,
    ) {
        let mut screen = Screen::new();
        for (seq, text) in (2..).zip(&texts) {
            let body = Body::text(text);
            screen.notice(Notice::Message(message(&with_bruno(), seq, "ubruno", body)));
        }
        for key in keys {
            screen.key(key);
            screen.draw(width, height, Theme::Colours);
        }
    }
}
