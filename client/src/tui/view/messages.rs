//! The messages of the conversation that is looked at.

use std::time::{SystemTime, UNIX_EPOCH};

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthChar as _;

use super::{Theme, said};
use crate::message::{Body, Message, Seq, Timestamp};
use crate::tui::conversation::{Conversation, Mark};
use crate::tui::model::{Choice, Model};
use crate::words::plain;

/// A piece of the screen that belongs together, and what chooses it.
struct Piece {
    choice: Option<Choice>,
    lines: Vec<Line<'static>>,
}

pub(super) fn render(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let Some(conversation) = model.current() else {
        return;
    };
    let pieces = pieces(model, conversation, theme, usize::from(area.width));
    let height = usize::from(area.height);
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut chosen_at = None;
    for piece in pieces {
        if model.choice.is_some() && piece.choice == model.choice {
            chosen_at = Some(lines.len());
        }
        lines.extend(piece.lines);
    }
    // The end, unless what is chosen would be above it.
    let end = lines.len().saturating_sub(height);
    let from = chosen_at.map_or(end, |chosen| end.min(chosen.saturating_sub(height / 3)));
    let shown: Vec<_> = lines.into_iter().skip(from).take(height).collect();
    // A short conversation stands at the bottom, where one writes.
    let free = height.saturating_sub(shown.len());
    let free = u16::try_from(free).unwrap_or(0);
    let below = Rect {
        y: area.y + free,
        height: area.height - free,
        ..area
    };
    frame.render_widget(Paragraph::new(shown), below);
}

fn pieces(model: &Model, conversation: &Conversation, theme: Theme, width: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut day = None;
    let mut is_new_marked = conversation.new_after == Seq::NONE;
    for message in conversation.shown() {
        let this_day = message.ts.seconds() / 86_400;
        if day != Some(this_day) {
            day = Some(this_day);
            pieces.push(rule(
                &date(message.ts),
                width,
                theme.colour(Color::DarkGray),
            ));
        }
        if !is_new_marked && message.seq > conversation.new_after {
            is_new_marked = true;
            pieces.push(rule("new", width, theme.colour(Color::Red)));
        }
        pieces.push(piece(model, conversation, message, theme, width));
    }
    for (number, pending) in conversation.pending.iter().enumerate() {
        let choice = Choice::Pending(number);
        let mark = pending.refused.map_or(Mark::Local, Mark::Rejected);
        let head = format!("{} @{}", time(pending.post.sent_at), model.name);
        let text = plain(&said(model, &pending.post.body));
        let is_chosen = model.choice == Some(choice);
        pieces.push(Piece {
            choice: Some(choice),
            lines: lines(&head, &text, Some(mark), is_chosen, theme, width),
        });
    }
    pieces
}

fn rule(text: &str, width: usize, style: Style) -> Piece {
    let line = format!("── {text} ");
    let rest = width.saturating_sub(line.chars().count());
    Piece {
        choice: None,
        lines: vec![Line::styled(format!("{line}{}", "─".repeat(rest)), style)],
    }
}

fn piece(
    model: &Model,
    conversation: &Conversation,
    message: &Message,
    theme: Theme,
    width: usize,
) -> Piece {
    let choice = Choice::Stored(message.seq);
    let is_own = message.from == model.own.user;
    let mark = is_own.then(|| conversation.mark(message.seq, &model.own.user));
    let head = format!("{} {}", time(message.ts), model.name_of(&message.from));
    let mut text = String::new();
    if let Body::Text(body) = &message.body
        && let Some(seq) = body.reply_to
    {
        text.push_str(&quote(model, conversation, seq));
    }
    match (conversation.edited(message.seq), &message.body) {
        (Some(edited), Body::Text(_)) => {
            text.push_str(&plain(edited));
            text.push_str(" (edited)");
        }
        (_, body) => text.push_str(&plain(&said(model, body))),
    }
    for (emoji, count) in conversation.reactions(message.seq) {
        text.push_str(&format!(" [{} {count}]", plain(emoji)));
    }
    let is_chosen = model.choice == Some(choice);
    Piece {
        choice: Some(choice),
        lines: lines(&head, &text, mark, is_chosen, theme, width),
    }
}

/// The beginning of what is answered.
fn quote(model: &Model, conversation: &Conversation, seq: Seq) -> String {
    let Some(message) = conversation.messages.get(&seq) else {
        return format!("> {seq}\n");
    };
    let text = plain(&said(model, &message.body));
    let beginning: String = text.chars().take(40).collect();
    let beginning = beginning.replace('\n', " ");
    format!("> {}: {beginning}\n", model.name_of(&message.from))
}

fn lines(
    head: &str,
    text: &str,
    mark: Option<Mark>,
    is_chosen: bool,
    theme: Theme,
    width: usize,
) -> Vec<Line<'static>> {
    let style = if is_chosen {
        Style::new().add_modifier(Modifier::REVERSED)
    } else {
        Style::new()
    };
    let (mark, mark_style) = match mark {
        None => (String::new(), Style::new()),
        Some(mark) => written(mark, theme),
    };
    let mut wrapped = wrap(
        &format!("{head}: {text}"),
        width.saturating_sub(2),
        "      ",
    );
    let last = wrapped.pop().unwrap_or_default();
    let mut lines: Vec<_> = wrapped
        .into_iter()
        .map(|line| Line::styled(line, style))
        .collect();
    lines.push(Line::from(vec![
        Span::styled(last, style),
        Span::styled(mark, mark_style),
    ]));
    lines
}

fn written(mark: Mark, theme: Theme) -> (String, Style) {
    let dim = theme.colour(Color::DarkGray);
    match mark {
        Mark::Local => (" ·".to_owned(), dim),
        Mark::Stored { delivered: 0, .. } => (" ✓".to_owned(), dim),
        Mark::Stored { delivered, of } => (format!(" ✓ {delivered}/{of}"), dim),
        Mark::Delivered => (" ✓✓".to_owned(), dim),
        Mark::Read => match theme {
            Theme::Colours => (" ✓✓".to_owned(), theme.colour(Color::Cyan)),
            Theme::Plain => (" ✓✓ read".to_owned(), Style::new()),
        },
        Mark::Rejected(code) => (format!(" ! {code}"), theme.colour(Color::Red)),
    }
}

/// Into lines of at most this width; all but the first are indented.
pub(super) fn wrap(text: &str, width: usize, indent: &str) -> Vec<String> {
    let width = width.max(indent.len() + 4);
    let mut lines = Vec::new();
    for (number, paragraph) in text.split('\n').enumerate() {
        let mut line = if number == 0 {
            String::new()
        } else {
            indent.to_owned()
        };
        let mut used = line.len();
        // Where the line may be broken: after its last space.
        let mut space = None;
        for letter in paragraph.chars() {
            let letter_width = letter.width().unwrap_or(0);
            if used + letter_width > width {
                let rest = match space {
                    Some(at) => line.split_off(at),
                    None => String::new(),
                };
                lines.push(line.trim_end().to_owned());
                line = format!("{indent}{rest}");
                used = line.chars().map(|letter| letter.width().unwrap_or(0)).sum();
                space = None;
            }
            line.push(letter);
            used += letter_width;
            if letter == ' ' {
                space = Some(line.len());
            }
        }
        lines.push(line);
    }
    lines
}

/// Hours and minutes, UTC.
fn time(at: Timestamp) -> String {
    let minutes = at.seconds() / 60;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

/// `2026-11-23`, UTC.
fn date(at: Timestamp) -> String {
    let text = at.to_string();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let today = now.is_ok_and(|now| now.as_secs() / 86_400 == at.seconds() / 86_400);
    if today {
        return "today".to_owned();
    }
    text.chars().take(10).collect()
}
