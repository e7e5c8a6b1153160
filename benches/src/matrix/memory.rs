//! What connections, queues and messages weigh.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::crash::{Backlog, Target, fill};
use crate::load::run_name;
use crate::matrix::measure::{Measured, push, resident};
use crate::matrix::rows::Goal;
use crate::progress::Progress;
use crate::wire::Connection;

const CONNECTIONS: usize = 500;
const QUEUES: usize = 2000;
/// How long a broker is left alone before it is weighed.
const QUIET: Duration = Duration::from_secs(2);
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Weighs a fresh broker idle, with connections, with queues, with messages.
pub(super) fn measure(target: &Target, count: u64) -> Result<Measured> {
    let mut measured = Measured::default();
    let mut victim = target.victim()?;
    victim.start()?;
    thread::sleep(QUIET);
    let idle = resident(&victim)?;
    push(
        &mut measured,
        "idle",
        "MiB",
        Goal::AtMost(15.0),
        idle / MEBIBYTE,
    );

    let connections = (0..CONNECTIONS)
        .map(|_| Connection::open(victim.uri()))
        .collect::<Result<Vec<_>, _>>()?;
    thread::sleep(QUIET);
    let each = (resident(&victim)? - idle) / CONNECTIONS as f64 / 1024.0;
    push(
        &mut measured,
        "idle connection",
        "KiB",
        Goal::AtMost(16.0),
        each,
    );
    for connection in connections {
        connection.close()?;
    }
    thread::sleep(QUIET);

    let before = resident(&victim)?;
    let name = run_name();
    let mut admin = Connection::open(victim.uri())?;
    admin.open_channel(1)?;
    for queue in 0..QUEUES {
        admin.declare_queue(1, &format!("{name}.{queue}"), true, &[])?;
    }
    thread::sleep(QUIET);
    let each = (resident(&victim)? - before) / QUEUES as f64 / 1024.0;
    push(
        &mut measured,
        "idle durable queue",
        "KiB",
        Goal::AtMost(1.0),
        each.max(0.0),
    );

    let queue = format!("{name}.backlog");
    admin.declare_queue(1, &queue, true, &target.queue_arguments)?;
    let backlog = Backlog::plain(&queue, count, 1024);
    fill(victim.uri(), &backlog, &Progress::hidden())?;
    let full = resident(&victim)? / MEBIBYTE;
    let name = format!("{count} messages of 1 KiB queued");
    push(&mut measured, &name, "MiB", Goal::AtMost(40.0), full);
    Ok(measured)
}
