//! A second reader of the format, which shares nothing with the first but the document: its types are its own, the
//! decoding is wincode's (variable-length integers, little endian), and frames and checksums are taken apart by hand.

use openrtc_core::journal::{Journaled, Record};
use openrtc_core::worker::Worker;
use wincode::SchemaRead;
use wincode::config::{Configuration, deserialize_exact, deserialize_from};

use crate::common;

/// What every segment of this format starts with.
pub(crate) const HEADER: &[u8] = b"OpenRTC\x02";

/// Bytes of a frame before its payload.
pub(crate) const HEAD: usize = 13;

/// One frame, taken apart by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) payload: &'a [u8],
    /// Where it ends in its segment.
    pub(crate) end: usize,
}

/// The frames of a whole segment.
pub(crate) fn frames(segment: &[u8]) -> Vec<Frame<'_>> {
    let mut rest = segment.strip_prefix(HEADER).expect("the magic and the format");
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (head, after) = rest.split_at(HEAD);
        let (payload, next) = after.split_at(number(&head[..4]) as usize);
        assert_eq!(number(&head[5..9]), crc32c(&head[..5]));
        assert_eq!(number(&head[9..]), crc32c(&[&head[..5], payload].concat()));
        frames.push(Frame { kind: head[4], payload, end: segment.len() - next.len() });
        rest = next;
    }
    frames
}

/// The bytes of a frame, for whoever forges one.
pub(crate) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("small").to_le_bytes();
    let head = [&len[..], &[kind]].concat();
    let checks = [crc32c(&head), crc32c(&[&head[..], payload].concat())].map(u32::to_le_bytes);
    [&head[..], &checks[0], &checks[1], payload].concat()
}

/// A frame as the second reader tells it.
pub(crate) fn told(kind: u8, payload: &[u8]) -> String {
    let config = Configuration::default().with_varint_encoding();
    let readable = "the payload is of this format";
    match kind {
        1 => {
            let mirror::Opening { identity, predecessor, state } = deserialize_exact(payload, config).expect(readable);
            format!("{identity:?} {predecessor:?} {state:?}")
        }
        2 => {
            let size = match payload.first() {
                Some(251) => 3,
                Some(252) => 5,
                Some(253) => 9,
                _ => 1,
            };
            let (call, id) = payload.split_at(size);
            let call: mirror::CallNo = deserialize_exact(call, config).expect(readable);
            format!("{call:?} {:?}", str::from_utf8(id).expect("text"))
        }
        3 => {
            let mut rest = payload;
            let entry: mirror::Entry = deserialize_from(&mut rest, config).expect(readable);
            format!("{entry:?} {:?}", str::from_utf8(rest).expect("text"))
        }
        kind => panic!("no kind {kind} is written down"),
    }
}

/// A worker's record told in the same words, and its kind.
pub(crate) fn expected(record: &Record<'_, Worker>) -> (u8, String) {
    match record {
        Record::Opened(opening) => {
            let (about, state) = (&opening.about, common::Forged::of(&opening.state));
            (Worker::OPENING, format!("{:?} {:?} {state:?}", about.identity, about.predecessor))
        }
        Record::Called { call, id } => (2, format!("{call:?} {id:?}")),
        Record::Entry { entry, id } => (Worker::ENTRY, format!("{entry:?} {id:?}")),
        Record::Newer { kind } => panic!("this build does not write {kind}"),
    }
}

/// Four bytes, little endian.
pub(crate) fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

/// CRC-32C bit by bit: polynomial 0x1EDC6F41 reflected, all ones before and after.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[test]
fn the_checksum_is_the_published_one() {
    assert_eq!(crc32c(b"123456789"), 0xE306_9283);
}

/// The format's types, written from the document.
#[expect(dead_code, reason = "fields are read through `Debug`")]
mod mirror {
    use super::SchemaRead;

    #[derive(Debug, SchemaRead)]
    pub(super) struct Opening {
        pub(super) identity: Identity,
        pub(super) predecessor: Option<Predecessor>,
        pub(super) state: Forged,
    }

    #[derive(Debug, SchemaRead)]
    pub(super) struct Identity {
        deployment: String,
        version: String,
        worker: String,
        incarnation: Incarnation,
    }

    #[derive(Debug, SchemaRead)]
    pub(super) struct Predecessor {
        incarnation: Incarnation,
        exited: bool,
        open_calls: u32,
    }

    #[derive(Debug, SchemaRead)]
    pub(super) struct Forged {
        limits: Limits,
        word: Word,
        now: Instant,
        calls: Vec<(CallNo, Call)>,
        drain: Option<Drain>,
        outcome: Option<Outcome>,
        tally: Tally,
        obeyed: Stamp,
    }

    #[derive(Debug, SchemaRead)]
    struct Limits {
        capacity: u32,
        force_grace: Span,
        reservation_ttl: Span,
        stall_after: [Option<Span>; 4],
        lame_duck: Span,
        leave: Leave,
    }

    #[derive(Debug, SchemaRead)]
    struct Call {
        id: Digest,
        class: Class,
        since: Instant,
        active: bool,
        moved: Instant,
        stalls_at: Option<Instant>,
        stalled: bool,
    }

    #[derive(Debug, SchemaRead)]
    struct Drain {
        actor: String,
        begun: Instant,
        cause: Cause,
        terms: Terms,
        forced: Option<Forced>,
        from: Phase,
        overdue: bool,
        sealed: bool,
    }

    #[derive(Debug, SchemaRead)]
    struct Terms {
        deadline: Option<Instant>,
        alert_at: Option<Instant>,
        force_at: Option<Instant>,
    }

    #[derive(Debug, SchemaRead)]
    struct Forced {
        actor: String,
        live: u32,
        until: Instant,
    }

    #[derive(Debug, SchemaRead)]
    struct Tally {
        admitted: u64,
        clock_steps: u64,
        declined: Declined,
        ended: Ended,
        lapsed: u64,
        reserved: u64,
        stalled: u64,
        taken_over: u64,
        handed_over: u64,
    }

    #[derive(Debug, SchemaRead)]
    struct Stamp {
        epoch: Epoch,
        order: Seq,
    }

    #[derive(Debug, SchemaRead)]
    struct Origin {
        run: Incarnation,
        call: CallNo,
        given: bool,
    }

    #[derive(Debug, SchemaRead)]
    pub(super) struct Entry {
        seq: Seq,
        at: Instant,
        behind: Span,
        event: Event,
    }

    #[derive(Debug, SchemaRead)]
    enum Event {
        StoodBy,
        ServingBegan { stamp: Option<Stamp> },
        CallReserved { id: Digest, class: Class },
        CallAdmitted { id: Digest, class: Class },
        CallAssigned { call: CallNo },
        CallProgressed { call: CallNo },
        CallStalled { call: CallNo },
        ReservationLapsed { call: CallNo },
        CallEnded { call: CallNo, reason: EndReason },
        CallsDeclined { reason: Decline, count: u64 },
        DrainBegun { cause: Cause, actor: String, terms: Terms, stamp: Option<Stamp> },
        DrainSealed { cause: Cause, actor: String, terms: Terms, stamp: Option<Stamp> },
        DrainExtended { actor: String, deadline: Instant },
        DrainCancelled { actor: String, stamp: Option<Stamp> },
        DrainOverdue { live: u32 },
        DrainForced { actor: String, live: u32, stamp: Option<Stamp> },
        Drained,
        Exited { outcome: Outcome, stamp: Option<Stamp> },
        OrderTaken { stamp: Stamp, actor: String },
        CallTakenOver { id: Digest, class: Class, origin: Origin },
        CallHandedOver { call: CallNo, to: Incarnation },
        DrainTightened { actor: String, terms: Terms, stamp: Option<Stamp> },
    }

    #[derive(Debug, SchemaRead)]
    enum Outcome {
        Clean,
        Forced { dropped: u64 },
        Rejected,
    }

    #[derive(Debug, SchemaRead)]
    enum Phase {
        Starting,
        Standby,
        Serving,
        Draining,
        Drained,
        Exited,
    }

    #[derive(Debug, SchemaRead)]
    enum Cause {
        Api,
        Signal,
        Coordinator,
        Fence,
    }

    #[derive(Debug, SchemaRead)]
    enum EndReason {
        CallerHangup,
        AgentHangup,
        Withdrawn,
        Failed,
        Panicked,
        Disconnected,
        DrainForced,
        GuardDropped,
        OperatorHangup,
        ProgramFailed,
    }

    #[derive(Debug, SchemaRead)]
    enum Decline {
        NotServing,
        Full,
        Draining,
        Invalid,
        Duplicate,
    }

    #[derive(Debug, SchemaRead)]
    enum Leave {
        WhenDrained,
        Parked,
    }

    #[derive(Debug, SchemaRead)]
    struct Class(u8);

    #[derive(Debug, SchemaRead)]
    pub(super) struct CallNo(u64);

    #[derive(Debug, SchemaRead)]
    struct Digest(u64);

    #[derive(Debug, SchemaRead)]
    struct Epoch(u64);

    #[derive(Debug, SchemaRead)]
    struct Incarnation(u64);

    #[derive(Debug, SchemaRead)]
    struct Instant(u64);

    #[derive(Debug, SchemaRead)]
    struct Seq(u64);

    #[derive(Debug, SchemaRead)]
    struct Span(u64);

    /// Reasons that are left out were never met: here, of five.
    #[derive(SchemaRead)]
    struct Declined(Vec<u64>);

    impl std::fmt::Debug for Declined {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_list().entries((0..5).map(|reason| self.0.get(reason).unwrap_or(&0))).finish()
        }
    }

    /// The same, of ten.
    #[derive(SchemaRead)]
    struct Ended(Vec<u64>);

    impl std::fmt::Debug for Ended {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_list().entries((0..10).map(|reason| self.0.get(reason).unwrap_or(&0))).finish()
        }
    }

    /// Told as the document draws it: phase in bits 61 to 63, calls in 40 to 60, number in 0 to 39.
    #[derive(SchemaRead)]
    struct Word(u64);

    impl std::fmt::Debug for Word {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let phases = ["starting", "standby", "serving", "draining", "drained", "exited"];
            let phase = phases[usize::try_from(self.0 >> 61).expect("three bits")];
            write!(f, "{phase} {} in flight #{}", (self.0 >> 40) & 0x1F_FFFF, self.0 & 0xFF_FFFF_FFFF)
        }
    }
}
