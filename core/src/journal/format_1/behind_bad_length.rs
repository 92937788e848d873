//! Frames behind a wrong length. A frame of format 1 has no check of its own length, so one that was altered looks like
//! an append that a crash cut short, and takes everything behind it along.

use super::{FORMAT, HEAD};
use crate::checksum::Checksum;

/// No entry is longer, in bytes.
const ENTRY_MAX: usize = 1_024;

/// Whether a frame that claims more bytes than there are has a wrong length: a crash leaves a part of one frame, and so
/// neither the whole of it nor a frame behind it. `checksum` is its own.
pub(super) fn hides_frames(bytes: &[u8], checksum: u32) -> bool {
    let rest = &bytes[HEAD..];
    let is_whole = u32::try_from(rest.len())
        .is_ok_and(|len| Checksum::new().then(&len.to_le_bytes()).then(&[FORMAT]).then(rest).get() == checksum);
    is_whole || (1..rest.len()).any(|at| is_entry(&rest[at..]))
}

/// Whether `bytes` begin with a whole frame that is no longer than an entry.
fn is_entry(bytes: &[u8]) -> bool {
    let Some(([l0, l1, l2, l3, format, c0, c1, c2, c3], rest)) = bytes.split_first_chunk::<HEAD>() else {
        return false;
    };
    let size = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
    *format == FORMAT
        && size <= ENTRY_MAX
        && rest.get(..size).is_some_and(|payload| {
            Checksum::new().then(&bytes[..5]).then(payload).get() == u32::from_le_bytes([*c0, *c1, *c2, *c3])
        })
}
