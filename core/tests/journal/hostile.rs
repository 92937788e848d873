//! Segments with good checksums that lie.

use openrtc_core::codec;
use openrtc_core::journal::{FORMAT, MAGIC, PAYLOAD_MAX, Record, Replay, Torn, TornFault, replay};
use openrtc_core::worker::Worker;
use serde::Serialize;

use crate::allocations;
use crate::common::Forged;
use crate::sample::{life, opening, segment};

/// What a lie may cost: a deserialiser trusts a count for about a mebibyte in advance, whatever it claims.
const BYTES_MAX: usize = 2 << 20;

#[test]
fn a_huge_claim_costs_no_memory() {
    let frame = |len: u32| [&MAGIC[..], &len.to_le_bytes(), &[FORMAT, 0, 0, 0, 0, 1, 2, 3]].concat();
    let most = u32::try_from(PAYLOAD_MAX).expect("a frame's length has 32 bits");
    assert_eq!(fault(&frame(u32::MAX)), TornFault::Huge(u32::MAX));
    assert_eq!(fault(&frame(most + 1)), TornFault::Huge(most + 1));
    assert_eq!(fault(&frame(most)), TornFault::Short);

    let identity = opening(life().0).identity;
    for claim in [1 << 27, 1 << 40, u64::MAX] {
        let name = encoded(&(OPENED, claim));
        assert_eq!(fault(&framed(&name)), TornFault::Malformed, "a name of {claim} bytes");
        let calls = encoded(&(OPENED, identity, NONE, Claim::of(&life().0, claim)));
        assert_eq!(fault(&framed(&calls)), TornFault::Malformed, "{claim} calls");
    }
    let honest = encoded(&(OPENED, identity, NONE, Claim::of(&life().0, 0)));
    let claimed = read(&[&framed(&honest)[..], &[1]].concat()).expect("the same without a lie is an opening");
    assert_eq!(claimed.state, life().0);
}

#[test]
fn a_state_no_worker_can_be_in_is_refused() {
    let mut forged = Forged::of(&life().0);
    forged.tally.reserved = u64::MAX;
    let payload = encoded(&(OPENED, opening(life().0).identity, NONE, forged));
    assert_eq!(fault(&framed(&payload)), TornFault::Unsound);
}

#[test]
fn a_frame_of_another_format_or_with_bytes_to_spare_is_refused() {
    let (bytes, _, _) = segment();
    let mut other = bytes.clone();
    other[MAGIC.len() + 4] = FORMAT + 1;
    assert_eq!(fault(&repaired(&other)), TornFault::Format(FORMAT + 1));
    let mut spare = encoded(&Record::Opened(Box::new(opening(life().0))));
    spare.push(0);
    assert_eq!(fault(&framed(&spare)), TornFault::Malformed);
    let unknown = encoded(&2_u32);
    assert_eq!(fault(&framed(&unknown)), TornFault::Malformed, "a record of a later version");
}

const OPENED: u32 = 0;
const NONE: Option<u8> = None;

/// A worker's state in which the list of calls is only claimed.
#[derive(Serialize)]
struct Claim(openrtc_core::worker::Limits, openrtc_core::word::Word, openrtc_core::time::Instant, u64, Rest);

/// No drain, no outcome, and a tally of 15 zeros.
type Rest = (Option<u8>, Option<u8>, [u64; 15]);

impl Claim {
    fn of(worker: &Worker, calls: u64) -> Self {
        Self(*worker.limits(), worker.word(), worker.now(), calls, (NONE, NONE, [0; 15]))
    }
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(value, &mut bytes);
    bytes
}

/// A segment of one frame with this payload and a checksum that matches.
fn framed(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("small");
    repaired(&[&MAGIC[..], &len.to_le_bytes(), &[FORMAT, 0, 0, 0, 0], payload].concat())
}

/// The segment with the checksum of its first frame put right.
fn repaired(segment: &[u8]) -> Vec<u8> {
    let mut bytes = segment.to_vec();
    let (head, rest) = bytes[MAGIC.len()..].split_at_mut(9);
    let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let mut digest = crc.digest();
    digest.update(&head[..5]);
    digest.update(&rest[..len]);
    head[5..].copy_from_slice(&digest.finalize().to_le_bytes());
    bytes
}

fn fault(segment: &[u8]) -> TornFault {
    read(segment).expect_err("this is a lie").fault
}

fn read(segment: &[u8]) -> Result<Replay, Torn> {
    let (read, bytes) = allocations::during(|| replay(segment, |_, _| {}));
    assert!(bytes < BYTES_MAX, "{bytes} bytes allocated for a segment of {}", segment.len());
    read
}
