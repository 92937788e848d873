//! Certificates that were issued of every way in which a run and a call can end, in each format.

use ed25519_dalek::SigningKey;
use openrtc_core::hex::Hex;
use openrtc_evidence::{Certificate, CheckError, Format, Verdict, check, issue, read};
use sha2::{Digest, Sha256};

/// By builds up to commit d8c22db.
const ISSUED_1: &str = include_str!("certificate.jsonl");
const ISSUED: &str = include_str!("certificate_2.jsonl");

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// A body with a digest that fits, unsigned.
fn sealed(body: &str) -> String {
    format!("{body}\n{{\"digest\":\"{}\",\"key\":null,\"signature\":null}}\n", Hex(&Sha256::digest(body)))
}

#[test]
fn it_still_checks_and_is_written_as_it_was() {
    let certificate = check(ISSUED, Some(&key(7).verifying_key())).expect("signed by this key");
    assert_eq!((certificate.verdict, certificate.drops().count()), (Verdict::Dropped, 3));
    let written = serde_json::to_string(&certificate).expect("it can be written");
    assert_eq!(Some(written.as_str()), ISSUED.lines().next());
}

#[test]
fn one_of_the_first_format_still_checks_and_says_what_it_said() {
    let certificate = check(ISSUED_1, Some(&key(7).verifying_key())).expect("signed by this key");
    assert_eq!(
        (certificate.format, certificate.verdict, certificate.drops().count()),
        (Format::V1, Verdict::Dropped, 3)
    );
    let lie = ISSUED_1.lines().next().expect("two lines").replacen("\"dropped\"", "\"proven\"", 1);
    assert!(matches!(check(&sealed(&lie), None), Err(CheckError::Verdict)));
}

#[test]
fn every_changed_bit_is_found_and_no_cut_passes() {
    let ours = key(7).verifying_key();
    for issued in [ISSUED, ISSUED_1] {
        for place in 0..issued.len() {
            for bit in 0..8 {
                let mut altered = issued.as_bytes().to_vec();
                altered[place] ^= 1 << bit;
                let found =
                    String::from_utf8(altered).map_err(drop).and_then(|text| check(&text, Some(&ours)).map_err(drop));
                assert_eq!(found, Err(()), "bit {bit} of byte {place}");
            }
            assert!(check(&issued[..place], Some(&ours)).is_err(), "cut to {place} bytes");
        }
        assert!(check(&format!("{issued}\n"), Some(&ours)).is_err(), "something behind it");
    }
    // Without a signature there is no more to it than the digest, and nothing that could be altered either.
    let unsigned = sealed(ISSUED.lines().next().expect("two lines"));
    check(&unsigned, None).expect("unaltered");
    for place in 0..unsigned.len() {
        for bit in 0..7 {
            let mut altered = unsigned.clone().into_bytes();
            altered[place] ^= 1 << bit;
            let text = String::from_utf8(altered).expect("the high bit is as it was");
            assert!(check(&text, None).is_err(), "bit {bit} of byte {place}");
        }
    }
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
        (changed("\"signature\":\"60", "\"signature\":\""), "line 2: the signature is not 128 hex digits"),
        (changed("\"signature\":\"60", "\"signature\":\"61"), "it is not signed by the key"),
        (changed("\"key\":\"ea", "\"key\":\"eb"), "line 2 is not as it was written"),
        (changed("\n{\"digest\"", "\n{ \"digest\""), "line 2 is not as it was written"),
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
