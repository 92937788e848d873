//! The processes of a session, as `/proc` shows them: a program, and whatever it started.

use std::fmt;
use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The kernel's mark of a process that has begun to end.
const EXITING: u64 = 0x4;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// What it is called.
    pub name: String,
    /// The number of its session.
    pub session: i32,
    /// When it began, in ticks since the system did. With the number, this tells it from every other process.
    pub began: u64,
    is_ending: bool,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.pid, self.name)
    }
}

impl Process {
    /// The process of this number; `None` if there is none.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads a line of `/proc/PID/stat`. The name may hold anything, so the rest is counted from its end.
    fn parse(pid: i32, stat: &str) -> Option<Self> {
        let (head, rest) = stat.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let state = *fields.first()?;
        let flags: u64 = fields.get(6)?.parse().ok()?;
        Some(Self {
            pid,
            name: name.to_owned(),
            session: fields.get(3)?.parse().ok()?,
            began: fields.get(19)?.parse().ok()?,
            is_ending: matches!(state, "Z" | "X") || flags & EXITING != 0,
        })
    }

    /// Whether it has ended, or is about to: then it runs no more code of its own.
    #[must_use]
    pub const fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Sends a signal to this process and to no other that has its number by now. Nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        // The descriptor is of whoever has the number now; that it is the same one is known after it was opened.
        if Self::of(self.pid).is_some_and(|now| now.began == self.began) {
            let _ = pidfd_send_signal(process, signal);
        }
    }
}

/// The processes of a session that have not ended.
#[must_use]
pub fn members(session: i32) -> Vec<Process> {
    pids().filter_map(Process::of).filter(|process| process.session == session && !process.is_ending).collect()
}

/// The numbers of all processes.
pub fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Sends a signal to every process of a session that has not ended.
pub fn signal_all(session: i32, signal: Signal) {
    for process in members(session) {
        process.signal(signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_hides_nothing() {
        let rest = "S 1 70 71 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 2";
        let process = Process::parse(70, &format!("70 (a) b (c)) {rest}")).expect("a line of /proc");
        assert_eq!((process.name.as_str(), process.session, process.began), ("a) b (c)", 71, 4711));
        assert!(!process.is_ending());
        assert!(Process::parse(70, &format!("70 (a) {}", rest.replace("S 1", "Z 1"))).expect("a line").is_ending());
        let exiting = rest.replace("4194560", &(4_194_560 + EXITING).to_string());
        assert!(Process::parse(70, &format!("70 (a) {exiting}")).expect("a line").is_ending());
        assert_eq!(Process::parse(70, "70 (a"), None);
    }

    #[test]
    fn this_process_is_in_its_session() {
        let me = Process::of(std::process::id().cast_signed()).expect("it runs");
        assert!(members(me.session).contains(&me) && !me.is_ending());
    }
}
