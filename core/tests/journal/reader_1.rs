//! A second reader of format 1, which shares nothing with the first but the document: its types are its own, the
//! decoding is wincode's (variable-length integers, little endian), and frames are taken apart by hand.

use wincode::SchemaRead;
use wincode::config::{Configuration, deserialize_exact};

use crate::reader::{crc32c, number};

/// A payload as the second reader tells it.
pub(crate) fn told(payload: &[u8]) -> String {
    let config = Configuration::default().with_varint_encoding();
    let record: mirror::Record = deserialize_exact(payload, config).expect("the payload is of this format");
    format!("{record:?}")
}

/// The payloads of a whole segment.
pub(crate) fn payloads(segment: &[u8]) -> Vec<&[u8]> {
    let mut rest = segment.strip_prefix(b"OpenRTCj").expect("the magic");
    let mut payloads = Vec::new();
    while !rest.is_empty() {
        let (head, after) = rest.split_at(9);
        let (payload, next) = after.split_at(number(&head[..4]) as usize);
        assert_eq!(head[4], 1, "the format");
        assert_eq!(number(&head[5..]), crc32c(&[&head[..5], payload].concat()));
        payloads.push(payload);
        rest = next;
    }
    payloads
}

/// The format's types, written from the document.
#[expect(dead_code, reason = "fields are read through `Debug`")]
mod mirror {
    use super::SchemaRead;

    #[derive(Debug, SchemaRead)]
    pub(super) enum Record {
        Opened(Box<Opening>),
        Entry(Entry),
    }

    #[derive(Debug, SchemaRead)]
    pub(super) struct Opening {
        identity: Identity,
        predecessor: Option<Predecessor>,
        state: Forged,
    }

    #[derive(Debug, SchemaRead)]
    struct Identity {
        deployment: String,
        version: String,
        worker: String,
        incarnation: Incarnation,
    }

    #[derive(Debug, SchemaRead)]
    struct Predecessor {
        incarnation: Incarnation,
        exited: bool,
        open_calls: u32,
    }

    #[derive(Debug, SchemaRead)]
    struct Forged {
        limits: Limits,
        word: Word,
        now: Instant,
        calls: Vec<(CallNo, Call)>,
        drain: Option<Drain>,
        outcome: Option<Outcome>,
        tally: Tally,
    }

    #[derive(Debug, SchemaRead)]
    struct Limits {
        capacity: u32,
        force_grace: Span,
        reservation_ttl: Span,
        stall_after: [Option<Span>; 4],
    }

    #[derive(Debug, SchemaRead)]
    struct Call {
        id: String,
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
        deadline: Option<Instant>,
        forced: Option<Forced>,
        from: Phase,
        on_deadline: OnDeadline,
        overdue: bool,
        sealed: bool,
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
        declined: [u64; 3],
        ended: [u64; 7],
        lapsed: u64,
        reserved: u64,
        stalled: u64,
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
        ServingBegan,
        CallReserved { id: String, class: Class },
        CallAdmitted { id: String, class: Class },
        CallAssigned { call: CallNo },
        CallProgressed { call: CallNo },
        CallStalled { call: CallNo },
        ReservationLapsed { call: CallNo },
        CallEnded { call: CallNo, reason: EndReason },
        CallsDeclined { reason: Decline, count: u64 },
        DrainBegun { cause: Cause, actor: String, deadline: Option<Instant>, on_deadline: OnDeadline },
        DrainSealed { actor: String, deadline: Option<Instant>, on_deadline: OnDeadline },
        DrainExtended { actor: String, deadline: Instant },
        DrainCancelled { actor: String },
        DrainOverdue { live: u32 },
        DrainForced { actor: String, live: u32, until: Instant },
        Drained,
        Exited { outcome: Outcome },
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
    enum OnDeadline {
        Wait,
        Alert,
        Force,
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
    }

    #[derive(Debug, SchemaRead)]
    enum Decline {
        NotServing,
        Full,
        Draining,
    }

    #[derive(Debug, SchemaRead)]
    struct Class(u8);

    #[derive(Debug, SchemaRead)]
    struct CallNo(u64);

    #[derive(Debug, SchemaRead)]
    struct Incarnation(u64);

    #[derive(Debug, SchemaRead)]
    struct Instant(u64);

    #[derive(Debug, SchemaRead)]
    struct Seq(u64);

    #[derive(Debug, SchemaRead)]
    struct Span(u64);

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
