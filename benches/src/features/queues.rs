//! Many durable queues with nothing in them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::crash::Target;
use crate::features::command::Sample;
use crate::features::messages::{QUIET, resident};
use crate::load::run_name;
use crate::progress::Progress;
use crate::wire::{Connection, Uri};

/// Connections that declare, so that one sync answers several.
const DECLARERS: usize = 16;
/// What an idle queue may weigh, in bytes.
const BYTES_MAX: f64 = 1024.0;
/// How long an answer of the HTTP API may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at how far the declarers are.
const LOOK: Duration = Duration::from_millis(50);
/// `guest:guest`.
const LOGIN: &str = "Z3Vlc3Q6Z3Vlc3Q=";

/// Declares queues, kills the broker, starts it again, lists them.
pub(super) fn measure(target: &Target, queues: usize, progress: &Progress) -> Result<Vec<Sample>> {
    let mut victim = target.victim()?;
    victim.start()?;
    thread::sleep(QUIET);
    let before = resident(&victim)?;
    let begun = Instant::now();
    declare(victim.uri(), target, queues, progress)?;
    let declared = begun.elapsed().as_secs_f64();
    thread::sleep(QUIET);
    let each = (resident(&victim)? - before) / queues as f64;

    victim.kill()?;
    let started = victim.start()?;
    thread::sleep(QUIET);
    let again = (resident(&victim)? - before) / queues as f64;
    let mut samples = vec![
        Sample::new("idle queues: declared within", "s", declared),
        Sample::new("idle queue, declared", "B", each).at_most(BYTES_MAX),
        Sample::new(
            "idle queues: kill -9 to accepting",
            "s",
            started.accepting.as_secs_f64(),
        ),
        Sample::new("idle queue, after a restart", "B", again).at_most(BYTES_MAX),
    ];
    if let Some(port) = target.management_port {
        let begun = Instant::now();
        let found = list(port)?;
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(found >= queues, "{found} of {queues} queues came back");
        samples.push(Sample::new("idle queues: listed within", "s", seconds));
        let listed = (resident(&victim)? - before) / queues as f64;
        samples.push(Sample::new("idle queue, after a list", "B", listed));
    }
    Ok(samples)
}

fn declare(uri: &Uri, target: &Target, queues: usize, progress: &Progress) -> Result<()> {
    let name = run_name();
    let next = AtomicUsize::new(0);
    let declarer = || -> Result<()> {
        let mut connection = Connection::open(uri)?;
        connection.open_channel(1)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= queues {
                return Ok(connection.close()?);
            }
            let queue = format!("{name}.{number}");
            connection.declare_queue(1, &queue, true, &target.queue_arguments)?;
        }
    };
    thread::scope(|scope| {
        let declarers: Vec<_> = (0..DECLARERS).map(|_| scope.spawn(declarer)).collect();
        while declarers.iter().any(|declarer| !declarer.is_finished()) {
            let number = next.load(Ordering::Relaxed);
            progress.show(number as f64 / queues as f64, "declaring");
            thread::sleep(LOOK);
        }
        for declarer in declarers {
            match declarer.join() {
                Ok(declared) => declared?,
                Err(_) => bail!("a declarer panicked"),
            }
        }
        Ok(())
    })
}

/// How many queues the HTTP API lists.
fn list(port: u16) -> Result<usize> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!(
        "GET /api/queues HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {LOGIN}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let status = answer.get(..12).context("no answer")?;
    ensure!(
        status == b"HTTP/1.1 200",
        "{}",
        String::from_utf8_lossy(status)
    );
    let mark = b"\"auto_delete\":";
    Ok(answer
        .windows(mark.len())
        .filter(|window| window == mark)
        .count())
}
