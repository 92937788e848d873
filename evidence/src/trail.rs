//! An audit trail beside the journal that it was derived from.

use std::fmt;
use std::path::PathBuf;

use openrtc_core::audit::{Draft, bodies, body, derive, derive_loss};
use openrtc_core::id::Identity;
use openrtc_core::journal::Replay;
use openrtc_core::worker::Worker;
use openrtc_records::{ReadError, Run};

/// Where trail and journal tell different stories. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A record is another one than the journal leads to.
    Altered {
        /// The line of the trail.
        line: usize,
        /// What the trail says there.
        trail: String,
        /// What the journal says.
        journal: String,
    },
    /// The trail ends before the journal.
    Ends {
        /// How many records are missing.
        missing: usize,
    },
    /// The journal does not lead to a record.
    Extra {
        /// The line of the trail.
        line: usize,
    },
    /// The trail has no record that the journal starts with.
    Unrelated,
}

impl Difference {
    /// The line of the trail that it is in, if it is in one.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        match self {
            Self::Altered { line, .. } | Self::Extra { line } => Some(*line),
            Self::Ends { .. } | Self::Unrelated => None,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { trail, journal, .. } => write!(f, "the trail says {trail}, the journal {journal}"),
            Self::Ends { missing } => {
                write!(f, "the trail ends {missing} records before the journal (the next run completes it)")
            }
            Self::Extra { .. } => f.write_str("the journal does not lead to this record"),
            Self::Unrelated => f.write_str("the trail has no record that the journal starts with"),
        }
    }
}

/// Why a trail and a journal cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A segment tells nothing.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A newer build wrote a segment, or part of one.
    #[error("{}: it was written by a newer build, at least in part: compare with that build", path.display())]
    Newer {
        /// The segment's file.
        path: PathBuf,
    },
}

/// The first difference between a trail and the journal of `runs`. The journal may have forgotten the oldest part,
/// and the trail may lack the newest; what both have must be the same.
pub fn compare(trail: &[u8], runs: &[Run]) -> Result<Option<Difference>, CompareError> {
    let derived = derive_all(runs)?;
    let Some(first) = derived.first() else { return Ok(None) };
    let mut told = bodies(trail).skip_while(|(_, record)| record != first).peekable();
    if told.peek().is_none() {
        return Ok(Some(Difference::Unrelated));
    }
    let mut expected = derived.iter();
    for (line, record) in told {
        match expected.next() {
            Some(same) if record == same => {}
            Some(other) => {
                let [trail, journal] = [record, other].map(|text| String::from_utf8_lossy(text).into_owned());
                return Ok(Some(Difference::Altered { line, trail, journal }));
            }
            None => return Ok(Some(Difference::Extra { line })),
        }
    }
    let missing = expected.len();
    Ok((missing > 0).then_some(Difference::Ends { missing }))
}

/// The records that a journal leads to.
fn derive_all(runs: &[Run]) -> Result<Vec<Vec<u8>>, CompareError> {
    let mut derived = Vec::new();
    let mut left: Option<Replay<Worker>> = None;
    for segment in runs.iter().flat_map(|run| &run.segments) {
        let mut drafts = Vec::new();
        let replayed = segment.replay(|before, ids, entry| derive(before, ids, entry, |draft| drafts.push(draft)));
        let replayed = match replayed {
            Ok(replayed) if replayed.has_newer() => Err(CompareError::Newer { path: segment.path.clone() }),
            Err(ReadError::Torn { path, torn }) if torn.fault.is_newer() => Err(CompareError::Newer { path }),
            read => read.map_err(CompareError::Read),
        }?;
        let identity = replayed.opening.about.identity;
        // The run before is lost if another one follows and it has no closing record.
        if let Some(lost) = left.take_if(|before| before.opening.about.identity.incarnation != identity.incarnation) {
            let lost_identity = lost.opening.about.identity;
            derive_loss(&lost.state, &lost.ids, |draft| derived.push(record(&lost_identity, &draft)));
        }
        derived.extend(drafts.iter().map(|draft| record(&identity, draft)));
        left = Some(replayed);
    }
    Ok(derived)
}

fn record(identity: &Identity, draft: &Draft) -> Vec<u8> {
    let mut out = Vec::new();
    body(identity, draft, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use openrtc_core::audit::Chain;
    use openrtc_core::worker::{Cause, EndReason};
    use openrtc_records::Segment;
    use tempfile::tempdir;

    use super::*;
    use crate::journal::runs;
    use crate::test_journals::Scribe;

    /// The trail that a journal leads to.
    fn trail(runs: &[Run]) -> Vec<u8> {
        let (mut chain, mut out) = (Chain::default(), Vec::new());
        for segment in runs.iter().flat_map(|run| &run.segments) {
            let mut drafts = Vec::new();
            let replayed = segment.replay(|before, ids, entry| derive(before, ids, entry, |draft| drafts.push(draft)));
            let identity = replayed.expect("whole").opening.about.identity;
            for draft in &drafts {
                chain.append(&identity, draft, &mut out);
            }
        }
        out
    }

    #[test]
    fn each_difference_is_told_with_its_line() {
        let dir = tempdir().expect("a directory");
        let mut scribe = Scribe::start(dir.path(), 1, None);
        let call = scribe.admit("call");
        scribe.drain(Cause::Api, "alice");
        scribe.roll();
        scribe.end(call, EndReason::Failed);
        scribe.leave();
        scribe.save();
        let journal = runs(dir.path()).expect("a journal");
        let part = |segments: &[Segment]| [Run { segments: segments.to_vec(), ..journal[0].clone() }];
        let segments = &journal[0].segments;
        let whole = trail(&journal);
        let lines: Vec<_> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(compare(&whole, &journal).expect("read"), None);
        assert_eq!(compare(&lines[1..].concat(), &part(&segments[1..])).expect("read"), None, "a journal forgets");

        let difference = |trail: &[u8]| compare(trail, &journal).expect("read").expect("they differ");
        assert_eq!(difference(b""), Difference::Unrelated);
        assert_eq!(difference(&lines[..lines.len() - 1].concat()), Difference::Ends { missing: 1 });
        let altered = String::from_utf8(whole.clone()).expect("text").replace("alice", "alicf");
        let told = difference(altered.as_bytes());
        assert!(told.line() == Some(2) && told.to_string().contains("alicf"), "{told:?}");
        let newer = segments[1].path.clone();
        let mut bytes = fs::read(&newer).expect("read");
        bytes[7] += 1;
        fs::write(&newer, bytes).expect("written");
        let error = compare(&whole, &journal).expect_err("nobody can tell");
        assert!(matches!(error, CompareError::Newer { path } if path == newer));
        let extra = compare(&whole, &part(&segments[..1])).expect("read").expect("they differ");
        assert_eq!(extra, Difference::Extra { line: 3 });
    }
}
