//! Messages in words for people. Pure.

use crate::message::{Body, GroupChange, MemberChange};

/// Without what would change the terminal: control characters, and what turns the writing direction.
#[must_use]
pub fn plain(text: &str) -> String {
    let visible = |letter: char| match letter {
        '\n' | '\t' => letter,
        letter if letter.is_control() => '\u{fffd}',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        letter => letter,
    };
    text.chars().map(visible).collect()
}

/// What a message says.
#[must_use]
pub fn words(body: &Body) -> String {
    match body {
        Body::Text(text) => text.text.clone(),
        Body::Edit { target, text, .. } => format!("[{target} now reads] {text}"),
        Body::Delete { target } => format!("[{target} is deleted]"),
        Body::React { target, emoji, .. } => format!("[{emoji} to {target}]"),
        Body::Member { user, change } => {
            let change = match change {
                MemberChange::Join => "has come",
                MemberChange::Leave => "has left",
                MemberChange::Add { .. } => "was brought in",
                MemberChange::Remove => "was sent out",
                MemberChange::Ban => "was banned",
                MemberChange::Unban => "may come back",
                MemberChange::Role { .. } => "has another role",
                MemberChange::Silence { .. } => "was silenced",
            };
            format!("[{user} {change}]")
        }
        Body::Group(GroupChange::Create { settings, .. }) => format!("[#{}]", settings.title),
        Body::Group(GroupChange::Settings { settings }) => {
            format!("[the group is #{} now]", settings.title)
        }
        Body::Erased { .. } => "[gone]".to_owned(),
        Body::Unknown => "[something that this version does not know]".to_owned(),
    }
}
