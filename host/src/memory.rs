//! Whether there is memory for one program more: as much as the one has that runs.

use std::fs;

use openrtc_fleet::child::session::members;

/// Where a process of a control group finds the group's own limits, in the newer and the older hierarchy.
const LIMITS: [(&str, &str); 2] = [
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
];

/// There is too little of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the program that runs takes {} MB, and {} MB are free: another one beside it may not fit (free some, or end the \
     old program first)",
    .needed / 1_000_000,
    .free / 1_000_000
)]
pub(crate) struct TooLittle {
    needed: u64,
    free: u64,
}

/// Refuses one more program like the one whose session this is. Where the system does not tell, nothing is refused.
pub(crate) fn check(session: i32) -> Result<(), TooLittle> {
    let needed = members(session).iter().filter_map(|process| taken(process.pid)).sum();
    match free() {
        Some(free) => judge(needed, free),
        None => Ok(()),
    }
}

fn judge(needed: u64, free: u64) -> Result<(), TooLittle> {
    if needed > free { Err(TooLittle { needed, free }) } else { Ok(()) }
}

/// What a process has of its own, in bytes.
fn taken(pid: i32) -> Option<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "RssAnon:")
}

/// What is free in the system and in this process's control group, in bytes.
fn free() -> Option<u64> {
    let system = kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = LIMITS.iter().find_map(|(most, now)| Some(number(most)?.saturating_sub(number(now)?)));
    Some(group.map_or(system, |group| group.min(system)))
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_is_refused_with_the_numbers() {
        assert_eq!(judge(50, 50), Ok(()));
        let refused = judge(300_000_000, 50_000_000).expect_err("six times as much").to_string();
        assert!(refused.contains("300 MB") && refused.contains("50 MB"), "{refused}");
    }

    #[test]
    fn the_system_tells() {
        assert_eq!(kilobytes("A: 1 kB\nRssAnon:\t  12 kB\n", "RssAnon:"), Some(12 * 1_024));
        assert_eq!(kilobytes("RssAnon: lots\n", "RssAnon:"), None);
        assert!(free().is_some_and(|free| free > 0));
        assert!(taken(std::process::id().cast_signed()).is_some_and(|taken| taken > 0));
    }
}
