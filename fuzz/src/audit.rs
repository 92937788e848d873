//! Arbitrary bytes as an audit trail: as they are, and as tampering with one that is whole.

use std::sync::OnceLock;

use openrtc_core::audit::{Chain, Draft, EventName, EventResult, Target, bodies, number_of, verify};
use openrtc_core::id::{Actor, CallId, Deployment, Identity, Incarnation, Seq, Version, WorkerId};
use openrtc_core::membership::{SigningKey, VerifyingKey};
use openrtc_core::time::Instant;
use openrtc_records::trail::Batch;

/// Checks the trail; one that is not as it was written is found out.
pub fn check(bytes: &[u8]) {
    let whole = whole();
    check_report(bytes, whole);
    let tampered = tampered(&whole.text, bytes);
    let report = verify(&tampered, Some(Chain::default()), &[whole.key]);
    let intact = tampered == whole.text;
    assert!(!intact || report.faults.is_empty() && report.closed && report.vouched == report.records);
    // A trail may end early between two records. Of one that is not closed, nothing vouches for the last record yet.
    let lines = lines(&tampered);
    let followed = lines.split_last().map_or(Vec::new(), |(_, before)| before.concat());
    let early = !report.closed && whole.text.starts_with(&followed) && tampered.last().is_none_or(|end| *end == b'\n');
    assert!(intact || early || !report.faults.is_empty(), "not found out");
    // A closed trail is found out without a key as well: its last record bears a digest of itself.
    let unsigned = verify(&tampered, Some(Chain::default()), &[]);
    assert!(intact || !unsigned.closed || !unsigned.faults.is_empty(), "not found out without the key");
}

/// A trail as it was written, and the key that vouches for it.
struct Whole {
    text: Vec<u8>,
    key: VerifyingKey,
}

fn whole() -> &'static Whole {
    static WHOLE: OnceLock<Whole> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let key = SigningKey::from_bytes(&[7; 32]);
        Whole { text: trail(&key), key: key.verifying_key() }
    })
}

/// Six records: four of a worker's life, a checkpoint among them, and the closing one.
pub fn trail(key: &SigningKey) -> Vec<u8> {
    let identity = Identity {
        deployment: Deployment::from_static("voice"),
        version: Version::from_static("v2"),
        worker: WorkerId::from_static("w\"1\\"),
        incarnation: Incarnation::new(3),
    };
    let draft = |number, event, target, count| Draft {
        at: at(number),
        event,
        entry: Seq::new(number),
        actor: const { Actor::from_static("alice") },
        target,
        result: EventResult::Success,
        reason: "api",
        count,
    };
    let call = Target::Call(CallId::from_static("call"));
    let (mut chain, mut text) = (Chain::default(), Vec::new());
    chain.append(&identity, &draft(1, EventName::DeploymentStarted, Target::Worker, 0), &mut text);
    chain.append(&identity, &draft(2, EventName::DeploymentDrainStarted, Target::Worker, 1), &mut text);
    chain.sign(&identity, EventName::AuditCheckpoint, at(2), Seq::new(2), key, &mut text);
    chain.append(&identity, &draft(3, EventName::CallDrainForced, call, 1), &mut text);
    chain.append(&identity, &draft(4, EventName::DeploymentCompleted, Target::Worker, u64::MAX), &mut text);
    chain.sign(&identity, EventName::AuditClosed, at(4), Seq::new(4), key, &mut text);
    text
}

const fn at(second: u64) -> Instant {
    Instant::from_micros((1_763_884_800 + second) * 1_000_000)
}

fn check_report(bytes: &[u8], whole: &Whole) {
    for start in [None, Some(Chain::default())] {
        let report = verify(bytes, start, &[whole.key]);
        assert_eq!(report.records, bytes.split_inclusive(|byte| *byte == b'\n').count());
        assert!(report.vouched <= report.records && report.signatures <= report.records);
        for fault in &report.faults {
            assert!((1..=report.records).contains(&fault.line), "{fault}");
        }
    }
    assert!(bodies(bytes).all(|(line, body)| line > 0 && !body.is_empty()));
    // What is sent on are whole records that follow each other, and what was read is all that is sent.
    let first = lines(bytes).first().and_then(|line| number_of(line));
    let batch = first.and_then(|first| Batch::of(bytes, first, 1_000));
    assert_eq!(first.is_some(), batch.is_some());
    for (line, number) in batch.iter().flat_map(|batch| lines(&batch.lines).into_iter().zip(batch.first..)) {
        assert_eq!(number_of(line), Some(number));
    }
    assert!(batch.is_none_or(|batch| bytes.starts_with(&batch.lines)));
}

/// The trail with each four bytes as one deed: what, where (two bytes), and with which byte.
fn tampered(whole: &[u8], deeds: &[u8]) -> Vec<u8> {
    let mut text = whole.to_vec();
    for [what, low, high, byte] in deeds.as_chunks::<4>().0 {
        let place = usize::from(u16::from_le_bytes([*low, *high]));
        match what % 6 {
            0 => text.truncate(place),
            1 => text.insert(place.min(text.len()), *byte),
            2 if place < text.len() => drop(text.remove(place)),
            3 if place < text.len() => text[place] ^= byte,
            4 => text = without_line(&text, place),
            5 => text = with_line_moved(&text, place, usize::from(*byte)),
            _ => {}
        }
    }
    text
}

fn without_line(text: &[u8], place: usize) -> Vec<u8> {
    let mut lines = lines(text);
    if !lines.is_empty() {
        lines.remove(place % lines.len());
    }
    lines.concat()
}

fn with_line_moved(text: &[u8], from: usize, to: usize) -> Vec<u8> {
    let mut lines = lines(text);
    if !lines.is_empty() {
        let line = lines.remove(from % lines.len());
        lines.insert(to % (lines.len() + 1), line);
    }
    lines.concat()
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}
