//! `chat bench`: what a service takes and how fast, with people of its own. It knows a URL alone, so that
//! the same command measures a service on the embedded broker and one on RabbitMQ.

mod crowd;
mod measure;

use std::io::{self, Write as _};
use std::time::Duration;

use hdrhistogram::Histogram;
use leveret_client::trust::Trust;
use serde::Serialize;

use self::crowd::Crowd;
use super::Failure;
use super::arguments::{BenchOptions, Measurement};

/// One figure, or several of one kind.
#[derive(Debug, Default, Serialize)]
struct Row {
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ms: Option<f64>,
}

/// Times, in microseconds.
struct Times(Histogram<u64>);

impl Times {
    fn new() -> Self {
        // One microsecond to ten minutes, three digits: a good range by the library's own rules.
        Self(Histogram::new_with_bounds(1, 600_000_000, 3).expect("a good range"))
    }

    fn note(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    fn row(&self, what: &'static str) -> Row {
        let milliseconds = |micros: u64| {
            let micros = u32::try_from(micros).unwrap_or(u32::MAX);
            Some(f64::from(micros) / 1000.0)
        };
        Row {
            what,
            count: Some(self.0.len()),
            p50_ms: milliseconds(self.0.value_at_quantile(0.5)),
            p99_ms: milliseconds(self.0.value_at_quantile(0.99)),
            max_ms: milliseconds(self.0.max()),
            ..Row::default()
        }
    }
}

fn rate(what: &'static str, count: u64, time: Duration) -> Row {
    let seconds = time.as_secs_f64();
    let number = u32::try_from(count).map_or(f64::MAX, f64::from);
    Row {
        what,
        count: Some(count),
        seconds: Some(seconds),
        per_second: Some(number / seconds),
        ..Row::default()
    }
}

fn print(row: &Row, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, row)?;
        out.write_all(b"\n")?;
        return out.flush();
    }
    let mut line = format!("{:<44}", row.what);
    let figures = [
        (row.count.map(|count| count.to_string()), ""),
        (row.seconds.map(|seconds| format!("{seconds:.2}")), " s"),
        (row.per_second.map(|rate| format!("{rate:.0}")), "/s"),
        (row.p50_ms.map(|time| format!("p50 {time:.2}")), " ms"),
        (row.p99_ms.map(|time| format!("p99 {time:.2}")), " ms"),
        (row.max_ms.map(|time| format!("max {time:.2}")), " ms"),
    ];
    for (figure, unit) in figures {
        if let Some(figure) = figure {
            line.push_str(&format!("  {figure}{unit}"));
        }
    }
    writeln!(out, "{line}")?;
    out.flush()
}

pub(crate) async fn run(options: BenchOptions, trust: &Trust, json: bool) -> Result<(), Failure> {
    let wants = |what| options.only.is_empty() || options.only.contains(&what);
    let mut crowd = Crowd::new(&options.url, trust)?;
    let mut all = Vec::new();
    let mut take = |rows: Vec<Row>| -> io::Result<()> {
        for row in rows {
            print(&row, json)?;
            all.push(row);
        }
        Ok(())
    };
    if wants(Measurement::Sends) {
        take(measure::sends(&mut crowd, options.senders, options.sends).await?)?;
    }
    if wants(Measurement::Latency) {
        take(measure::latency(&mut crowd, options.messages).await?)?;
    }
    if wants(Measurement::Backlog) {
        take(measure::backlog(&mut crowd, options.backlog).await?)?;
    }
    if wants(Measurement::Group) {
        take(measure::group(&mut crowd, options.members, options.group_messages).await?)?;
    }
    crowd.leave().await
}
