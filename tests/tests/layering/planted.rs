//! Each rule, against code that breaks it.

use std::collections::BTreeSet;

use super::check;
use super::plan;
use super::source::Source;

/// The crates that the planted code depends on.
const DEPENDENCIES: [&str; 5] = ["bytes", "leveret_log", "proptest", "sled", "tokio"];

/// A broker whose files are as given; the others hold nothing.
fn broken(files: &[(&str, &str)]) -> Vec<String> {
    let rooms = [
        "broker",
        "config",
        "engine",
        "management",
        "model",
        "queue",
        "session",
        "store",
        "topology",
        "wire",
    ];
    let planted = |path: &str| files.iter().any(|(other, _)| *other == path);
    let mut sources = Vec::new();
    for room in rooms {
        let folder = format!("{room}/");
        let has_children = files.iter().any(|(path, _)| path.starts_with(&folder));
        let path = if has_children {
            format!("{room}/mod.rs")
        } else {
            format!("{room}.rs")
        };
        if !planted(&path) {
            sources.push((path, String::new()));
        }
    }
    if !planted("lib.rs") {
        let declarations = rooms.map(|room| format!("mod {room};"));
        sources.push(("lib.rs".to_owned(), declarations.join("\n")));
    }
    sources.extend(
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned())),
    );
    let sources: Vec<_> = sources
        .into_iter()
        .map(|(path, text)| Source {
            path: format!("broker/src/{path}"),
            text,
        })
        .collect();
    let dependencies: BTreeSet<_> = DEPENDENCIES.map(str::to_owned).into();
    let violations = check(&sources, vec![(&plan::BROKER, dependencies)]);
    violations
        .iter()
        .map(|violation| violation.to_string())
        .collect()
}

fn assert_broken(files: &[(&str, &str)], expected: &[&str]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|line| format!("broker/src/{line}"))
        .collect();
    assert_eq!(broken(files), expected, "{files:?}");
}

#[test]
fn imports_that_run_downward_are_fine() {
    let files = [
        ("model.rs", "use crate::wire::Frame;"),
        (
            "queue.rs",
            "use crate::model::{Message, Seq}; use super::wire;",
        ),
        (
            "engine.rs",
            "use crate::{model, queue::QueueState, store, topology};",
        ),
        (
            "session.rs",
            "use crate::engine::Engine; use tokio::net::TcpStream;",
        ),
        (
            "broker.rs",
            "use crate::config::Config; use crate::session;",
        ),
        ("main.rs", "use leveret::Broker;"),
        (
            "lib.rs",
            "mod wire; mod model; pub use broker::Broker; mod broker;",
        ),
    ];
    assert_broken(&files, &[]);
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    let forms = [
        "use crate::engine::Engine;",
        "use crate::{model::Message, engine};",
        "use super::engine as machine;",
        "use crate::engine::*;",
        "fn f() { crate::engine::start(); }",
        "fn f(engine: &super::engine::Engine) {}",
        "impl crate::engine::Hook for u8 {}",
        "fn f() { println!(\"{}\", crate::engine::NAME); }",
        "fn f() { crate::engine::log!(); }",
        "mod inner { use super::super::engine::Engine; }",
        "#[cfg(test)] mod tests { use crate::engine::Engine; }",
        "pub use crate::engine::Engine;",
    ];
    for form in forms {
        assert_broken(
            &[("queue.rs", form)],
            &["queue.rs:1: `queue` may not import from `engine`"],
        );
    }
}

#[test]
fn the_line_of_an_import_is_named() {
    let text = "//! Doc.\n\nuse crate::model::{\n    Message,\n};\nuse crate::{\n    model,\n    store,\n};\n";
    assert_broken(
        &[("queue/state.rs", text), ("queue/mod.rs", "mod state;")],
        &["queue/state.rs:8: `queue` may not import from `store`"],
    );
}

#[test]
fn siblings_do_not_import_one_another() {
    let siblings = [
        ("topology", "queue"),
        ("queue", "store"),
        ("store", "topology"),
        ("session", "management"),
        ("management", "session"),
    ];
    for (room, sibling) in siblings {
        let path = format!("{room}.rs");
        let expected = format!("{room}.rs:1: `{room}` may not import from `{sibling}`");
        let text = format!("use crate::{sibling}::X;");
        assert_broken(&[(path.as_str(), text.as_str())], &[expected.as_str()]);
    }
}

#[test]
fn only_the_broker_reads_the_configuration() {
    for room in ["engine", "session", "management", "store", "wire"] {
        let path = format!("{room}.rs");
        let expected = format!("{room}.rs:1: `{room}` may not import from `config`");
        assert_broken(
            &[(path.as_str(), "use crate::config::Config;")],
            &[expected.as_str()],
        );
    }
}

#[test]
fn the_binary_sees_the_public_interface_alone() {
    let files = [
        ("main.rs", "mod cli;"),
        (
            "cli.rs",
            "use tokio::runtime::Runtime; use crate::Arguments; use sled::Db;",
        ),
    ];
    assert_broken(&files, &["cli.rs:1: `main` may not use `sled::Db`"]);
}

#[test]
fn a_room_that_the_plan_does_not_know_is_found() {
    assert_broken(
        &[
            ("attic/mod.rs", "mod box_of_things;"),
            ("attic/box_of_things.rs", ""),
        ],
        &[
            "attic/box_of_things.rs:1: `attic` is not in the plan of rooms",
            "attic/mod.rs:1: `attic` is not in the plan of rooms",
        ],
    );
}

#[test]
fn a_crate_is_used_only_where_the_plan_allows_it() {
    let cases = [
        (
            "queue.rs",
            "use tokio::sync::Notify;",
            "`queue` may not use `tokio::sync::Notify`",
        ),
        (
            "topology.rs",
            "fn f() { tokio::spawn(g()); }",
            "`topology` may not use `tokio::spawn`",
        ),
        ("engine.rs", "use sled;", "`engine` may not use `sled`"),
        (
            "wire.rs",
            "use ::tokio::io;",
            "`wire` may not use `tokio::io`",
        ),
        (
            "model.rs",
            "use leveret_log::Log;",
            "`model` may not use `leveret_log::Log`",
        ),
        (
            "store.rs",
            "use tokio::{sync::watch, time};",
            "`store` may not use `tokio::time`",
        ),
        (
            "queue.rs",
            "fn f() { vec![tokio::time::sleep(x)]; }",
            "`queue` may not use `tokio::time::sleep`",
        ),
    ];
    for (path, text, rule) in cases {
        let expected = format!("{path}:1: {rule}");
        assert_broken(&[(path, text)], &[expected.as_str()]);
    }
}

#[test]
fn tests_may_use_what_they_need() {
    let files = [
        ("queue/mod.rs", "mod state;\n#[cfg(test)]\nmod tests;"),
        (
            "queue/state.rs",
            "#[cfg(test)]\nmod tests { use proptest::prelude::*; }",
        ),
        ("queue/tests.rs", "mod world;\nuse proptest::prelude::*;"),
        ("queue/tests/world.rs", "use tokio::runtime::Runtime;"),
        ("store/mod.rs", "mod record;"),
        (
            "store/record.rs",
            "#[cfg(test)]\n#[path = \"record_tests.rs\"]\nmod tests;",
        ),
        ("store/record_tests.rs", "use proptest::prelude::*;"),
    ];
    assert_broken(&files, &[]);
}

#[test]
fn a_local_module_with_the_name_of_a_crate_is_no_crate() {
    assert_broken(
        &[
            ("queue/mod.rs", "mod bytes; use bytes::X;"),
            ("queue/bytes.rs", "pub struct X;"),
        ],
        &[],
    );
}

#[test]
fn modules_that_import_one_another_are_found() {
    let files = [
        ("queue/mod.rs", "mod a; mod b; mod c; mod d; pub use c::C;"),
        ("queue/a.rs", "use super::b::B;"),
        ("queue/b.rs", "use super::C;"),
        ("queue/c.rs", "\nuse crate::queue::a::A;"),
        ("queue/d.rs", "use super::a::A;"),
    ];
    assert_broken(
        &files,
        &[
            "queue/a.rs:1: `queue::a` imports `queue::b` in a circle",
            "queue/b.rs:1: `queue::b` imports `queue::c` in a circle",
            "queue/c.rs:2: `queue::c` imports `queue::a` in a circle",
        ],
    );
}

#[test]
fn a_known_circle_is_let_be_until_it_is_none_any_more() {
    let declared = ("wire/mod.rs", "mod error; mod frame; mod octets;");
    let frame = ("wire/frame.rs", "use super::error::FrameError;");
    let octets = ("wire/octets.rs", "");
    let error = ("wire/error.rs", "use super::frame::LENGTH;");
    assert_broken(&[declared, frame, error, octets], &[]);
    // A third module makes another circle of it.
    let error = ("wire/error.rs", "use super::{frame, octets};");
    let octets = ("wire/octets.rs", "use super::frame::LENGTH;");
    assert_broken(
        &[declared, frame, error, octets],
        &[
            "wire/error.rs:1: `wire::error` imports `wire::octets` in a circle",
            "wire/octets.rs:1: `wire::octets` imports `wire::frame` in a circle",
        ],
    );
    let found = broken(&[declared, frame, ("wire/error.rs", ""), octets]);
    assert_eq!(
        found,
        ["tests/tests/layering/plan.rs:1: wire::error, wire::frame are no circle any more"]
    );
}

#[test]
fn the_way_to_a_circle_is_not_part_of_it() {
    let files = [
        ("queue/mod.rs", "mod a; mod b; mod c; mod d; mod e;"),
        ("queue/a.rs", "use super::b;"),
        ("queue/b.rs", "use super::{a, c};"),
        ("queue/c.rs", "use super::d;"),
        ("queue/d.rs", "use super::e;"),
        ("queue/e.rs", "use super::d;"),
    ];
    assert_broken(
        &files,
        &[
            "queue/a.rs:1: `queue::a` imports `queue::b` in a circle",
            "queue/b.rs:1: `queue::b` imports `queue::a` in a circle",
            "queue/d.rs:1: `queue::d` imports `queue::e` in a circle",
            "queue/e.rs:1: `queue::e` imports `queue::d` in a circle",
        ],
    );
}

#[test]
fn a_circle_may_lie_deep() {
    let files = [
        ("queue/mod.rs", "mod a; mod b;"),
        ("queue/a/mod.rs", "mod deep;"),
        ("queue/a/deep.rs", "use crate::queue::b::B;"),
        ("queue/b.rs", "use super::a;"),
    ];
    assert_broken(
        &files,
        &[
            "queue/a/deep.rs:1: `queue::a` imports `queue::b` in a circle",
            "queue/b.rs:1: `queue::b` imports `queue::a` in a circle",
        ],
    );
}

#[test]
fn parents_children_and_tests_make_no_circle() {
    let files = [
        (
            "queue/mod.rs",
            "mod a; mod b; pub use a::A; pub const C: u8 = 0;",
        ),
        (
            "queue/a.rs",
            "use super::C; #[cfg(test)] mod tests { use crate::queue::b::B; }",
        ),
        ("queue/b.rs", "use super::a::A;"),
    ];
    assert_broken(&files, &[]);
}

#[test]
fn a_file_of_too_many_lines_is_found() {
    let longest = "//\n".repeat(600);
    assert_broken(&[("queue.rs", &longest)], &[]);
    let longer = "//\n".repeat(601);
    assert_broken(
        &[("queue.rs", &longer)],
        &["queue.rs:601: the file has 601 lines of 600"],
    );
}

#[test]
fn a_function_of_too_many_lines_is_found_wherever_it_stands() {
    let function = |lines: usize| {
        let body = "    f();\n".repeat(lines);
        format!("fn long() {{\n    // A comment is no line of code.\n\n{body}}}\n")
    };
    let places = [
        ("", ""),
        ("impl X {\n", "}"),
        ("trait X {\n", "}"),
        ("mod tests {\n", "}"),
        ("proptest! {\n", "}"),
        ("fn outer() {\n", "}"),
    ];
    for (before, after) in places {
        let line = before.lines().count() + 1;
        let wrap = |lines| format!("{before}{}{after}", function(lines));
        let found = broken(&[("queue.rs", &wrap(70))]);
        let found: Vec<_> = found
            .iter()
            .filter(|found| found.contains("`long`"))
            .collect();
        assert!(found.is_empty(), "{found:?}");
        let found = broken(&[("queue.rs", &wrap(71))]);
        let expected = format!("broker/src/queue.rs:{line}: `long` has 71 lines of 70");
        assert!(found.contains(&expected), "{found:?}");
    }
}

#[test]
fn the_lengths_are_checked_in_every_package() {
    let text = "//\n".repeat(601);
    let sources = [
        "tests/tests/x.rs",
        "benches/src/x.rs",
        "broker/log/src/x.rs",
    ]
    .map(|path| Source {
        path: path.to_owned(),
        text: text.clone(),
    });
    assert_eq!(check(&sources, Vec::new()).len(), 3);
}

#[test]
fn a_file_that_cannot_be_read_is_found() {
    let found = broken(&[("queue.rs", "\nfn {")]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("broker/src/queue.rs:2: cannot be read"),
        "{found:?}"
    );
}

#[test]
fn dependencies_are_read_from_the_manifest() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\nahash.workspace = true\n\
                    amq-protocol = \"1\"\n# no-crate\n\n[dev-dependencies]\nproptest = { a = 1 }\n\
                    [lints]\nworkspace = true\n";
    let expected = ["ahash", "amq_protocol", "proptest"].map(str::to_owned);
    assert_eq!(super::source::dependencies(manifest), expected.into());
}

#[test]
fn a_crate_that_is_one_files_business_is_found_in_another() {
    let sources = [
        ("lib.rs", "mod amqp; mod topology; mod store;"),
        ("amqp.rs", "use lapin::Channel;"),
        ("amqp/further.rs", "use lapin::Channel;"),
        ("topology.rs", "use lapin::Channel;"),
        ("store.rs", "use crate::amqp::Link;"),
    ];
    let sources = sources.map(|(path, text)| Source {
        path: format!("chat/src/{path}"),
        text: text.to_owned(),
    });
    let package = plan::PACKAGES
        .iter()
        .find(|package| package.source == "chat/src/")
        .expect("the chat has a plan");
    let violations = check(&sources, vec![(package, ["lapin".to_owned()].into())]);
    let violations: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        violations,
        [
            "chat/src/amqp/further.rs:1: only chat/src/amqp.rs may use `lapin`",
            "chat/src/store.rs:1: `store` may not import from `amqp`",
            "chat/src/topology.rs:1: `topology` may not use `lapin::Channel`",
        ]
    );
}
