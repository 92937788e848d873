//! Processes that a program started and that left its session, as a daemon does. Nobody sees their end, so they serve
//! no calls; and a program that is not ready leaves none of them behind. They are known by a variable
//! in their environment, which says where the program is to be found: nobody else got the same.

use std::fs;
use std::time::Duration;

use openrtc_fleet::child::Child;
use openrtc_fleet::child::session::{Process, pids};
use rustix::process::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

/// How long killed processes may take to be gone.
const KILLED: Duration = Duration::from_secs(5);
/// How often it is looked whether they are.
const LOOK: Duration = Duration::from_millis(20);

/// The processes of the program outside of its session that have not ended.
pub(crate) fn strays(child: &Child, told: &str) -> Vec<Process> {
    let Some(began) = child.began() else { return Vec::new() };
    let is_stray = |process: &Process| {
        process.session != child.pid() && process.began >= began && !process.is_ending() && was_told(process.pid, told)
    };
    pids().filter_map(Process::of).filter(is_stray).collect()
}

/// Whether a process was started with this variable in its environment. Where one may not look, it was not.
fn was_told(pid: i32, told: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == told.as_bytes())
}

/// Kills them. Only for a program that never had a call.
pub(crate) async fn kill_strays(child: &Child, told: &str) {
    let deadline = Instant::now() + KILLED;
    loop {
        let (child, told) = (child.clone(), told.to_owned());
        // It looks at every process there is: not on a thread that calls need.
        let looked = spawn_blocking(move || {
            let found = strays(&child, &told);
            // Again and again: one of them may start another meanwhile.
            for process in &found {
                process.signal(Signal::KILL);
            }
            found
        });
        let found = looked.await.unwrap_or_default();
        if found.is_empty() || Instant::now() >= deadline {
            return;
        }
        sleep(LOOK).await;
    }
}
