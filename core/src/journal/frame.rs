//! A frame: one record's bytes, with the checksums that show whether they are whole.
//!
//! ```text
//!  length u32 LE │ kind u8 │ check u32 LE │ CRC-32C u32 LE │ payload (length bytes)
//! ```
//!
//! The check is the CRC-32C of length and kind. So a wrong length is found as damage, and only a file that ends inside
//! a frame counts as an append that a crash cut short. The second checksum goes on from the first, over the payload.

use alloc::vec::Vec;

use super::TornFault;
use crate::checksum::Checksum;

/// Bytes before the payload.
pub(super) const HEAD: usize = 13;

/// No frame may claim more: enough for the opening state of a worker with two million calls.
pub const PAYLOAD_MAX: usize = 1 << 28;

/// Appends a frame whose payload `write` appends.
pub(super) fn write(kind: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    write(out);
    let (head, payload) = out[start..].split_at_mut(HEAD);
    let len = u32::try_from(payload.len()).expect("a state of at most two million calls fits 32 bits of length");
    head[..4].copy_from_slice(&len.to_le_bytes());
    head[4] = kind;
    let check = Checksum::new().then(&head[..5]);
    head[5..9].copy_from_slice(&check.get().to_le_bytes());
    head[9..].copy_from_slice(&check.then(payload).get().to_le_bytes());
}

/// The kind of the frame that `bytes` begin with, of which only the head need be there.
pub(super) fn kind(bytes: &[u8]) -> Result<u8, TornFault> {
    let [l0, l1, l2, l3, kind, h0, h1, h2, h3, ..] = *bytes.first_chunk::<HEAD>().ok_or(TornFault::Short)?;
    let check = Checksum::new().then(&[l0, l1, l2, l3, kind]);
    if check.get() == u32::from_le_bytes([h0, h1, h2, h3]) { Ok(kind) } else { Err(TornFault::Checksum) }
}

/// The kind and the payload of the frame that `bytes` begin with. The frame is `HEAD` bytes longer than its payload.
#[inline]
pub(super) fn read(bytes: &[u8]) -> Result<(u8, &[u8]), TornFault> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(TornFault::Short)?;
    let [l0, l1, l2, l3, kind, h0, h1, h2, h3, c0, c1, c2, c3] = *head;
    let check = Checksum::new().then(&head[..5]);
    if check.get() != u32::from_le_bytes([h0, h1, h2, h3]) {
        return Err(TornFault::Checksum);
    }
    let len = u32::from_le_bytes([l0, l1, l2, l3]);
    let size = usize::try_from(len).ok().filter(|size| *size <= PAYLOAD_MAX).ok_or(TornFault::Huge(len))?;
    let payload = rest.get(..size).ok_or(TornFault::Short)?;
    if check.then(payload).get() != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(TornFault::Checksum);
    }
    Ok((kind, payload))
}
