//! How it goes, while it goes: one live line at a terminal, which keeps out of the way of all other lines.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stderr};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use crate::dispatch::{Dispatcher, Standing, VersionStanding};

const REFRESH: Duration = Duration::from_millis(100);

/// The progress line.
pub(crate) struct Progress {
    /// What others say their lines with.
    pub(crate) voice: Voice,
    begun: Instant,
    refresher: JoinHandle<()>,
}

impl Progress {
    /// Starts to show how `dispatcher`'s calls stand.
    pub(crate) fn start(dispatcher: Arc<Dispatcher>) -> Self {
        let bar = if stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        bar.set_style(style);
        let begun = Instant::now();
        let shown = bar.clone();
        let refresher = tokio::spawn(async move {
            let mut tick = interval(REFRESH);
            loop {
                tick.tick().await;
                shown.set_message(line(begun, &dispatcher.standing()));
                shown.tick();
            }
        });
        Self { voice: Voice(bar), begun, refresher }
    }

    /// Tells of a step.
    pub(crate) fn say(&self, step: &str) {
        self.voice.line(&format!("{:>7.1} s  {step}", self.begun.elapsed().as_secs_f64()));
    }

    /// Clears the live line.
    pub(crate) fn finish(&self) {
        self.refresher.abort();
        self.voice.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Says lines above the live line. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Voice(ProgressBar);

impl Voice {
    /// A worker's own line.
    pub(crate) fn worker(&self, name: &str, line: &str) {
        let line = line.trim_end();
        self.line(&if line.starts_with(name) {
            format!("{:11}{line}", "")
        } else {
            format!("{:11}{name}: {line}", "")
        });
    }

    fn line(&self, line: &str) {
        if self.0.is_hidden() {
            // Nobody reads it any more, and that is no reason to stop.
            let _ = writeln!(stderr(), "{line}");
        } else {
            self.0.println(line);
        }
    }
}

/// The live line, which fits into 60 columns.
fn line(begun: Instant, standing: &Standing) -> String {
    let mut line = format!("{:>5.1} s", begun.elapsed().as_secs_f64());
    for VersionStanding { version, calls, draining } in &standing.versions {
        // Writing to a string cannot fail.
        let _ = write!(line, "  {version} {calls:>3}{}", if *draining { " draining" } else { "" });
    }
    line + &format!("  ended {:>4}  dropped {}", standing.ended, standing.dropped)
}
