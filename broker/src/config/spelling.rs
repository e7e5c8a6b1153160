//! Which known name a mistyped one may stand for.

/// A name of so many characters may have one mistake; of twice as many, two.
const CHARACTERS_PER_MISTAKE: usize = 4;

/// More mistakes than this are another name.
const MISTAKES_MAX: usize = 2;

/// The known name that is most like `name`, if one is much like it. Names may share `prefix`, which
/// says nothing about them.
pub(super) fn nearest<'a>(
    name: &str,
    prefix: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let plain = |name: &str| -> Vec<char> {
        let name = name.strip_prefix(prefix).unwrap_or(name);
        name.to_lowercase().chars().collect()
    };
    let name = plain(name);
    let mistakes_max = (name.len() / CHARACTERS_PER_MISTAKE).min(MISTAKES_MAX);
    known
        .map(|known| (mistakes(&name, &plain(known)), known))
        .min()
        .filter(|(mistakes, _)| *mistakes <= mistakes_max)
        .map(|(_, known)| known.to_owned())
}

/// How many characters must be added, removed, changed or swapped with the next.
fn mistakes(one: &[char], other: &[char]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (above, character) in one.iter().enumerate() {
        let previous = &rows[above];
        let mut row = vec![above + 1];
        for (index, candidate) in other.iter().enumerate() {
            let changed = previous[index] + usize::from(character != candidate);
            let mut least = changed.min(previous[index + 1] + 1).min(row[index] + 1);
            let swapped = above > 0
                && index > 0
                && one[above - 1] == *candidate
                && other[index - 1] == *character;
            if swapped {
                least = least.min(rows[above - 1][index - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<&str>) {
        let known = ["LEVERET_AMQP", "LEVERET_LOG", "LEVERET_LIMITS_FRAME_MAX"];
        let nearest = nearest(name, "LEVERET_", known.into_iter());
        assert_eq!(nearest.as_deref(), expected, "{name}");
    }

    #[test]
    fn a_known_name_is_suggested_for_what_is_nearly_it() {
        check(
            "LEVERET_LIMITS_FRAME_MAXX",
            Some("LEVERET_LIMITS_FRAME_MAX"),
        );
        check("LEVERET_LIMIT_FRAMEMAX", Some("LEVERET_LIMITS_FRAME_MAX"));
        check("LEVERET_AMPQ", Some("LEVERET_AMQP"));
        check("leveret_amqp", None);
        check("LEVERET_", None);
        check("", None);
    }

    #[test]
    fn a_short_name_with_two_differences_is_another_name() {
        for name in ["LEVERET_DOC", "LEVERET_BIN", "LEVERET_URL", "LEVERET_AMZZ"] {
            check(name, None);
        }
    }
}
