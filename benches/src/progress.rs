//! How far a long run is: a bar on a terminal, a line now and then elsewhere.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Elsewhere than on a terminal, lines come no more often than this.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
const STEPS: u64 = 1000;

/// Shows progress on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    name: String,
    hidden: bool,
    last_line: Cell<Instant>,
}

impl Progress {
    /// Progress of what is called `name`.
    pub(crate) fn new(name: &str) -> Self {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3} %  {msg}");
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let bar = match style {
            Ok(style) if terminal => {
                let bar = ProgressBar::new(STEPS).with_style(style);
                Some(bar.with_prefix(name.to_owned()))
            }
            Ok(_) | Err(_) => None,
        };
        let last_line = Cell::new(Instant::now());
        Self {
            bar,
            name: name.to_owned(),
            hidden: false,
            last_line,
        }
    }

    /// Progress that nobody sees, for the steps of something that shows its own.
    pub(crate) fn hidden() -> Self {
        let last_line = Cell::new(Instant::now());
        Self {
            bar: None,
            name: String::new(),
            hidden: true,
            last_line,
        }
    }

    /// Shows that `share` (0 to 1) is done, and what is going on.
    pub(crate) fn show(&self, share: f64, text: &str) {
        if let Some(bar) = &self.bar {
            // A share outside 0 to 1 saturates.
            bar.set_position(((share * STEPS as f64) as u64).min(STEPS));
            bar.set_message(text.to_owned());
        } else if !self.hidden && self.last_line.get().elapsed() >= LINE_INTERVAL {
            self.last_line.set(Instant::now());
            eprintln!(
                "{} {:>3.0} %  {text}",
                self.name,
                100.0 * share.clamp(0.0, 1.0)
            );
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
