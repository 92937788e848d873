//! Where a demo leaves its files.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::DemoError;

/// Where the journals are: the user's directory, or one that goes with the demo but for the certificate.
pub(crate) struct Directory {
    path: PathBuf,
    temporary: bool,
    /// Whether there is a certificate.
    pub(crate) certified: bool,
}

impl Directory {
    pub(crate) fn create(wanted: Option<&Path>) -> Result<Self, DemoError> {
        let path = match wanted {
            Some(path) => std::fs::create_dir(path).map(|()| path.to_owned()),
            None => tempfile::Builder::new().prefix("openrtc-demo-").tempdir().map(TempDir::keep),
        };
        let named = || wanted.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = path.map_err(|source| DemoError::Directory { path: named(), source })?;
        Ok(Self { path, temporary: wanted.is_none(), certified: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes everything else, the secret key above all.
    fn keep_certificate(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            let kept = path.file_stem().is_some_and(|stem| stem == "certificate");
            match path.extension() {
                Some(extension) if kept || extension == "pub" => {}
                _ if path.is_dir() => std::fs::remove_dir_all(&path)?,
                _ => std::fs::remove_file(&path)?,
            }
        }
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Left-overs in the temporary directory are the system's to clear.
        let _ = match (self.temporary, self.certified) {
            (true, true) => self.keep_certificate(),
            (true, false) => std::fs::remove_dir_all(&self.path),
            (false, _) => Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::Directory;

    #[test]
    fn two_demos_of_one_process_number_do_not_meet() {
        let [one, other] = [(); 2].map(|()| Directory::create(None).expect("a directory of its own"));
        let is_empty = |dir: &Directory| dir.path().read_dir().expect("it is there").next().is_none();
        assert!(one.path() != other.path() && is_empty(&one) && is_empty(&other));
    }
}
