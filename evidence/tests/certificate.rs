//! A certificate that an earlier build issued, with every way in which a run and a call can end.

use ed25519_dalek::SigningKey;
use openrtc_core::hex::Hex;
use openrtc_evidence::{Certificate, CheckError, Verdict, check, issue, read};
use sha2::{Digest, Sha256};

const ISSUED: &str = include_str!("certificate.jsonl");

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// A body with a digest that fits, unsigned.
fn sealed(body: &str) -> String {
    format!("{body}\n{{\"digest\":\"{}\"}}\n", Hex(&Sha256::digest(body)))
}

#[test]
fn it_still_checks_and_is_written_as_it_was() {
    let certificate = check(ISSUED, Some(&key(7).verifying_key())).expect("signed by this key");
    assert_eq!((certificate.verdict, certificate.drops().count()), (Verdict::Dropped, 3));
    let written = serde_json::to_string(&certificate).expect("it can be written");
    assert_eq!(Some(written.as_str()), ISSUED.lines().next());
}

#[test]
fn what_is_wrong_with_one_is_told() {
    let ours = key(7).verifying_key();
    let (body, _) = ISSUED.split_once('\n').expect("two lines");
    let changed = |from: &str, to: &str| ISSUED.replacen(from, to, 1);
    for (text, says) in [
        (body.to_owned(), "it is not two lines"),
        (changed("drain_forced", "caller_hangup"), "the digest does not match"),
        (changed("drain_forced", "drain_farced"), "the digest does not match"),
        (sealed(&body.replace("drain_forced", "drain_farced")), "line 1"),
        (format!("{body}\n{{}}"), "line 2"),
        (sealed(body), "it is not signed"),
        (changed("\"signature\":\"0e", "\"signature\":\"0"), "line 2: the signature is not 128 hex digits"),
        (changed("\"signature\":\"0e", "\"signature\":\"0f"), "it is not signed by the key"),
    ] {
        let error = check(&text, Some(&ours)).expect_err(says).to_string();
        assert!(error.starts_with(says), "{error:?} should say {says:?}");
    }
    let other = key(8).verifying_key();
    assert!(matches!(check(ISSUED, Some(&other)), Err(CheckError::WrongKey)));
}

#[test]
fn a_verdict_that_its_calls_do_not_lead_to_is_refused_whoever_signed_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("lie.jsonl");
    let lie = Certificate { verdict: Verdict::Proven, ..check(ISSUED, None).expect("unaltered") };
    issue(&lie, &out, Some(&key(7))).expect("it can be written");
    let text = read(&out).expect("it can be read");
    assert!(matches!(check(&text, Some(&key(7).verifying_key())), Err(CheckError::Verdict)));
}
