//! Which programs a host runs, in a file beside its journal: a host that is killed leaves its programs behind, and the
//! next one must find them.
//!
//! A line for each: the boot of the system, the process, when it began, and the version. Only all four together name a
//! process that may be ended.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openrtc_core::id::Version;
use openrtc_fleet::child::Child;
use openrtc_fleet::child::session::{Process, members, signal_all};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

/// What the file is called, in the journal's directory.
const NAME: &str = "programs";

/// How often it is looked whether a program is gone.
const LOOK: Duration = Duration::from_millis(50);

/// The file. Clones are the same file.
#[derive(Clone, Debug)]
pub(crate) struct Record(Arc<Place>);

#[derive(Debug)]
struct Place {
    file: PathBuf,
    /// Held by whoever writes, so that one write follows the other.
    turn: Mutex<()>,
}

impl Record {
    pub(crate) fn in_dir(dir: &Path) -> Self {
        Self(Arc::new(Place { file: dir.join(NAME), turn: Mutex::default() }))
    }

    pub(crate) fn file(&self) -> &Path {
        &self.0.file
    }

    /// Writes the whole file anew, with what runs when its turn has come: so the last one to write has seen the last
    /// change. That it cannot be written costs no call, and is said.
    pub(crate) fn write(&self, running: impl FnOnce() -> Vec<(Version, Child)>) {
        let file = self.file();
        if let Err(error) = self.try_write(running) {
            tracing::error!(%error, ?file, "which programs run cannot be written: a killed host leaves them behind");
        }
    }

    fn try_write(&self, running: impl FnOnce() -> Vec<(Version, Child)>) -> io::Result<()> {
        let _turn = self.0.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let boot = boot();
        let line = |(version, child): &(Version, Child)| {
            Some(format!("{boot} {} {} {version}\n", child.pid(), child.began()?))
        };
        let text: String = running().iter().filter_map(line).collect();
        let beside = self.file().with_extension("new");
        fs::write(&beside, text).and_then(|()| fs::rename(&beside, self.file()))
    }
}

/// Ends what an earlier host left behind, and says so. Its calls ended with that host, whose sockets are gone.
pub(crate) async fn end_left_behind(file: &Path, stop_within: Duration) {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return tracing::error!(%error, ?file, "which programs ran before cannot be read"),
    };
    let boot = boot();
    let found: Vec<_> = text.lines().filter_map(|line| left_behind(line, &boot)).collect();
    for (version, session) in &found {
        let names: Vec<_> = members(*session).iter().map(ToString::to_string).collect();
        tracing::warn!(version, left = names.join(", "), "a host that was killed left a program behind: it is ended");
        signal_all(*session, Signal::TERM);
    }
    let deadline = Instant::now() + stop_within;
    while found.iter().any(|(_, session)| !members(*session).is_empty()) && Instant::now() < deadline {
        sleep(LOOK).await;
    }
    for (_, session) in found {
        signal_all(session, Signal::KILL);
    }
}

/// The version and the session of a program that is still there.
fn left_behind<'a>(line: &'a str, boot: &str) -> Option<(&'a str, i32)> {
    let mut fields = line.split(' ');
    let (booted, pid, began, version) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (pid, began): (i32, u64) = (pid.parse().ok()?, began.parse().ok()?);
    if booted != boot || pid <= 1 {
        return None;
    }
    match Process::of(pid) {
        Some(process) => (process.began == began && process.session == pid).then_some((version, pid)),
        // Its first process has ended; a session's number is not given to a process while the session lives.
        None => (!members(pid).is_empty()).then_some((version, pid)),
    }
}

/// Which start of the system this is.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use openrtc_fleet::child::Launch;

    use super::*;

    #[test]
    fn whoever_writes_at_the_same_time_each_write_is_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let record = Record::in_dir(dir.path());
        let failed: usize = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..200).filter(|_| record.try_write(Vec::new).is_err()).count()))
                .collect();
            writers.into_iter().map(|writer| writer.join().expect("it does not panic")).sum()
        });
        assert_eq!(failed, 0);
    }

    #[tokio::test]
    async fn only_the_very_process_is_found() {
        let (program, args) = ("sleep".into(), vec!["60".into()]);
        let launch = Launch { program, args, set: Vec::new(), unset: Vec::new(), descriptors: None };
        let child = launch.start("sleeper").expect("it starts");
        let (pid, began) = (child.pid(), child.began().expect("it runs"));
        let boot = boot();
        let line = |boot: &str, began: u64| format!("{boot} {pid} {began} v1");
        assert_eq!(left_behind(&line(&boot, began), &boot), Some(("v1", pid)));
        assert_eq!(left_behind(&line(&boot, began + 1), &boot), None, "another process by that number");
        assert_eq!(left_behind(&line("another", began), &boot), None, "the system was started anew");
        assert_eq!(left_behind(&format!("{boot} 1 1 v1"), &boot), None, "the first process is nobody's program");
        assert_eq!(left_behind("torn", &boot), None);
        child.kill().await;
        assert_eq!(left_behind(&line(&boot, began), &boot), None, "it is gone");
    }
}
