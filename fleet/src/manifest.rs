//! Who may take calls, in a file that is read again when it changes.
//!
//! ```text
//! # v2 is being rolled out
//! version v1
//! version v2
//! revoked 1a2b3c4d5e6f7081
//! ```
//!
//! A `version` may take calls. A `revoked` key, named by its id as `openrtc keygen` prints it, lets nobody in, although
//! it is among the keys that are accepted otherwise. Empty lines, and lines that begin with `#`, say nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use openrtc_core::hex;
use openrtc_core::id::Version;
use openrtc_core::membership::KeyId;

/// No manifest needs more, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Who may take calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The versions that may take calls.
    pub versions: Vec<Version>,
    /// Keys that let nobody in.
    pub revoked: Vec<KeyId>,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("the manifest {path:?} cannot be read: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not. Part of the message.
        error: io::Error,
    },
    /// The file is longer than any manifest.
    #[error("the manifest {0:?} is longer than {FILE_MAX} bytes: is it another file?")]
    TooLong(PathBuf),
    /// A line says nothing that a manifest can say.
    #[error("the manifest {path:?}, line {line}: {problem}; write `version TAG` or `revoked KEY-ID`")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

impl Allowed {
    /// Reads a manifest.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let io = |error| ManifestError::Io { path: path.to_owned(), error };
        if fs::metadata(path).map_err(io)?.len() > FILE_MAX {
            return Err(ManifestError::TooLong(path.to_owned()));
        }
        let mut allowed = Self::default();
        for (number, line) in fs::read_to_string(path).map_err(io)?.lines().enumerate() {
            let bad = |problem| ManifestError::Line { path: path.to_owned(), line: number + 1, problem };
            allowed.take(line).map_err(bad)?;
        }
        Ok(allowed)
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["version", tag] => self.versions.push(Version::new(tag).map_err(|error| error.to_string())?),
            ["revoked", id] => {
                let bytes = hex::read(id.to_ascii_lowercase().as_bytes());
                let bytes =
                    bytes.ok_or_else(|| format!("{id:?} is not the id of a key, {} hex digits", 2 * KeyId::LEN))?;
                self.revoked.push(KeyId::from_bytes(bytes));
            }
            _ => return Err(format!("{line:?} says nothing")),
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Allowed, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest");
        fs::write(&path, text).unwrap();
        Allowed::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn versions_and_revoked_keys_are_read_and_the_rest_is_named_by_its_line() {
        let allowed = read("# v2 comes\n\nversion v1\n  version v2\nrevoked 1A2b3c4d5e6f7081\n").unwrap();
        assert_eq!(allowed.versions, [Version::from_static("v1"), Version::from_static("v2")]);
        assert_eq!(allowed.revoked[0].to_string(), "1a2b3c4d5e6f7081");
        assert_eq!(read(""), Ok(Allowed::default()));
        for (text, says) in [
            ("version v1\nversions v2\n", "line 2: \"versions v2\" says nothing"),
            ("version\n", "line 1:"),
            ("version a b\n", "line 1:"),
            ("revoked 1a2b\n", "is not the id of a key, 16 hex digits"),
            ("version é\n", "line 1:"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(says) && problem.contains("write `version TAG`"), "{problem}");
        }
    }
}
