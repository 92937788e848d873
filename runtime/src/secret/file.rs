//! Files that hold a secret.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Why a file's secret cannot be had.
pub(crate) enum Unreadable {
    Io(io::Error),
    /// Others may read it; its permission bits.
    Exposed(u32),
}

/// Opens a file that its owner alone may read. Root's files may be read by their group too, if this process is not
/// root: that is how a platform hands a file to a worker of another user (`fsGroup` in Kubernetes).
pub(crate) fn open(path: &Path) -> Result<File, Unreadable> {
    let file = File::open(path).map_err(Unreadable::Io)?;
    let metadata = file.metadata().map_err(Unreadable::Io)?;
    let handed_over = metadata.uid() == 0 && !rustix::process::geteuid().is_root();
    let mode = metadata.mode() & 0o777;
    if is_exposed(mode, handed_over) { Err(Unreadable::Exposed(mode)) } else { Ok(file) }
}

const fn is_exposed(mode: u32, handed_over: bool) -> bool {
    mode & (if handed_over { 0o037 } else { 0o077 }) != 0
}

#[cfg(test)]
mod tests {
    use super::is_exposed;

    #[test]
    fn a_group_may_read_only_what_the_platform_hands_over_and_others_never() {
        for (mode, to_owner, handed_over) in
            [(0o600, false, false), (0o400, false, false), (0o640, true, false), (0o440, true, false)]
        {
            assert_eq!((is_exposed(mode, false), is_exposed(mode, true)), (to_owner, handed_over), "{mode:o}");
        }
        for mode in [0o644, 0o444, 0o604, 0o660, 0o620, 0o650] {
            assert!(is_exposed(mode, false) && is_exposed(mode, true), "{mode:o}");
        }
    }
}
