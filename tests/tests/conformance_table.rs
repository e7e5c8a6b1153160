//! The compatibility page answers for every line of the specification: which test proves it, and on
//! what. Its tables are made from the tests' doc comments, so that they cannot go stale unseen.
//!
//! `UPDATE_TABLE=1 cargo test -p leveret-tests --test conformance_table` rewrites them.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use leveret_tests::differences::{ACCEPTED, DIFFERENCES, RABBITMQS_WAY};

/// A test function whose doc comment names lines of the specification.
#[derive(Debug, PartialEq, Eq)]
struct Proof {
    test: String,
    lines: Vec<String>,
    on_both: bool,
}

/// A line of the specification, from `lines.txt`.
#[derive(Debug)]
struct Line {
    number: String,
    about: String,
    exempt: Option<String>,
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files under `tests/` but this one, sorted.
fn sources() -> Vec<(PathBuf, String)> {
    let mut open = vec![package().join("tests")];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder of tests") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("conformance_table.rs")
            {
                let text = fs::read_to_string(&path).expect("a source file");
                files.push((path, text));
            }
        }
    }
    files.sort();
    files
}

/// The numbers that a doc comment names as in `Spec 1.2.3.`
fn numbers(comment: &str) -> Vec<String> {
    let named = comment.split("Spec ").skip(1).map(|rest| {
        let end = rest
            .find(|c: char| c != '.' && !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..end].trim_end_matches('.').to_owned()
    });
    named.filter(|number| !number.is_empty()).collect()
}

fn function_name(line: &str) -> Option<&str> {
    let rest = line
        .strip_prefix("async fn ")
        .or_else(|| line.strip_prefix("fn "))?;
    rest.split(['(', '<']).next()
}

/// What a test that asks both brokers calls, where its file does not say that all of its tests do.
const ASKS_BOTH: [&str; 6] = [
    "Api::all()",
    "Api::rabbitmq()",
    "run(&[",
    "on_both(",
    "on_each(",
    "with_both(",
];

/// The documented tests of one file.
fn proofs_in(file: &str, text: &str) -> Vec<Proof> {
    let on_both = text.contains("on_both_targets![");
    let (mut comment, mut proofs) = (String::new(), Vec::<Proof>::new());
    // Whether the lines that are read belong to the last proof.
    let mut inside = false;
    for line in text.lines().map(str::trim_start) {
        if let Some(more) = line.strip_prefix("///") {
            comment.push_str(more);
        } else if let Some(name) = function_name(line) {
            let lines = numbers(&std::mem::take(&mut comment));
            inside = !lines.is_empty();
            if inside {
                proofs.push(Proof {
                    test: format!("{file}::{name}"),
                    lines,
                    on_both,
                });
            }
        } else if !line.starts_with('#') {
            comment.clear();
            if let Some(proof) = proofs.last_mut()
                && inside
                && ASKS_BOTH.iter().any(|call| line.contains(call))
            {
                proof.on_both = true;
            }
        }
    }
    proofs
}

fn proofs() -> Vec<Proof> {
    let of_file = |(path, text): (PathBuf, String)| {
        proofs_in(
            &path.file_stem().unwrap_or_default().to_string_lossy(),
            &text,
        )
    };
    sources().into_iter().flat_map(of_file).collect()
}

fn lines() -> Vec<Line> {
    let text = include_str!("conformance/lines.txt");
    let read = |line: &str| {
        let (line, exempt) = match line.split_once(" -- ") {
            Some((line, exempt)) => (line, Some(exempt.to_owned())),
            None => (line, None),
        };
        let (number, about) = line.split_once(' ').expect("a number and what it is about");
        Line {
            number: number.to_owned(),
            about: about.to_owned(),
            exempt,
        }
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(read)
        .collect()
}

fn coverage_table(lines: &[Line], proofs: &[Proof]) -> String {
    let mut table = String::from("| line | about | proved by | on |\n| --- | --- | --- | --- |\n");
    for Line {
        number,
        about,
        exempt,
    } in lines
    {
        let of_line: Vec<_> = proofs
            .iter()
            .filter(|proof| proof.lines.contains(number))
            .collect();
        let names: Vec<_> = of_line
            .iter()
            .map(|proof| format!("`{}`", proof.test))
            .collect();
        let on = match (
            of_line.is_empty(),
            of_line.iter().any(|proof| proof.on_both),
        ) {
            (true, _) => "",
            (false, true) => "Leveret, RabbitMQ",
            (false, false) => "Leveret",
        };
        let by = match exempt {
            Some(reason) if names.is_empty() => reason.clone(),
            _ => names.join(", "),
        };
        writeln!(table, "| {number} | {about} | {by} | {on} |").expect("a string takes it");
    }
    table
}

fn differences_table() -> String {
    let mut table =
        String::from("| line | RabbitMQ 4.3 | Leveret | why |\n| --- | --- | --- | --- |\n");
    for difference in DIFFERENCES {
        let (line, reason) = (difference.line, difference.reason);
        let (rabbitmq, leveret) = (difference.rabbitmq, difference.leveret);
        writeln!(table, "| {line} | {rabbitmq} | {leveret} | {reason} |").expect("a string");
    }
    table
}

fn ways_table() -> String {
    let mut table =
        String::from("| line | how RabbitMQ's behaviour is to be had |\n| --- | --- |\n");
    for (line, way) in RABBITMQS_WAY {
        writeln!(table, "| {line} | {way} |").expect("a string");
    }
    table
}

fn accepted_table() -> String {
    let mut table = String::from(
        "| line | at a step like | RabbitMQ 4.3 says | Leveret says | why |\n| --- | --- | --- | --- | --- |\n",
    );
    for accepted in ACCEPTED {
        let (line, step, reason) = (accepted.line, accepted.step, accepted.reason);
        let said = |text: &str| match text {
            "" => "whatever".to_owned(),
            text => format!("`{text}`"),
        };
        let (rabbitmq, leveret) = (said(accepted.rabbitmq), said(accepted.leveret));
        writeln!(
            table,
            "| {line} | `{step}` | {rabbitmq} | {leveret} | {reason} |"
        )
        .expect("a string");
    }
    table
}

/// `page` with what lies between the markers of `name` replaced.
fn with_section(page: &str, name: &str, content: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- {name}: begin -->\n"),
        format!("<!-- {name}: end -->"),
    );
    let (head, rest) = page.split_once(&begin)?;
    let (_, tail) = rest.split_once(&end)?;
    Some(format!("{head}{begin}{content}{end}{tail}"))
}

#[test]
fn every_line_has_a_test_or_a_reason() {
    let proofs = proofs();
    let proved: BTreeSet<_> = proofs.iter().flat_map(|proof| &proof.lines).collect();
    let open: Vec<_> = lines()
        .into_iter()
        .filter(|line| line.exempt.is_none() && !proved.contains(&line.number))
        .map(|line| format!("{} {}", line.number, line.about))
        .collect();
    assert!(
        open.is_empty(),
        "no test and no reason for:\n{}",
        open.join("\n")
    );
}

#[test]
fn tests_name_only_lines_that_exist() {
    let known: BTreeSet<_> = lines().into_iter().map(|line| line.number).collect();
    let unknown: Vec<_> = proofs()
        .into_iter()
        .filter(|proof| !proof.lines.iter().all(|line| known.contains(line)))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(
        DIFFERENCES
            .iter()
            .all(|difference| known.contains(difference.line))
    );
    assert!(
        ACCEPTED
            .iter()
            .all(|accepted| known.contains(accepted.line))
    );
}

#[test]
fn every_difference_says_how_rabbitmqs_behaviour_is_to_be_had() {
    let differing = DIFFERENCES.iter().map(|difference| difference.line);
    let differing = differing.chain(ACCEPTED.iter().map(|accepted| accepted.line));
    let silent: BTreeSet<_> = differing
        .filter(|line| !RABBITMQS_WAY.iter().any(|(known, _)| known == line))
        .collect();
    assert!(silent.is_empty(), "{silent:?} are not in RABBITMQS_WAY");
}

#[test]
fn a_line_that_is_tested_gives_no_reason_why_not() {
    let proofs = proofs();
    let tested = |line: &Line| {
        proofs
            .iter()
            .any(|proof| proof.lines.contains(&line.number))
    };
    let lines = lines();
    let both = lines.iter().filter(|line| {
        line.exempt
            .as_ref()
            .is_some_and(|why| why.starts_with("not tested"))
            && tested(line)
    });
    assert_eq!(
        both.map(|line| &line.number).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
}

#[test]
fn every_difference_is_looked_up_by_a_test_and_listed_once() {
    let all: String = sources().into_iter().map(|(_, text)| text).collect();
    let looked_up = |line: &str| {
        all.split("differs(").skip(1).any(|call| {
            call.trim_start().strip_prefix('"').is_some_and(|rest| {
                rest.strip_prefix(line)
                    .is_some_and(|rest| rest.starts_with('"'))
            })
        })
    };
    let mut counts = BTreeMap::new();
    for difference in DIFFERENCES {
        *counts.entry(difference.line).or_insert(0) += 1;
        assert!(
            looked_up(difference.line),
            "no test looks up {}",
            difference.line
        );
    }
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

#[test]
fn the_compatibility_page_is_up_to_date() {
    let path = package().join("../docs/compatibility.md");
    let page = fs::read_to_string(&path).expect("docs/compatibility.md");
    let page = page.replace("\r\n", "\n");
    let wanted = with_section(&page, "table", &coverage_table(&lines(), &proofs()))
        .and_then(|page| with_section(&page, "differences", &differences_table()))
        .and_then(|page| with_section(&page, "accepted", &accepted_table()))
        .and_then(|page| with_section(&page, "ways", &ways_table()))
        .expect("all sections have their markers");
    if env::var("UPDATE_TABLE").is_ok_and(|value| value == "1") {
        fs::write(&path, &wanted).expect("the page can be written");
    } else {
        assert!(
            wanted == page,
            "run this test with UPDATE_TABLE=1 and look at the difference"
        );
    }
}

/// The last word on what was not run; past the harness's capture, like each suite's own line.
#[test]
fn the_number_of_skipped_parity_tests_is_said() {
    let parity = proofs().iter().filter(|proof| proof.on_both).count();
    assert!(parity > 250, "only {parity} tests run on both targets");
    let say = |target: &str| {
        let line = format!("SKIPPED: {parity} tests were not run on {target}\n");
        // Nothing can be done about a closed standard error.
        let _ = std::io::stderr().write_all(line.as_bytes());
    };
    if env::var_os("RABBITMQ_URL").is_none() {
        say("RabbitMQ");
        let required = env::var("LEVERET_REQUIRE_RABBITMQ").is_ok_and(|value| value == "1");
        assert!(!required, "RABBITMQ_URL is not set");
    }
}

#[test]
fn numbers_and_functions_are_read_from_a_source() {
    let source = "\
/// Spec 1.2.3. Spec 4.5. And a word.
#[test]
fn one() {}

/// Nothing named.
fn two() {}

/// Spec 9.9.

async fn three() {}
/// On two lines:
/// Spec 6.1.
    async fn four<T>() {
        for api in Api::all()? {
        }
    }
fn helper() {
    on_both(five)
}
";
    let read = proofs_in("file", source);
    let expected = |name: &str, lines: &[&str], on_both| Proof {
        test: format!("file::{name}"),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        on_both,
    };
    assert_eq!(
        read,
        [
            expected("one", &["1.2.3", "4.5"], false),
            expected("four", &["6.1"], true)
        ]
    );
}
