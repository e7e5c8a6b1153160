//! The architecture, checked: who may import whom, which crates a room may use, no circles, and how
//! long files and functions may become.
//!
//! A failure names the file, the line and the rule. The rules themselves are in `plan`.

mod imports;
mod layers;
mod plan;
mod planted;
mod size;
mod source;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;

use layers::Modules;
use plan::Package;
use source::{Source, Violation};

/// Everything that is wrong with `sources`; each package comes with the crates that it depends on.
fn check(
    sources: &[Source],
    packages: Vec<(&'static Package, BTreeSet<String>)>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut parsed = Vec::new();
    for source in sources {
        match syn::parse_file(&source.text) {
            Ok(file) => parsed.push((source, file)),
            Err(error) => violations.push(Violation {
                path: source.path.clone(),
                line: error.span().start().line,
                rule: format!("cannot be read: {error}"),
            }),
        }
    }
    let files: Vec<_> = parsed
        .iter()
        .map(|(source, file)| (*source, file))
        .collect();
    for (package, dependencies) in packages {
        Modules::read(&files, package, dependencies).check(&mut violations);
    }
    for (source, file) in files {
        size::check(source, file, &mut violations);
    }
    violations.sort();
    violations.dedup();
    violations
}

#[test]
fn the_code_keeps_to_the_plan() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the package lies in the workspace")?;
    let manifest = std::fs::read_to_string(root.join("Cargo.toml"))?;
    let members = manifest
        .lines()
        .find_map(|line| line.strip_prefix("members = "))
        .context("the workspace lists its members")?;
    let mut sources = Vec::new();
    for member in members.split('"').skip(1).step_by(2) {
        sources.extend(source::read_all(root, member)?);
    }
    // One member lies inside another.
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources.dedup_by(|one, other| one.path == other.path);
    let mut packages = Vec::new();
    for package in plan::PACKAGES {
        let is_part = |source: &Source| source.path.starts_with(package.source);
        assert!(sources.iter().any(is_part), "{}", package.source);
        let manifest = std::fs::read_to_string(root.join(package.manifest))?;
        packages.push((package, source::dependencies(&manifest)));
    }
    let violations = check(&sources, packages);
    let report: Vec<_> = violations.iter().map(Violation::to_string).collect();
    assert!(
        report.is_empty(),
        "{} broken:\n{}",
        report.len(),
        report.join("\n")
    );
    Ok(())
}
