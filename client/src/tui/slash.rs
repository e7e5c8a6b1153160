//! What stands behind a `/`. Pure.

use crate::message::{Handle, Role, Toggle};

/// What is shown to who asks for help.
pub(super) const HELP: &[(&str, &str)] = &[
    ("Enter", "send; Alt-Enter begins a line"),
    ("Ctrl-↑ Ctrl-↓", "the conversation above, below"),
    ("Ctrl-N", "the next conversation with something unread"),
    (
        "Tab  PgUp PgDn",
        "to the messages and back; through the history",
    ),
    (
        "on a message",
        "r reply  e edit  d delete  + react  i who received and read",
    ),
    ("on a ! message", "Enter why  s send again  x drop"),
    ("/dm @name …", "write to somebody"),
    ("/new TITLE @name…", "make a group"),
    ("/invite /kick /ban /unban @name", "who is in the group"),
    ("/role @name member|moderator|owner", "who may do what"),
    ("/title /topic …", "change the group"),
    ("/join ID  /leave", "come and go"),
    ("/mute on|off  /receipts on|off", "peace and quiet"),
    ("/away  /back", "whether I am here"),
    ("/members  /search …", "who is here; find words"),
    ("/offline  /kill", "in a demonstration: F8, F9"),
    ("Ctrl-C  /quit", "ends"),
];

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slash {
    Help,
    Quit,
    Direct(Handle, String),
    New(String, Vec<Handle>),
    Member(Handle, Change),
    Title(String),
    Topic(String),
    Join(String),
    Leave,
    Mute(Toggle),
    Receipts(Toggle),
    Away,
    Back,
    Members,
    Search(String),
    Offline,
    Kill,
}

/// What is to become of somebody in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Invite,
    Kick,
    Ban,
    Unban,
    Role(Role),
}

fn handle(word: Option<&str>) -> Result<Handle, String> {
    let word = word.ok_or("say whom: @name")?;
    let name = word.trim_start_matches('@');
    name.parse().map_err(|_| format!("{word:?} is no name"))
}

fn toggle(word: Option<&str>) -> Result<Toggle, String> {
    match word {
        None | Some("on") => Ok(Toggle::On),
        Some("off") => Ok(Toggle::Off),
        Some(other) => Err(format!("on or off, not {other:?}")),
    }
}

fn role(word: Option<&str>) -> Result<Role, String> {
    match word {
        Some("member") => Ok(Role::Member),
        Some("moderator" | "admin") => Ok(Role::Moderator),
        Some("owner") => Ok(Role::Owner),
        Some(_) | None => Err("member, moderator or owner".to_owned()),
    }
}

/// Reads what stands behind the `/`; an error is for people.
pub(super) fn parse(text: &str) -> Result<Slash, String> {
    let (command, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let mut words = rest.split_whitespace();
    Ok(match command {
        "help" | "?" => Slash::Help,
        "quit" | "q" => Slash::Quit,
        "dm" => {
            let (name, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let name = Some(name).filter(|name| !name.is_empty());
            Slash::Direct(handle(name)?, text.trim().to_owned())
        }
        "new" => {
            let is_name = |word: &&str| word.starts_with('@');
            let title: Vec<_> = words.clone().filter(|word| !is_name(word)).collect();
            if title.is_empty() {
                return Err("/new TITLE @name…".to_owned());
            }
            let members = words.filter(is_name).map(|word| handle(Some(word)));
            let title = title.join(" ").trim_start_matches('#').to_owned();
            Slash::New(title, members.collect::<Result<_, _>>()?)
        }
        "invite" => Slash::Member(handle(words.next())?, Change::Invite),
        "kick" => Slash::Member(handle(words.next())?, Change::Kick),
        "ban" => Slash::Member(handle(words.next())?, Change::Ban),
        "unban" => Slash::Member(handle(words.next())?, Change::Unban),
        "role" => {
            let who = handle(words.next())?;
            Slash::Member(who, Change::Role(role(words.next())?))
        }
        "title" if !rest.is_empty() => Slash::Title(rest.to_owned()),
        "topic" => Slash::Topic(rest.to_owned()),
        "join" => Slash::Join(rest.to_owned()),
        "leave" => Slash::Leave,
        "mute" => Slash::Mute(toggle(words.next())?),
        "receipts" => Slash::Receipts(toggle(words.next())?),
        "away" => Slash::Away,
        "back" => Slash::Back,
        "members" | "who" => Slash::Members,
        "search" if !rest.is_empty() => Slash::Search(rest.to_owned()),
        "offline" => Slash::Offline,
        "kill" => Slash::Kill,
        other => return Err(format!("/{other} is not known: /help")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_and_mistakes_are_told() {
        let bruno: Handle = "bruno".parse().unwrap();
        let direct = Slash::Direct(bruno.clone(), "oi, bruno".to_owned());
        assert_eq!(parse("dm @bruno oi, bruno"), Ok(direct));
        let new = Slash::New("os dois".to_owned(), vec![bruno.clone()]);
        assert_eq!(parse("new #os dois @bruno"), Ok(new));
        let role = Slash::Member(bruno, Change::Role(Role::Moderator));
        assert_eq!(parse("role @bruno admin"), Ok(role));
        assert_eq!(parse("mute off"), Ok(Slash::Mute(Toggle::Off)));
        for wrong in [
            "dance",
            "role @bruno king",
            "kick",
            "new @bruno",
            "mute maybe",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
