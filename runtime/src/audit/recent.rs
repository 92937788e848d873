//! The records that were written last and not yet taken by the collector, as far as they fit into memory.
//!
//! The trail's files are the webhook's queue. But somebody else may cut the file after it was written and before it was
//! read; what was lost so is still here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openrtc_records::trail::Batch;

/// The most that is kept, in bytes.
const KEPT_MAX: usize = 1 << 20;

/// Shared by who writes the trail and who sends it.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Vec<u8>>,
    /// The number of the first.
    first: u64,
    bytes: usize,
}

impl Recent {
    /// Keeps lines that were written, of which `last` is the number of the last. The oldest go if there is no room.
    pub(super) fn keep(&self, lines: &[u8], last: u64) {
        let mut kept = self.kept();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            kept.bytes += line.len();
            kept.lines.push_back(line.to_vec());
        }
        kept.first = last + 1 - kept.lines.len() as u64;
        while kept.bytes > KEPT_MAX {
            kept.drop_first();
        }
    }

    /// Records up to this one were taken.
    pub(super) fn forget(&self, taken: u64) {
        let mut kept = self.kept();
        while !kept.lines.is_empty() && kept.first <= taken {
            kept.drop_first();
        }
    }

    /// The records from `next` on, up to `most` bytes but at least one; none if that one is not here.
    pub(super) fn read(&self, next: u64, most: u64) -> Option<Batch> {
        let kept = self.kept();
        let skipped = usize::try_from(next.checked_sub(kept.first)?).ok()?;
        let (mut lines, most) = (Vec::new(), usize::try_from(most).unwrap_or(usize::MAX));
        for line in kept.lines.iter().skip(skipped) {
            if !lines.is_empty() && lines.len() + line.len() > most {
                break;
            }
            lines.extend_from_slice(line);
        }
        Batch::of(&lines, next, u64::MAX)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn drop_first(&mut self) {
        self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        self.first += 1;
    }
}

#[cfg(test)]
mod tests {
    use openrtc_core::audit::Chain;
    use openrtc_core::id::{Deployment, Identity, Incarnation, Seq, Version, WorkerId};
    use openrtc_core::time::Instant;

    use super::*;

    const IDENTITY: Identity = Identity {
        deployment: Deployment::from_static("voice"),
        version: Version::from_static("v1"),
        worker: WorkerId::from_static("w"),
        incarnation: Incarnation::new(1),
    };

    fn line(chain: &mut Chain) -> Vec<u8> {
        let mut line = Vec::new();
        chain.disturbed(&IDENTITY, Instant::EPOCH, Seq::new(1), "renamed", &mut line);
        line
    }

    #[test]
    fn what_was_kept_is_read_from_any_record_on_until_it_is_taken() {
        let (recent, mut chain) = (Recent::default(), Chain { records: 6, ..Chain::default() });
        let lines: Vec<_> = (0..3).map(|_| line(&mut chain)).collect();
        assert_eq!(recent.read(7, 1_000), None);
        recent.keep(&lines.concat(), 9);
        let read = |next, most| recent.read(next, most).map(|batch| (batch.last, batch.lines));
        assert_eq!(read(7, 1 << 20), Some((9, lines.concat())));
        assert_eq!(read(8, 1 << 20), Some((9, lines[1..].concat())));
        assert_eq!(read(8, 1), Some((8, lines[1].clone())), "one at least");
        assert_eq!(read(7, 2 * lines[0].len() as u64), Some((8, lines[..2].concat())));
        assert_eq!((read(6, 1), read(10, 1)), (None, None));
        recent.forget(8);
        assert_eq!((read(8, 1), read(9, 1)), (None, Some((9, lines[2].clone()))));
        recent.forget(100);
        assert_eq!(read(9, 1), None);
        recent.keep(&line(&mut chain), 10);
        assert_eq!(read(10, 1).map(|(last, _)| last), Some(10));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let (recent, mut chain) = (Recent::default(), Chain::default());
        let mut written = 0;
        while written < 2 * KEPT_MAX {
            let line = line(&mut chain);
            written += line.len();
            recent.keep(&line, chain.records);
        }
        assert!(recent.kept().bytes <= KEPT_MAX && recent.kept().bytes > KEPT_MAX / 2);
        assert_eq!(recent.read(1, 1), None);
        assert_eq!(recent.read(chain.records, 1).map(|batch| batch.last), Some(chain.records));
    }
}
