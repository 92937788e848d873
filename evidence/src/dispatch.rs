//! What whoever hands out calls saw of each: who was asked, who answered, and what was lost on the way.
//!
//! Workers' journals tell of what a worker promised. A call that nobody was asked to take, or that its dispatcher lost,
//! is in no journal.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// No line is longer, in bytes.
const LINE_MAX: u64 = 64 * 1024;

/// One request for a worker, as its dispatcher saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// Its id; none if the dispatcher did not take it.
    pub dispatch: Option<String>,
    /// The room that asked for an agent.
    pub room: String,
    /// The job that an agent came with: the call's id.
    pub job: Option<String>,
    /// The worker whose agent came.
    pub answered_by: Option<String>,
    /// The workers that refused it, in order.
    pub refused_by: Vec<String>,
    /// Why no agent came, as far as that is known, if none did.
    pub lost: Option<String>,
    /// What was asked for in its place, if it was lost: the id of a dispatch, or a room.
    #[serde(default)]
    pub again: Option<String>,
}

/// What dispatches add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DispatchSums {
    /// How many there were.
    pub made: usize,
    /// Of those, answered by an agent.
    pub answered: usize,
    /// Of those, refused by one worker or more.
    pub refused: usize,
    /// Of those, lost.
    pub lost: usize,
    /// Of those that were lost, made again.
    pub repeated: usize,
}

impl DispatchSums {
    /// What `dispatches` add up to.
    #[must_use]
    pub fn of(dispatches: &[Dispatch]) -> Self {
        let count = |is: fn(&Dispatch) -> bool| dispatches.iter().filter(|dispatch| is(dispatch)).count();
        Self {
            made: dispatches.len(),
            answered: count(|dispatch| dispatch.answered_by.is_some()),
            refused: count(|dispatch| !dispatch.refused_by.is_empty()),
            lost: count(|dispatch| dispatch.lost.is_some()),
            repeated: count(|dispatch| dispatch.again.is_some()),
        }
    }
}

impl fmt::Display for DispatchSums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { made, answered, refused, lost, repeated } = self;
        write!(
            f,
            "{made} dispatches, {answered} answered, {refused} refused by a worker, {lost} lost, {repeated} made again"
        )
    }
}

impl Dispatch {
    /// Why it was lost and what was made of it, in a line; none if it was not lost.
    #[must_use]
    pub fn loss(&self) -> Option<String> {
        let why = self.lost.as_ref()?;
        let id = self.dispatch.as_deref().unwrap_or("not taken");
        let again = self.again.as_ref().map_or_else(String::new, |again| format!("; made again as {again}"));
        Some(format!("{id} in room {}: {why}{again}", self.room))
    }
}

/// Why a file does not tell of dispatches.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is not one dispatch in JSON.
    #[error("line {line}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line is longer than any dispatch.
    #[error("line {line} is longer than {LINE_MAX} bytes: no dispatch is")]
    Long {
        /// Which, from 1.
        line: usize,
    },
}

/// Reads what a dispatcher wrote down: a line of JSON for each [`Dispatch`], as `openrtc demo --livekit` and
/// `openrtc livekit guard --record` write them.
///
/// # Errors
/// If it cannot be read, or a line is something else: what is left out would be told by nobody.
pub fn read(path: &Path) -> Result<Vec<Dispatch>, DispatchError> {
    let (mut file, mut found, mut text) = (BufReader::new(File::open(path)?), Vec::new(), Vec::new());
    for line in 1.. {
        text.clear();
        if file.by_ref().take(LINE_MAX).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        if text.len() as u64 == LINE_MAX && text.last() != Some(&b'\n') {
            return Err(DispatchError::Long { line });
        }
        found.push(serde_json::from_slice(&text).map_err(|source| DispatchError::Line { line, source })?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lost() -> Dispatch {
        Dispatch {
            dispatch: Some("AD_1".into()),
            room: "room-1".into(),
            refused_by: vec!["blue-1".into()],
            lost: Some("no agent came".into()),
            again: Some("AD_2".into()),
            ..Dispatch::default()
        }
    }

    #[test]
    fn what_is_written_line_by_line_is_read_and_adds_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("dispatches.jsonl");
        let answered =
            Dispatch { answered_by: Some("green-1".into()), job: Some("AJ_1".into()), ..Dispatch::default() };
        let lines = [lost(), answered.clone()].map(|each| serde_json::to_string(&each).expect("JSON") + "\n");
        fs::write(&path, lines.concat()).expect("written");
        let found = read(&path).expect("two dispatches");
        assert_eq!(found, [lost(), answered]);
        let sums = DispatchSums { made: 2, answered: 1, refused: 1, lost: 1, repeated: 1 };
        assert_eq!(DispatchSums::of(&found), sums);
        let losses: Vec<_> = found.iter().filter_map(Dispatch::loss).collect();
        assert_eq!(losses, ["AD_1 in room room-1: no agent came; made again as AD_2"]);
    }

    #[test]
    fn a_line_that_is_no_dispatch_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("dispatches.jsonl");
        let good = serde_json::to_string(&lost()).expect("JSON");
        for (second, says) in [
            ("{}".to_owned(), "line 2"),
            (good[..20].to_owned(), "line 2"),
            (" ".repeat(1 << 20), "line 2 is longer than 65536 bytes"),
        ] {
            fs::write(&path, format!("{good}\n{second}")).expect("written");
            assert!(read(&path).expect_err("no dispatch").to_string().starts_with(says));
        }
        assert!(matches!(read(&dir.path().join("none")), Err(DispatchError::Io(_))));
    }
}
