//! From what is there to the screen. Pure: it draws on whatever backend it is given.

mod messages;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Wrap};
use unicode_width::UnicodeWidthStr as _;

use super::model::{Connection, Model, Panel, Writing};
use super::slash::HELP;
use crate::message::{Body, PresenceState, Role, Seq, Toggle};
use crate::words::{plain, words};

/// Below this width the list of conversations makes room for the messages.
const NARROW: u16 = 60;
/// Columns of the list.
const LIST: u16 = 24;

/// Whether there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// There are.
    Colours,
    /// There are none, as `NO_COLOR` asks for; what they say is said in letters.
    Plain,
}

impl Theme {
    fn colour(self, colour: Color) -> Style {
        match self {
            Self::Colours => Style::new().fg(colour),
            Self::Plain => Style::new(),
        }
    }
}

/// Draws everything.
pub fn render(frame: &mut Frame<'_>, model: &Model, theme: Theme) {
    let [body, status] =
        Layout::vertical([Constraint::Min(3), Constraint::Length(1)]).areas(frame.area());
    let talk = if body.width < NARROW {
        body
    } else {
        let [list, talk] =
            Layout::horizontal([Constraint::Length(LIST), Constraint::Min(10)]).areas(body);
        conversations(frame, model, theme, list);
        talk
    };
    let lines = u16::try_from(model.composer.text().lines().count()).unwrap_or(1);
    let composer = lines.clamp(1, 6) + 2;
    let [above, below] =
        Layout::vertical([Constraint::Min(1), Constraint::Length(composer)]).areas(talk);
    let block = Block::new().borders(Borders::TOP).title(title(model));
    let inside = block.inner(above);
    frame.render_widget(block, above);
    messages::render(frame, model, theme, inside);
    composer_box(frame, model, theme, below);
    status_line(frame, model, theme, status);
    if let Some(panel) = &model.panel {
        overlay(frame, model, panel, inside);
    }
}

fn title(model: &Model) -> String {
    let Some(conversation) = model.current() else {
        return " nobody yet: /dm @name, /new TITLE @name… ".to_owned();
    };
    let topic = if conversation.topic.is_empty() {
        String::new()
    } else {
        format!(" · {}", conversation.topic)
    };
    let members = if conversation.is_group() {
        format!(" · {} members", conversation.members)
    } else {
        String::new()
    };
    format!(" {}{topic}{members} ", conversation.title)
}

fn conversations(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let block = Block::new()
        .borders(Borders::TOP | Borders::RIGHT)
        .title(format!(" @{} ", model.name));
    let width = usize::from(block.inner(area).width);
    let mut lines = Vec::new();
    for conversation in &model.conversations {
        let is_open = Some(&conversation.id) == model.open.as_ref();
        let unread = conversation.unread();
        let presence = conversation.peer.as_ref();
        let presence = presence.and_then(|peer| model.presence.get(peer));
        let dot = match presence {
            Some(PresenceState::Online) => "●",
            Some(PresenceState::Away) => "◐",
            Some(PresenceState::Offline) | None => " ",
        };
        let mut badge = String::new();
        if conversation.muted == Toggle::On {
            badge.push('z');
        }
        if conversation.is_mentioned {
            badge.push('@');
        }
        if unread > 0 {
            badge.push_str(&unread.to_string());
        }
        let room = width.saturating_sub(badge.width() + 3);
        let name = fit(&conversation.title, room);
        let style = match (is_open, unread > 0) {
            (true, _) => Style::new().add_modifier(Modifier::REVERSED),
            (false, true) => Style::new().add_modifier(Modifier::BOLD),
            (false, false) => Style::new(),
        };
        lines.push(Line::from(vec![
            Span::styled(dot, theme.colour(Color::Green)),
            Span::styled(format!(" {name:<room$} "), style),
            Span::styled(badge, theme.colour(Color::Yellow)),
        ]));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// As much of a text as there is room for.
fn fit(text: &str, room: usize) -> String {
    let mut fitted = String::new();
    for letter in text.chars() {
        let mut longer = fitted.clone();
        longer.push(letter);
        if longer.width() > room {
            break;
        }
        fitted = longer;
    }
    fitted
}

fn composer_box(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let title = match (model.writing, model.writers()) {
        (Writing::Reply(seq), _) => format!(" answer to {seq} · Esc "),
        (Writing::Edit(seq), _) => format!(" other words for {seq} · Esc "),
        (Writing::React(seq), _) => format!(" reaction to {seq} · Esc "),
        (Writing::New, writers) if writers.is_empty() => String::new(),
        (Writing::New, writers) => format!(" {} writing… ", writers.join(", ")),
    };
    let mut block = Block::bordered().title(title);
    if model.choice.is_some() {
        block = block.border_style(theme.colour(Color::DarkGray));
    }
    let inside = block.inner(area);
    let before = model.composer.before();
    let row = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().width();
    let across = column.saturating_sub(usize::from(inside.width.saturating_sub(1)));
    let down = row.saturating_sub(usize::from(inside.height.saturating_sub(1)));
    let small = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    let text = Paragraph::new(plain(&model.composer.text())).scroll((small(down), small(across)));
    frame.render_widget(text.block(block), area);
    if model.choice.is_none() {
        let column = inside.x.saturating_add(small(column - across));
        let row = inside.y.saturating_add(small(row - down));
        frame.set_cursor_position(Position::new(column, row));
    }
}

fn status_line(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let waiting: usize = model
        .conversations
        .iter()
        .map(|one| {
            one.pending
                .iter()
                .filter(|one| one.refused.is_none())
                .count()
        })
        .sum();
    let mut spans = vec![match &model.connection {
        Connection::Connecting => Span::styled("○ connecting ", theme.colour(Color::Yellow)),
        Connection::Connected { peer } => {
            Span::styled(format!("● {peer} "), theme.colour(Color::Green))
        }
        Connection::Away { reason } => {
            let text = format!("✗ no connection, what is written is kept here ({reason}) ");
            Span::styled(text, theme.colour(Color::Red))
        }
    }];
    if waiting > 0 {
        spans.push(Span::raw(format!("· {waiting} to be sent ")));
    }
    if let Some(demo) = &model.demo {
        let serving = if demo.serving { "" } else { " service down" };
        let text = format!(
            "· lost {}, duplicated {}, {}/{} everywhere, killed {}×{serving} · F8 offline F9 kill ",
            demo.lost, demo.duplicated, demo.everywhere, demo.written, demo.kills
        );
        spans.insert(0, Span::styled(text, theme.colour(Color::Cyan)));
        if let Some((who, count)) = &demo.away {
            spans.insert(1, Span::raw(format!("· @{who} is offline, {count} wait ")));
        }
    }
    match &model.remark {
        Some(remark) => spans.insert(0, Span::raw(format!("{} ", plain(remark)))),
        None => spans.push(Span::raw("· F1 help")),
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

fn overlay(frame: &mut Frame<'_>, model: &Model, panel: &Panel, area: Rect) {
    let (title, lines) = match panel {
        Panel::Help => (" help · Esc ", help()),
        Panel::Members(members) => {
            let line = |member: &crate::message::MemberSummary| {
                let role = match member.role {
                    Role::Member => "",
                    Role::Moderator => " moderator",
                    Role::Owner => " owner",
                };
                let state = match model.presence.get(&member.user.user) {
                    Some(PresenceState::Online) => "●",
                    Some(PresenceState::Away) => "◐",
                    Some(PresenceState::Offline) | None => " ",
                };
                Line::from(format!("{state} @{}{role}", member.user.handle))
            };
            (" members · Esc ", members.iter().map(line).collect())
        }
        Panel::Receipts(seq) => (" who has it · Esc ", receipts(model, *seq)),
        Panel::Found(messages) => {
            let line = |message: &crate::message::Message| {
                let from = model.name_of(&message.from);
                Line::from(format!("{from}: {}", plain(&words(&message.body))))
            };
            let lines: Vec<_> = messages.iter().map(line).collect();
            (" found · Esc ", lines)
        }
    };
    let lines = if lines.is_empty() {
        vec![Line::from("nothing")]
    } else {
        lines
    };
    frame.render_widget(Clear, area);
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(text.block(Block::bordered().title(title)), area);
}

fn help() -> Vec<Line<'static>> {
    let line = |(key, does): &(&'static str, &'static str)| {
        Line::from(vec![
            Span::styled(
                format!("{key:<36}"),
                Style::new().add_modifier(Modifier::BOLD),
            ),
            Span::raw(*does),
        ])
    };
    HELP.iter().map(line).collect()
}

fn receipts(model: &Model, seq: Seq) -> Vec<Line<'static>> {
    let Some(conversation) = model.current() else {
        return Vec::new();
    };
    let sender = conversation.messages.get(&seq).map(|message| &message.from);
    let mut lines: Vec<_> = conversation
        .cursors
        .iter()
        .filter(|(user, _)| Some(*user) != sender)
        .map(|(user, (delivered, read))| {
            let state = match (*delivered >= seq, *read >= seq) {
                (_, true) => "✓✓ read",
                (true, false) => "✓✓ received",
                (false, false) => "·  not yet",
            };
            format!("{state:<12} {}", model.name_of(user))
        })
        .collect();
    lines.sort();
    lines.into_iter().map(Line::from).collect()
}

/// What a message says, with the names that are known.
fn said(model: &Model, body: &Body) -> String {
    match body {
        Body::Member { user, .. } => words(body).replace(user.as_str(), &model.name_of(user)),
        _ => words(body),
    }
}
