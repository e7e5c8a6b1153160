//! `leveret config`: what is configured, and what can be.

use std::fmt::Write as _;

use leveret::{Config, ConfigSources, ConfigValue, LoadedConfig};

use super::{Verdict, output};

/// The widest that a value may be before its origin is no longer aligned.
const COLUMN_MAX: usize = 44;

/// Prints every option as TOML, with its origin in a comment; or as JSON.
pub(crate) fn print(config: &LoadedConfig, json: bool) -> anyhow::Result<Verdict> {
    if json {
        output::line(&serde_json::to_string_pretty(&config.values)?)?;
        return Ok(Verdict::Good);
    }
    let lines: Vec<_> = sections(&config.values)
        .map(|(section, name, value)| (section, format!("{name} = {}", value.value), value))
        .collect();
    let widths = lines.iter().map(|(_, line, _)| line.chars().count());
    let column = widths
        .filter(|width| *width <= COLUMN_MAX)
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (section, line, value) in &lines {
        write_section(&mut text, section)?;
        writeln!(text, "{line:column$}  # {}", value.origin)?;
    }
    output::line(text.trim_end())?;
    Ok(Verdict::Good)
}

/// Prints a file with every option at its default and what it is for.
pub(crate) fn example() -> anyhow::Result<Verdict> {
    let defaults = ConfigSources::new(Config::server()).load()?;
    let mut text = String::from("# Every option of Leveret at its default.\n");
    for (section, name, value) in sections(&defaults.values) {
        write_section(&mut text, &section)?;
        writeln!(text, "\n# {}", value.about)?;
        writeln!(text, "# Environment: {}", value.variables.join(", "))?;
        // A password is no example.
        let comment = if value.value.contains("***") {
            "# "
        } else {
            ""
        };
        let shown = value.value.replace("********", "…");
        writeln!(text, "{comment}{name} = {shown}")?;
    }
    output::line(text.trim_end())?;
    Ok(Verdict::Good)
}

/// The options, each with the heading that must precede it if it is the first below one.
fn sections(values: &[ConfigValue]) -> impl Iterator<Item = (Option<&str>, &str, &ConfigValue)> {
    let mut current = "";
    values.iter().map(move |value| {
        let (section, name) = value.key.rsplit_once('.').unwrap_or(("", value.key));
        let heading = (section != current).then_some(section);
        current = section;
        (heading, name, value)
    })
}

fn write_section(text: &mut String, section: &Option<&str>) -> std::fmt::Result {
    match section {
        Some(section) => writeln!(text, "\n[{section}]"),
        None => Ok(()),
    }
}
