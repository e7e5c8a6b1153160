//! The table of clients in `docs/compatibility.md`, made from what the clients themselves list.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use leveret_tests::foreign::Report;

use crate::broker::is_set;

const BEGIN: &str = "<!-- clients: begin -->\n";
const END: &str = "<!-- clients: end -->\n";

/// Fails unless the documented table is this one; `LEVERET_BLESS=1` writes it.
pub(crate) fn check(reports: &[Report]) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let page = std::fs::read_to_string(&path).context("docs/compatibility.md")?;
    let (before, rest) = page
        .split_once(BEGIN)
        .context("no beginning of the table")?;
    let (documented, after) = rest.split_once(END).context("no end of the table")?;
    let table = table(reports)?;
    if is_set("LEVERET_BLESS") {
        return Ok(std::fs::write(
            path,
            [before, BEGIN, &table, END, after].concat(),
        )?);
    }
    ensure!(
        documented == table,
        "docs/compatibility.md is out of date: LEVERET_BLESS=1 writes it"
    );
    Ok(())
}

fn table(reports: &[Report]) -> anyhow::Result<String> {
    let mut table = String::from("| client | version | verbs |\n| --- | --- | --- |\n");
    for Report {
        client,
        version,
        verbs,
    } in reports
    {
        let names: Vec<_> = verbs
            .iter()
            .map(|verb| verb.name.replace('_', " "))
            .collect();
        writeln!(table, "| {client} | {version} | {} |", names.join(", "))?;
    }
    Ok(table)
}
