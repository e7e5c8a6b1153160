//! How many instructions the hot paths execute, counted by valgrind's callgrind.
//!
//! `cargo bench -p leveret-bench --bench instructions` compares with the baseline and fails if a
//! path got more than 10% worse; with `-- --accept` it writes the baseline anew. Counts, unlike
//! times, do not depend on what else the machine does; they do depend on the compiler and a little
//! on valgrind, so that both are in the baseline, and others skip the comparison and say so.

#![allow(
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    clippy::print_stdout
)]

mod kernels;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use kernels::{KERNELS, Kernel};
use serde::{Deserialize, Serialize};

/// The difference between so many rounds and none is what they cost.
const ROUNDS: u64 = 10_000;
/// How much worse a path may get.
const TOLERANCE: f64 = 0.10;
const BASELINE: &str = "instructions.json";

/// The baseline file.
#[derive(Debug, Serialize, Deserialize)]
struct Baseline {
    rustc: String,
    valgrind: String,
    /// Instructions for one round of each kernel.
    instructions: BTreeMap<String, f64>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["--kernel", name, rounds] => run_kernel(name, rounds),
        _ => compare(arguments.contains(&"--accept")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What runs under valgrind.
fn run_kernel(name: &str, rounds: &str) -> Result<bool> {
    let kernel = KERNELS.iter().find(|kernel| kernel.name == name);
    let mut work = (kernel.context("no such kernel")?.prepare)();
    // The first round fills caches and buffers; it is not counted with the others.
    work(100);
    work(rounds.parse()?);
    Ok(true)
}

fn compare(accept: bool) -> Result<bool> {
    let Some(valgrind) = version("valgrind") else {
        println!("SKIPPED: there is no valgrind, so instructions were NOT counted");
        return Ok(true);
    };
    let rustc = version("rustc").context("no rustc")?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(BASELINE);
    let baseline: Option<Baseline> = match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).context(BASELINE)?),
        Err(_) => None,
    };
    let known = baseline.filter(|_| !accept);
    if let Some(known) = &known
        && (known.rustc != rustc || known.valgrind != valgrind)
    {
        println!(
            "SKIPPED: the baseline was made by {} and {}, here are {rustc} and {valgrind}, so \
             instructions were NOT compared",
            known.rustc, known.valgrind
        );
        return Ok(true);
    }
    let mut instructions = BTreeMap::new();
    let mut worse = Vec::new();
    for kernel in &KERNELS {
        let count = count(kernel)?;
        let before = known
            .as_ref()
            .and_then(|known| known.instructions.get(kernel.name));
        let change = before.map_or_else(String::new, |before| {
            format!("{:+.1} %", 100.0 * (count / before - 1.0))
        });
        println!("{:<16}{count:>10.1} instructions {change:>10}", kernel.name);
        if before.is_some_and(|before| count > before * (1.0 + TOLERANCE)) {
            worse.push(kernel.name);
        }
        instructions.insert(kernel.name.to_owned(), (count * 10.0).round() / 10.0);
    }
    if known.is_none() {
        let baseline = Baseline {
            rustc,
            valgrind,
            instructions,
        };
        std::fs::write(&path, serde_json::to_string_pretty(&baseline)? + "\n")?;
        println!("{} is written", path.display());
    }
    if worse.is_empty() {
        return Ok(true);
    }
    println!(
        "{} got more than 10 % worse. If that is the price of something better, say so in the \
         commit and accept it:\n    cargo bench -p leveret-bench --bench instructions -- --accept",
        worse.join(", ")
    );
    Ok(false)
}

/// Instructions for one round.
fn count(kernel: &Kernel) -> Result<f64> {
    let none = total(kernel, 0)?;
    let all = total(kernel, ROUNDS)?;
    ensure!(all > none, "{} executes nothing", kernel.name);
    Ok((all - none) as f64 / ROUNDS as f64)
}

/// All instructions of the process that does so many rounds.
fn total(kernel: &Kernel, rounds: u64) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let out: PathBuf = folder.path().join("callgrind");
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["--kernel", kernel.name, &rounds.to_string()])
        // The same seeds for every hash, as far as they come from outside.
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .context("running valgrind")?;
    ensure!(
        output.status.success(),
        "valgrind failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read_to_string(&out)?;
    let summary = text.lines().find_map(|line| line.strip_prefix("summary: "));
    let summary = summary.or_else(|| text.lines().find_map(|line| line.strip_prefix("totals: ")));
    let total = summary.context("callgrind wrote no total")?;
    Ok(total.trim().parse()?)
}

/// The first line of what a program says of itself.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(str::to_owned)
}
