//! Segments with good checksums that lie.

use openrtc_core::codec;
use openrtc_core::journal::{PAYLOAD_MAX, Replay, Torn, TornFault, replay};
use openrtc_core::worker::Worker;
use serde::Serialize;

use crate::allocations;
use crate::common::Forged;
use crate::reader::{HEADER, crc32c, frame};
use crate::sample::{life, opening};

/// What a lie may cost: a deserialiser trusts a count for about a mebibyte in advance, whatever it claims.
const BYTES_MAX: usize = 2 << 20;

#[test]
fn a_huge_claim_costs_no_memory() {
    let claiming = |len: u32| {
        let head = [&len.to_le_bytes()[..], &[1]].concat();
        [HEADER, &head, &crc32c(&head).to_le_bytes(), &[0, 0, 0, 0, 1, 2, 3]].concat()
    };
    let most = u32::try_from(PAYLOAD_MAX).expect("a frame's length has 32 bits");
    assert_eq!(fault(&claiming(u32::MAX)), TornFault::Huge(u32::MAX));
    assert_eq!(fault(&claiming(most + 1)), TornFault::Huge(most + 1));
    assert_eq!(fault(&claiming(most)), TornFault::Short);

    let run = opening(life().0).about;
    for claim in [1 << 27, 1 << 40, u64::MAX] {
        let name = encoded(&claim);
        assert_eq!(fault(&opened(&name)), TornFault::Newer, "a name of {claim} bytes");
        let calls = encoded(&(run, Claim::of(&life().0, claim)));
        assert_eq!(fault(&opened(&calls)), TornFault::Newer, "{claim} calls");
    }
    let honest = encoded(&(run, Claim::of(&life().0, 0)));
    let claimed = read(&[&opened(&honest)[..], &[1]].concat()).expect("the same without a lie is an opening");
    assert_eq!(claimed.state, life().0);
}

#[test]
fn a_state_no_worker_can_be_in_is_refused() {
    let mut forged = Forged::of(&life().0);
    forged.tally.reserved = u64::MAX;
    let payload = encoded(&(opening(life().0).about, forged));
    assert_eq!(fault(&opened(&payload)), TornFault::Unsound);
}

#[test]
fn a_record_with_bytes_to_spare_is_refused() {
    let mut spare = encoded(&opening(life().0));
    spare.push(0);
    assert_eq!(fault(&opened(&spare)), TornFault::Newer);
}

const NONE: Option<u8> = None;

/// A worker's state in which the list of calls is only claimed.
#[derive(Serialize)]
struct Claim(openrtc_core::worker::Limits, openrtc_core::word::Word, openrtc_core::time::Instant, u64, Rest);

/// No drain, no outcome, a tally of zeros, with no reasons in it, and no order.
type Rest = (Option<u8>, Option<u8>, [u64; 9], [u64; 2]);

impl Claim {
    fn of(worker: &Worker, calls: u64) -> Self {
        Self(*worker.limits(), worker.word(), worker.now(), calls, (NONE, NONE, [0; 9], [0; 2]))
    }
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(value, &mut bytes);
    bytes
}

/// A segment of one opening with this payload.
fn opened(payload: &[u8]) -> Vec<u8> {
    [HEADER, &frame(1, payload)].concat()
}

fn fault(segment: &[u8]) -> TornFault {
    read(segment).expect_err("this is a lie").fault
}

fn read(segment: &[u8]) -> Result<Replay<Worker>, Torn> {
    let (read, bytes) = allocations::during(|| replay(segment, |_, _, _| {}));
    assert!(bytes < BYTES_MAX, "{bytes} bytes allocated for a segment of {}", segment.len());
    read
}
