//! `@name` in a text.

use super::id::Handle;

/// The names that a text mentions, each once, in their order. `@` within a word, as in an address of
/// mail, mentions nobody, and a full stop after a name is the sentence's.
#[must_use]
pub fn mentioned(text: &str) -> Vec<Handle> {
    let mut handles: Vec<Handle> = Vec::new();
    let mut before = ' ';
    for (place, letter) in text.char_indices() {
        if letter == '@' && !before.is_alphanumeric() {
            let rest = &text[place + 1..];
            let is_of_name =
                |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
            let end = rest
                .find(|letter| !is_of_name(letter))
                .unwrap_or(rest.len());
            let name = rest[..end].trim_end_matches(['.', '_', '-']);
            if let Ok(handle) = name.to_ascii_lowercase().parse()
                && !handles.contains(&handle)
            {
                handles.push(handle);
            }
        }
        before = letter;
    }
    handles
}

#[cfg(test)]
mod tests {
    use super::mentioned;

    #[test]
    fn names_are_found_and_addresses_of_mail_are_not() {
        let names = |text| {
            let names = mentioned(text).into_iter();
            names.map(|name| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            names("@bruno, come. And you, @Carla.b."),
            ["bruno", "carla.b"]
        );
        assert_eq!(names("(@ana) @ana @ana"), ["ana"]);
        assert!(names("ana@example.org @ @x é@ana").is_empty());
    }
}
