//! How far a long recovery has come: a bar on a terminal, lines in the log elsewhere, nothing for a
//! short one.

use std::io::{self, IsTerminal as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use leveret::{LogFormat, RecoveryProgress};

/// A recovery is not worth a word before.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the log hears of it.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows progress to whoever reads standard error.
pub(crate) fn reporter(format: LogFormat) -> RecoveryProgress {
    let is_bar = format == LogFormat::Text && io::stderr().is_terminal();
    let shown = Mutex::new(Shown {
        begun: Instant::now(),
        bar: None,
        last_line: None,
    });
    Box::new(move |done, total| {
        // A panic elsewhere must not keep the broker from starting.
        let mut shown = shown
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        shown.update(is_bar, done, total);
    })
}

struct Shown {
    begun: Instant,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
}

impl Shown {
    fn update(&mut self, is_bar: bool, done: u64, total: u64) {
        if self.begun.elapsed() < PATIENCE {
            return;
        }
        if is_bar {
            let bar = self.bar.get_or_insert_with(|| bar(total));
            bar.set_length(total);
            bar.set_position(done);
        } else if self
            .last_line
            .is_none_or(|last| last.elapsed() >= LINE_INTERVAL)
        {
            self.last_line = Some(Instant::now());
            tracing::info!(percent = percent(done, total), "recovering");
        }
    }
}

impl Drop for Shown {
    /// The recovery is over, however it went.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// An empty log is wholly read.
fn percent(done: u64, total: u64) -> u64 {
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    if total == 0 {
        return 100;
    }
    u64::try_from(percent.min(100)).unwrap_or(100)
}

fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
    let template = "recovering {wide_bar} {bytes}/{total_bytes} {percent}% {eta}";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn a_share_is_between_nothing_and_all() {
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(0, 10), 0);
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(u64::MAX, 1), 100);
        assert_eq!(percent(u64::MAX / 2, u64::MAX), 49);
    }
}
