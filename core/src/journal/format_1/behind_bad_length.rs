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

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// A frame with these bytes in it, and what its own length says.
    fn frame(payload: &[u8], claimed: usize) -> Vec<u8> {
        let head = |len: usize| [&u32::try_from(len).unwrap().to_le_bytes()[..], &[FORMAT]].concat();
        let check = Checksum::new().then(&head(payload.len())).then(payload).get();
        [&head(claimed)[..], &check.to_le_bytes(), payload].concat()
    }

    fn hides(bytes: &[u8]) -> bool {
        hides_frames(bytes, u32::from_le_bytes(bytes[5..HEAD].try_into().unwrap()))
    }

    /// Whatever a frame holds, what a crash leaves of it is no damage.
    #[test]
    fn a_frame_that_a_crash_cut_short_hides_none() {
        for payload in [&[FORMAT; 40][..], &[0; 40], b"what a worker has to say of its call"] {
            let whole = frame(payload, payload.len());
            for cut in HEAD..whole.len() {
                assert!(!hides(&whole[..cut]), "cut at {cut} of {}", whole.len());
            }
        }
    }

    #[test]
    fn a_frame_with_a_wrong_length_hides_itself_or_those_behind_it() {
        let wrong = frame(b"a call", 5_000);
        assert!(hides(&wrong), "the whole of it is there");
        let tail = &wrong[..wrong.len() - 1];
        assert!(!hides(tail), "not the whole of it");
        for size in [0, 1, ENTRY_MAX] {
            let behind = frame(&[7].repeat(size), size);
            assert!(hides(&[tail, &behind].concat()), "a whole entry of {size} bytes is behind it");
            assert!(!hides(&[tail, &behind[..behind.len() - 1]].concat()), "a part of an entry is behind it");
        }
        let long = frame(&[7; ENTRY_MAX + 1], ENTRY_MAX + 1);
        assert!(!hides(&[tail, &long].concat()), "no entry is so long");
        let mut newer = frame(b"a call", 6);
        newer[4] = FORMAT + 1;
        assert!(!hides(&[tail, &newer].concat()), "no frame of this format");
    }
}
