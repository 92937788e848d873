//! How the rollout goes, while it goes: one live line at a terminal, a line per step elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use crate::dispatch::{Dispatcher, Standing, VersionStanding};

const REFRESH: Duration = Duration::from_millis(100);

/// The progress line.
pub(crate) struct Progress {
    bar: ProgressBar,
    begun: Instant,
    refresher: JoinHandle<()>,
}

impl Progress {
    /// Starts to show how `dispatcher`'s calls stand.
    pub(crate) fn start(dispatcher: Arc<Dispatcher>) -> Self {
        let bar = if stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        let style =
            ProgressStyle::with_template("  {spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
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
        Self { bar, begun, refresher }
    }

    /// Tells of a step.
    pub(crate) fn say(&self, step: &str) {
        let line = format!("{:>6.1} s  {step}", self.begun.elapsed().as_secs_f64());
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    /// Clears the live line.
    pub(crate) fn finish(&self) {
        self.refresher.abort();
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn line(begun: Instant, standing: &Standing) -> String {
    let mut line = format!("{:>4.1} s", begun.elapsed().as_secs_f64());
    for VersionStanding { version, calls, draining } in &standing.versions {
        // Writing to a string cannot fail.
        let _ = write!(line, "   {version} {calls:>4} calls{}", if *draining { ", draining" } else { "" });
    }
    line + &format!("   ended {:>4}   dropped {}", standing.ended, standing.dropped)
}
