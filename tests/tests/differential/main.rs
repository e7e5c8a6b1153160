//! Generated scripts of AMQP, played on Leveret and on RabbitMQ at once: whatever both tell must be the same.
//!
//! `LEVERET_SCRIPTS=20000 LEVERET_SEED=1 cargo test -p leveret-tests --test differential generated` plays as many,
//! from that seed on. A script that ends in a difference is made smaller and printed; what is printed can be
//! saved in `tests/tests/differential/regressions` and is played from then on. Differences that are meant are in
//! `leveret_tests::differences::ACCEPTED`. With `LEVERET_MIRROR` set, RabbitMQ is played against itself: what differs then
//! is nobody's promise.

mod generate;
mod http;
mod method;
mod play;
mod script;
mod seen;
mod shrink;
mod side;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, stream};
use leveret_tests::target::{Running, Target};

use play::{Divergence, Ending, Stage, play};
use script::Script;

/// Scripts in a usual run.
const SCRIPTS: u64 = 300;

/// The seed of the first one.
const SEED: u64 = 1;

/// Played at once: most of the time they wait. `LEVERET_AT_ONCE` has another say.
const AT_ONCE: u64 = 12;

/// How long two brokers may disagree.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same, while a script that diverged is made smaller.
const SHORT_PATIENCE: Duration = Duration::from_millis(700);

/// For making one script smaller.
const SHRINKING: Duration = Duration::from_secs(60);

/// As many are made smaller, each of another kind; the others are only printed. `LEVERET_SHRINK` has another say.
const SHRUNK_MAX: u64 = 3;

/// Past the harness's capture: it says what was not tested, and what the figures are.
fn say(line: &str) {
    // Nothing can be done about a closed standard error.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn number(variable: &str, default: u64) -> u64 {
    let given = env::var(variable).ok();
    given.map_or(default, |given| given.parse().expect("a number"))
}

/// Runs `test` with both brokers, if both are to be had.
fn with_both<F: Future<Output = Result<()>>>(test: impl FnOnce(Stage) -> F) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (leveret, rabbitmq) = match (
            Target::Leveret.start().await?,
            Target::RabbitMq.start().await?,
        ) {
            (Ok(leveret), Ok(rabbitmq)) => (leveret, rabbitmq),
            (Err(absence), _) | (_, Err(absence)) => {
                ensure!(!Target::RabbitMq.is_required(), absence);
                say(&format!("SKIPPED: differential scripts: {absence}"));
                return Ok(());
            }
        };
        let mirrored = env::var("LEVERET_MIRROR").is_ok();
        let stage = Stage {
            leveret: if mirrored { &rabbitmq } else { &leveret }.address.clone(),
            rabbitmq: rabbitmq.address.clone(),
            patience: PATIENCE,
        };
        let outcome = test(stage).await;
        Running::stop(leveret).await?;
        outcome
    })
}

/// What a report says about a divergence: how to see it again, and a script to keep.
fn describe(seed: u64, script: &Script, divergence: &Divergence) -> String {
    format!(
        "\nLEVERET_SEED={seed} LEVERET_SCRIPTS=1 cargo test -p leveret-tests --test differential generated\n\
         {divergence}# {seed}\n{script}"
    )
}

/// Plays one script; one that diverges does so twice, since a broker may have been late once.
async fn play_surely(stage: &Stage, script: &Script) -> Result<Ending> {
    let ending = play(stage, script).await?;
    if let Ending::Differ(divergence) = &ending {
        let again = play(stage, script).await?;
        if !matches!(again, Ending::Differ(_)) {
            say(&format!("seen once and not again:\n{divergence}{script}"));
        }
        return Ok(again);
    }
    Ok(ending)
}

async fn play_generated(stage: Stage) -> Result<()> {
    let (count, first) = (
        number("LEVERET_SCRIPTS", SCRIPTS),
        number("LEVERET_SEED", SEED),
    );
    let seeds = stream::iter(first..first + count);
    let plays = seeds.map(|seed| {
        let stage = stage.clone();
        async move {
            let script = generate::script(seed);
            let ending = play_surely(&stage, &script).await;
            ending
                .map(|ending| (seed, script, ending))
                .with_context(|| format!("LEVERET_SEED={seed}"))
        }
    });
    let at_once = usize::try_from(number("LEVERET_AT_ONCE", AT_ONCE)).unwrap_or(1);
    let mut plays = plays.buffer_unordered(at_once);
    let (mut accepted, mut differ) = (BTreeMap::<&str, usize>::new(), Vec::new());
    while let Some(played) = plays.next().await {
        let (seed, script, ending) = played?;
        match ending {
            Ending::Alike => {}
            Ending::Accepted(difference) => *accepted.entry(difference.line).or_default() += 1,
            Ending::Differ(divergence) => {
                say(&format!("{seed} differs: {divergence}"));
                differ.push((seed, script, divergence));
            }
        }
    }
    say(&format!(
        "{count} scripts from seed {first}: {} differ; ended at accepted differences: {accepted:?}",
        differ.len()
    ));
    ensure!(differ.is_empty(), report(&stage, differ).await);
    Ok(())
}

async fn report(stage: &Stage, mut differ: Vec<(u64, Script, Divergence)>) -> String {
    let stage = Stage {
        patience: SHORT_PATIENCE,
        ..stage.clone()
    };
    let mut report = format!("{} scripts differ", differ.len());
    let mut kinds = BTreeMap::<Vec<String>, Vec<u64>>::new();
    for (seed, _, divergence) in &differ {
        kinds.entry(divergence.kind()).or_default().push(*seed);
    }
    let first = |seed: &u64| kinds.values().any(|seeds| seeds.first() == Some(seed));
    differ.retain(|(seed, ..)| first(seed));
    let shrunk_max = usize::try_from(number("LEVERET_SHRINK", SHRUNK_MAX)).unwrap_or(usize::MAX);
    for (place, (seed, script, divergence)) in differ.into_iter().enumerate() {
        let alike = kinds.get(&divergence.kind()).map_or(0, Vec::len);
        write!(report, "\n--- {alike} of this kind").expect("a string takes it");
        let text = if place < shrunk_max {
            let shrunk = shrink::shrink(&stage, &script, divergence, SHRINKING).await;
            describe(seed, &shrunk.script, &shrunk.divergence)
        } else {
            format!("\n{seed}: {divergence}")
        };
        write!(report, "{text}").expect("a string takes it");
    }
    report
}

#[test]
fn generated_scripts_go_alike_on_both_brokers() -> Result<()> {
    with_both(play_generated)
}

/// Sequences of HTTP calls in a usual run.
const CALLS: u64 = 60;

#[test]
fn generated_http_calls_are_answered_alike_by_both_brokers() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let brokers = runtime.block_on(async {
        let (leveret, rabbitmq) = (
            Target::Leveret.start().await?,
            Target::RabbitMq.start().await?,
        );
        anyhow::Ok((leveret, rabbitmq))
    })?;
    let (Ok(leveret), Ok(rabbitmq)) = brokers else {
        ensure!(!Target::RabbitMq.is_required(), "RabbitMQ is not to be had");
        say("SKIPPED: differential HTTP calls: RABBITMQ_URL is not set");
        return Ok(());
    };
    if let (Some(ours), Some(theirs)) = (&leveret.management, &rabbitmq.management) {
        call_both(&http::Apis::open(ours, theirs)?)?;
    } else {
        ensure!(!Target::RabbitMq.is_required(), "no HTTP API is to be had");
        say("SKIPPED: differential HTTP calls: RABBITMQ_MANAGEMENT_URL is not set");
    }
    runtime.block_on(Running::stop(leveret))?;
    Ok(())
}

fn call_both(apis: &http::Apis) -> Result<()> {
    let (count, first) = (
        number("LEVERET_HTTP_SCRIPTS", CALLS),
        number("LEVERET_SEED", SEED),
    );
    let mut partings = Vec::new();
    for seed in first..first + count {
        let calls = http::calls(seed);
        if let Some(parting) = apis.play(&calls)? {
            partings.push((seed, parting));
        }
    }
    say(&format!(
        "{count} sequences of HTTP calls from seed {first}, on {} methods of paths: {} differ",
        apis.served(),
        partings.len()
    ));
    let mut report = String::new();
    for (place, (seed, parting)) in partings.into_iter().enumerate() {
        let parting = if place < 20 {
            apis.shrink(parting)
        } else {
            parting
        };
        writeln!(
            report,
            "\nLEVERET_SEED={seed} LEVERET_HTTP_SCRIPTS=1\n{parting}"
        )?;
    }
    ensure!(report.is_empty(), report);
    Ok(())
}

#[test]
fn scripts_that_once_differed_go_alike_on_both_brokers() -> Result<()> {
    with_both(async |stage| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/regressions");
        let mut failures = String::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let script = Script::parse(&std::fs::read_to_string(&path)?)?;
            let ending = play_surely(&stage, &script).await;
            if let Ending::Differ(divergence) =
                ending.with_context(|| path.display().to_string())?
            {
                writeln!(failures, "{}\n{divergence}", path.display())?;
            }
        }
        ensure!(failures.is_empty(), failures);
        Ok(())
    })
}

#[test]
fn a_script_reads_back_as_it_is_printed_and_a_seed_gives_one_script() -> Result<()> {
    for seed in 0..200 {
        let script = generate::script(seed);
        assert_eq!(Script::parse(&script.to_string())?, script);
        assert_eq!(generate::script(seed), script);
    }
    Ok(())
}
