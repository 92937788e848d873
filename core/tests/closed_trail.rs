//! A closed trail: every changed byte of it is found, also in its last record, and no change or cut makes one that was
//! not closed look closed.
#![allow(clippy::unwrap_used)]

use openrtc_core::audit::{Chain, Draft, EventName, EventResult, Target, number_of, verify};
use openrtc_core::id::{Actor, CallId, Deployment, Identity, Incarnation, Seq, Version, WorkerId};
use openrtc_core::membership::{SigningKey, VerifyingKey};
use openrtc_core::time::Instant;

const AT: Instant = Instant::from_micros(1_763_884_800_000_000);

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// A short life, open at its end.
fn open() -> (Identity, Chain, Vec<u8>) {
    let identity = Identity {
        deployment: Deployment::from_static("voice"),
        version: Version::from_static("v2"),
        worker: WorkerId::from_static("w\"1\\"),
        incarnation: Incarnation::new(3),
    };
    let (mut chain, mut text) = (Chain::default(), Vec::new());
    let records = [
        (EventName::DeploymentStarted, Target::Worker),
        (EventName::DeploymentDrainStarted, Target::Worker),
        (EventName::CallFailed, Target::Call(CallId::from_static("a \"call\""))),
        (EventName::DeploymentCompleted, Target::Worker),
    ];
    for (entry, (event, target)) in (1..).zip(records) {
        let actor = Actor::from_static("alice");
        let entry = Seq::new(entry);
        let draft =
            Draft { at: AT, event, entry, actor, target, result: EventResult::Success, reason: "api", count: 1 };
        chain.append(&identity, &draft, &mut text);
    }
    (identity, chain, text)
}

/// The same, closed without a key and with one.
fn closed() -> [Vec<u8>; 2] {
    let (identity, chain, text) = open();
    let (mut unsigned, mut signed) = (text.clone(), text);
    chain.clone().close_unsigned(&identity, AT, Seq::new(4), &mut unsigned);
    chain.clone().sign(&identity, EventName::AuditClosed, AT, Seq::new(4), &key(), &mut signed);
    [unsigned, signed]
}

/// Whether a check passes it as a whole and closed trail.
fn passes(text: &[u8], keys: &[VerifyingKey]) -> bool {
    let report = verify(text, Some(Chain::default()), keys);
    report.closed && report.faults.is_empty()
}

/// With the key that signs, and without any.
fn keys() -> [Vec<VerifyingKey>; 2] {
    [vec![], vec![key().verifying_key()]]
}

#[test]
fn every_changed_byte_of_a_closed_trail_is_found() {
    for text in closed() {
        for keys in keys() {
            assert!(passes(&text, &keys));
            let mut changed = text.clone();
            for at in 0..text.len() {
                let flips = (0..8).map(|bit| text[at] ^ (1 << bit));
                for byte in flips.chain(*b"\n 0a\"\\}\xff").filter(|byte| *byte != text[at]) {
                    changed[at] = byte;
                    assert!(!passes(&changed, &keys), "byte {at} as {byte:#x}: {}", String::from_utf8_lossy(&changed));
                }
                changed[at] = text[at];
            }
        }
    }
}

#[test]
fn every_byte_too_few_or_too_many_is_found() {
    for text in closed() {
        for at in 0..text.len() {
            let (before, after) = text.split_at(at);
            assert!(!passes(&[before, &after[1..]].concat(), &[]), "without byte {at}");
            assert!(!passes(before, &[]), "cut at {at}");
            for byte in *b"\n 0a\"\\}\xff" {
                assert!(!passes(&[before, &[byte], after].concat(), &[]), "with {byte:#x} before byte {at}");
            }
        }
        for byte in 0..=u8::MAX {
            assert!(!passes(&[&text[..], &[byte]].concat(), &[]), "with {byte:#x} at the end");
        }
    }
}

#[test]
fn no_change_or_cut_closes_a_trail_that_is_open() {
    let (_, _, text) = open();
    assert!(!passes(&text, &[]));
    let mut changed = text.clone();
    for at in 0..text.len() {
        for bit in 0..8 {
            changed[at] = text[at] ^ (1 << bit);
            assert!(!verify(&changed, Some(Chain::default()), &[]).closed, "byte {at} bit {bit}");
        }
        changed[at] = text[at];
        assert!(!verify(&text[..at], Some(Chain::default()), &[]).closed, "cut at {at}");
    }
}

/// What an earlier build closed has no digest, and passes as it did.
#[test]
fn a_closing_record_without_a_digest_is_read() {
    let [unsigned, _] = closed();
    let text = String::from_utf8(unsigned).unwrap();
    let (before, digest) = text.split_once("\",\"digest\":\"").expect("a digest");
    assert_eq!(digest.len(), 64 + 3);
    assert!(passes(format!("{before}\"}}\n").as_bytes(), &[]));
}

#[test]
fn what_somebody_else_did_to_the_file_is_a_record_of_its_own() {
    let (identity, mut chain, mut text) = open();
    let from = text.len();
    chain.disturbed(&identity, AT, Seq::new(4), "truncated", &mut text);
    let line = &text[from..];
    assert_eq!(number_of(line), Some(5));
    assert_eq!(number_of(&line[..line.len() - 1]), None, "half a line is no record");
    let told = String::from_utf8_lossy(line);
    let says = "\"event\":\"audit.disturbed\"";
    assert!(told.contains(says) && told.contains("\"result\":\"failure\",\"reason\":\"truncated\""), "{told}");
    let report = verify(&text, Some(Chain::default()), &[]);
    assert!(report.faults.is_empty() && !report.closed, "{report:?}");
}
