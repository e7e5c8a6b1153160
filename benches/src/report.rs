//! Results for people and for programs, without mixing the two.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::Serialize;

/// How pages look.
pub(crate) const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
svg{max-width:100%;height:auto}\
table{border-collapse:collapse;width:100%;font-size:.9rem}\
th,td{text-align:right;padding:.3rem .6rem;border-bottom:1px solid #8884}\
th:first-child,td:first-child{text-align:left}\
td.bad{color:#c22;font-weight:600}\
pre{overflow-x:auto;font-size:.8rem;background:#8881;padding:.6rem}\
.dim{opacity:.7}";

/// Where results go: with `--json` the JSON lines have standard output for themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    json: bool,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Lines for people.
    pub(crate) fn lines(&self, lines: &[String]) -> Result<()> {
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        if self.json {
            io::stderr().lock().write_all(text.as_bytes())?;
        } else {
            io::stdout().lock().write_all(text.as_bytes())?;
        }
        Ok(())
    }

    /// One line of JSON, if it was asked for.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<()> {
        if self.json {
            let line = serde_json::to_string(value)?;
            writeln!(io::stdout().lock(), "{line}")?;
        }
        Ok(())
    }
}

/// Today's date, in universal time.
pub(crate) fn today() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    date(now.as_secs() / 86_400)
}

/// The date of a day counted from 1970-01-01, in the Gregorian calendar.
fn date(days: u64) -> String {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut day) = (1970, days);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if day < length {
            break;
        }
        day -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        let cases = [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (20_514, "2026-03-02"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ];
        for (days, expected) in cases {
            assert_eq!(date(days), expected);
        }
    }
}
