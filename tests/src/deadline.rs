//! One deadline for every process that a test starts, however it starts it: when the product hangs, the test fails and
//! does not hang too.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a test's process may live. Far more than any needs, also on a busy machine.
const DEADLINE: Duration = Duration::from_mins(3);
/// How often it is looked which processes there are, unless the deadline is shorter.
const EVERY: Duration = Duration::from_secs(1);

/// From now on, processes that this one starts are killed when their time is up, and named on standard error.
pub fn watch() {
    watch_for(DEADLINE);
}

/// The same with another deadline. The first one holds.
#[expect(clippy::disallowed_methods, reason = "a deadline in real time, for real processes")]
pub fn watch_for(deadline: Duration) {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        thread::spawn(move || {
            let mut seen = BTreeMap::new();
            loop {
                thread::sleep(EVERY.min(deadline));
                let now = Instant::now();
                let children = children();
                seen.retain(|child, _| children.contains(child));
                for child in children {
                    if now.duration_since(*seen.entry(child).or_insert(now)) >= deadline {
                        kill(child, deadline);
                    }
                }
            }
        });
    });
}

/// The processes that this one has started and not yet waited for.
fn children() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

fn kill(child: i32, deadline: Duration) {
    let command = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default().replace('\0', " ");
    eprintln!("killed: process {child} of a test is still there after {deadline:?}: {command}");
    // It may be gone by now.
    let _ = Pid::from_raw(child).map(|child| kill_process(child, Signal::KILL));
}
