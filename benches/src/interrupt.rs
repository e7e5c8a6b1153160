//! Ctrl-C and SIGTERM end a run early but in good order: its queues are deleted, its brokers ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Whether the user wants to stop.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Listens for the signal in a thread of its own, which sleeps until there is one. A second
/// signal ends the program at once.
pub(crate) fn listen() {
    let listener = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Ok(mut terminate) = signal(SignalKind::terminate()) else {
                return;
            };
            loop {
                tokio::select! {
                    Ok(()) = tokio::signal::ctrl_c() => {}
                    Some(()) = terminate.recv() => {}
                    else => return,
                }
                if REQUESTED.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    };
    // Without the thread the signal simply kills the program.
    drop(
        thread::Builder::new()
            .name("interrupt".to_owned())
            .spawn(listener),
    );
}
