//! Which known name a mistyped one may stand for.

/// Spellings this far from a known one are taken for mistakes.
const TYPING_ERRORS_MAX: usize = 2;

/// The known name that is most like `name`, if one is much like it.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let name = name.to_lowercase();
    known
        .map(|known| (distance(&name, &known.to_lowercase()), known))
        .min()
        .filter(|(distance, _)| *distance <= TYPING_ERRORS_MAX)
        .map(|(_, known)| known.to_owned())
}

/// How many characters must be added, removed or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, character) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (index, candidate) in other.iter().enumerate() {
            let changed = diagonal + usize::from(character != *candidate);
            diagonal = row[index + 1];
            row[index + 1] = changed.min(diagonal + 1).min(row[index] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<&str>) {
        let known = ["amqp", "limits.frame_max", "limits.frame_min"];
        assert_eq!(
            nearest(name, known.into_iter()).as_deref(),
            expected,
            "{name}"
        );
    }

    #[test]
    fn a_known_name_is_suggested_for_what_is_nearly_it() {
        check("limits.frame_maxx", Some("limits.frame_max"));
        check("limits.fram_mn", Some("limits.frame_min"));
        check("AMQP", Some("amqp"));
        check("", None);
        check("limits", None);
        check("mqtt", None);
    }
}
