//! One table of attacks on membership: each is refused, and for its own reason; and a token made by other code.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use ed25519_dalek::{Signature, Verifier};
use openrtc_core::id::{Deployment, Epoch, Identity, Incarnation, Version, WorkerId};
use openrtc_core::membership::{
    BadKey, Claims, KeyId, Malformed, Manifest, MembershipError, MembershipVerifier, Part, SigningKey, Token,
    VerifierLimits, VerifyingKey, sign_membership,
};
use openrtc_core::time::{Instant, Span};

const NOW: Instant = Instant::from_micros(1_000_000_000);
const LIMITS: VerifierLimits =
    VerifierLimits { age_max: Span::from_secs(60), ahead_max: Span::from_secs(5), workers_max: 2 };

/// The order of the base point, little endian (RFC 8032 §5.1).
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

/// Every encoding of a point of small order, but for the sign bit: orders 1, 2, 4 and both of 8, then the unreduced
/// ones of 0 and 1.
const SMALL: [&str; 7] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// What `golden.py` prints: the genuine token, and the one whose signature has the identity for R.
const GOLDEN: [&str; 2] = [
    "AepKbGPinFIKBXZvaWNlAnYyA3ctMQMAAAAAAAAACQAAAAAAAAAAypo7AAAAAHhBUOCxA9iWN-vLf50sU-Qr0vMORLOQscl9YDk0-LfQVX92f03l\
     Gk58LunexZFyvz6GY721pNS4B0Co1WLk4gE",
    "AepKbGPinFIKBXZvaWNlAnYyA3ctMQMAAAAAAAAACQAAAAAAAAAAypo7AAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_mVfbPci\
     kVTnl0dp28JtpmiVZzueua5qIopgUqCbEgI",
];

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn claims() -> Claims {
    let identity = Identity {
        deployment: Deployment::from_static("voice"),
        version: Version::from_static("v2"),
        worker: WorkerId::from_static("w-1"),
        incarnation: Incarnation::new(3),
    };
    Claims { identity, epoch: Epoch::new(9), issued_at: NOW }
}

/// A verifier that had two keys, of which the second was rotated out, and has admitted run 3 of worker `w-0`.
fn verifier() -> MembershipVerifier {
    let versions = vec![Version::from_static("v2"), Version::from_static("v3")];
    let manifest = Manifest { deployment: Deployment::from_static("voice"), versions, epoch: Epoch::new(9) };
    let mut verifier = MembershipVerifier::new(manifest, LIMITS);
    for seed in [7, 8] {
        verifier.add_key(key(seed).verifying_key().as_bytes()).unwrap();
    }
    assert!(verifier.remove_key(KeyId::of(&key(8).verifying_key())));
    let known = with(|claims| claims.identity.worker = WorkerId::from_static("w-0"));
    let admitted = verifier.judge(NOW, &sign_membership(&key(7), &known).to_bytes(), None).unwrap();
    verifier.apply(&admitted);
    verifier
}

fn with(change: impl Fn(&mut Claims)) -> Claims {
    let mut claims = claims();
    change(&mut claims);
    claims
}

fn signed(change: impl Fn(&mut Claims)) -> Vec<u8> {
    sign_membership(&key(7), &with(change)).to_bytes()
}

/// The genuine token with something changed after it was signed.
fn forged(change: impl Fn(&mut Token)) -> Vec<u8> {
    let mut token = sign_membership(&key(7), &claims());
    change(&mut token);
    token.to_bytes()
}

struct Attack {
    name: String,
    token: Vec<u8>,
    /// The worker at the other end, where something else than the token says who that is.
    presenter: Option<WorkerId>,
    refusal: MembershipError,
}

fn attack(name: impl Into<String>, token: Vec<u8>, refusal: MembershipError) -> Attack {
    Attack { name: name.into(), token, presenter: None, refusal }
}

fn on_keys() -> Vec<Attack> {
    let unknown = |seed| MembershipError::UnknownKey(KeyId::of(&key(seed).verifying_key()));
    let by = |seed| sign_membership(&key(seed), &claims());
    vec![
        attack("a key that was never accepted", by(9).to_bytes(), unknown(9)),
        attack("a key that was rotated out", by(8).to_bytes(), unknown(8)),
        attack(
            "another key's signature under an accepted key's id",
            forged(|token| token.signature = by(9).signature),
            MembershipError::BadSignature,
        ),
        attack("no signature at all", forged(|token| token.signature = [0; 64]), MembershipError::BadSignature),
        attack(
            "a signature for another purpose",
            forged(|token| {
                use ed25519_dalek::Signer;
                let bytes = token.to_bytes();
                token.signature = key(7).sign(&bytes[..bytes.len() - 64]).to_bytes();
            }),
            MembershipError::BadSignature,
        ),
    ]
}

type Rewrite = fn(&mut Claims);

fn on_claims() -> Vec<Attack> {
    let (chat, v1) = (Deployment::from_static("chat"), Version::from_static("v1"));
    let (old, new) = (Epoch::new(8), Epoch::new(10));
    let (before, micro) = (Incarnation::new(2), Span::from_micros(1));
    let w0 = WorkerId::from_static("w-0");
    let thief = Some(WorkerId::from_static("w-2"));
    let stale = NOW - LIMITS.age_max - micro;
    let future = NOW + LIMITS.ahead_max + micro;
    let mut attacks = vec![
        attack(
            "another deployment's",
            signed(|c| c.identity.deployment = chat),
            MembershipError::WrongDeployment(chat),
        ),
        attack("another version's", signed(|c| c.identity.version = v1), MembershipError::VersionNotAllowed(v1)),
        attack("an earlier epoch's", signed(|c| c.epoch = old), MembershipError::StaleEpoch(old)),
        attack("a later epoch's", signed(|c| c.epoch = new), MembershipError::FutureEpoch(new)),
        Attack {
            presenter: thief,
            ..attack("another worker's", signed(|_| {}), MembershipError::WrongWorker(claims().identity.worker))
        },
        attack("stale by a microsecond", signed(|c| c.issued_at = stale), MembershipError::Expired(micro)),
        attack("ahead by a microsecond", signed(|c| c.issued_at = future), MembershipError::FromTheFuture(micro)),
        attack("replayed", signed(|c| c.identity.worker = w0), MembershipError::Replayed),
        attack(
            "older than the last one of its run",
            signed(|c| (c.identity.worker, c.issued_at) = (w0, NOW - micro)),
            MembershipError::Replayed,
        ),
        attack(
            "an earlier run's",
            signed(|c| (c.identity.worker, c.identity.incarnation) = (w0, before)),
            MembershipError::StaleIncarnation(before),
        ),
    ];
    // The same targets, written into the token after it was signed: never believed, so never the reason.
    let rewrites: [(&str, Rewrite); 6] = [
        ("deployment", |c| c.identity.deployment = Deployment::from_static("chat")),
        ("version", |c| c.identity.version = Version::from_static("v3")),
        ("worker", |c| c.identity.worker = WorkerId::from_static("w-2")),
        ("incarnation", |c| c.identity.incarnation = Incarnation::new(4)),
        ("epoch", |c| c.epoch = Epoch::new(10)),
        ("time of issue", |c| c.issued_at = NOW + Span::from_micros(1)),
    ];
    for (what, rewrite) in rewrites {
        let token = forged(|token| rewrite(&mut token.claims));
        attacks.push(attack(format!("{what} rewritten"), token, MembershipError::BadSignature));
    }
    attacks
}

fn on_signatures() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for times in 1..=8 {
        let token = forged(|token| (0..times).for_each(|_| add_order(&mut token.signature)));
        attacks.push(attack(format!("S + {times} L"), token, MembershipError::BadSignature));
    }
    for point in SMALL {
        for sign in [0, 0x80] {
            let token = forged(|token| {
                token.signature[..32].copy_from_slice(&hex(point));
                token.signature[31] |= sign;
            });
            attacks.push(attack(format!("R of small order {point} {sign:x}"), token, MembershipError::BadSignature));
        }
    }
    let token = Token::from_text(GOLDEN[1]).unwrap().to_bytes();
    attacks.push(attack("R the identity, and S to match", token, MembershipError::BadSignature));
    attacks
}

fn on_bytes() -> Vec<Attack> {
    let genuine = signed(|_| {});
    let mut attacks = Vec::new();
    for len in 0..genuine.len() {
        let part = part_at(len);
        attacks.push(attack(format!("cut to {len} bytes"), genuine[..len].to_vec(), malformed(part)));
    }
    for byte in 0..genuine.len() {
        for bit in 0..8 {
            let mut token = genuine.clone();
            token[byte] ^= 1 << bit;
            attacks.push(attack(format!("byte {byte} bit {bit} flipped"), token.clone(), flipped(&token, byte)));
        }
    }
    let longer = [&genuine[..], &[0]].concat();
    attacks.push(attack(
        "a byte more",
        longer,
        MembershipError::Malformed(Malformed { at: genuine.len(), part: Part::End }),
    ));
    attacks
}

/// The parts of the genuine token: where each begins, names with their length.
const PARTS: [(usize, Part); 9] = [
    (0, Part::Format),
    (1, Part::Key),
    (9, Part::Deployment),
    (15, Part::Version),
    (18, Part::Worker),
    (22, Part::Number),
    (30, Part::Number),
    (38, Part::Number),
    (46, Part::Signature),
];

fn part_at(byte: usize) -> (usize, Part) {
    *PARTS.iter().rfind(|(from, _)| *from <= byte).unwrap()
}

fn malformed((at, part): (usize, Part)) -> MembershipError {
    MembershipError::Malformed(Malformed { at, part })
}

/// Why a token with a bit of `byte` flipped is refused.
fn flipped(token: &[u8], byte: usize) -> MembershipError {
    let (from, part) = part_at(byte);
    match part {
        Part::Format => malformed((0, part)),
        Part::Key => MembershipError::UnknownKey(KeyId::from_bytes(token[1..9].try_into().unwrap())),
        Part::Number | Part::Signature => MembershipError::BadSignature,
        // Another length moves everything behind it: the first part that does not read then is named.
        _ if byte == from => MembershipError::Malformed(Token::from_bytes(token).unwrap_err()),
        _ if !token[byte].is_ascii_graphic() => malformed((from, part)),
        _ => MembershipError::BadSignature,
    }
}

#[test]
fn every_attack_is_refused_for_its_own_reason() {
    let verifier = verifier();
    let genuine = signed(|_| {});
    verifier.judge(NOW, &genuine, Some(claims().identity.worker)).expect("the genuine token is accepted");
    let attacks = [on_keys(), on_claims(), on_signatures(), on_bytes()];
    let table: Vec<Attack> = attacks.into_iter().flatten().collect();
    for Attack { name, token, presenter, refusal } in &table {
        assert_eq!(verifier.judge(NOW, token, *presenter), Err(*refusal), "{name}");
    }
    assert_eq!(table.len(), 5 + 16 + 23 + 110 + 8 * 110 + 1);
}

#[test]
fn every_text_that_is_not_the_tokens_own_is_refused() {
    let genuine = sign_membership(&key(7), &claims()).to_text();
    assert!(Token::from_text(&genuine).is_ok());
    let (front, last) = genuine.split_at(genuine.len() - 1);
    // 110 bytes leave two bits in the last digit that carry nothing; they must be zero.
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = digits.find(last).unwrap();
    assert_eq!(value % 4, 0);
    let spare: Vec<_> = (1..4).map(|bits| format!("{front}{}", &digits[value + bits..=value + bits])).collect();
    let mut refused = vec![
        String::new(),
        format!("{genuine}="),
        format!("{genuine}=="),
        format!(" {genuine}"),
        format!("{genuine}\n"),
        format!("{}\n{}", &genuine[..76], &genuine[76..]),
        genuine.replacen('-', "+", 1),
        GOLDEN[1].replacen('_', "/", 1),
        genuine.replacen('A', "é", 1),
        front.to_owned(),
        "A".repeat(10_000),
    ];
    assert!(refused.iter().all(|text| *text != genuine), "each differs");
    refused.extend(spare);
    for text in refused {
        let malformed = Token::from_text(&text).expect_err(&text);
        assert!(matches!(malformed.part, Part::Text | Part::Format | Part::Signature), "{text}: {malformed}");
    }
    for text in [format!("{genuine}="), format!("{genuine}\n"), genuine.replacen('-', "+", 1)] {
        assert_eq!(Token::from_text(&text), Err(Malformed { at: 0, part: Part::Text }), "{text}");
    }
}

#[test]
fn every_small_order_and_unreduced_public_key_is_refused() {
    for point in SMALL {
        for sign in [0, 0x80] {
            let mut bytes = hex(point);
            bytes[31] |= sign;
            let refused = verifier().add_key(&bytes);
            assert!(matches!(refused, Err(BadKey::Weak | BadKey::NotAPoint)), "{point} {sign:x}: {refused:?}");
        }
    }
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            assert!(verifier().add_key(&bytes).is_err(), "{low:x} {high:x}");
        }
    }
}

#[test]
fn a_token_made_by_other_code_is_the_same_and_a_lenient_check_would_not_do() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.py");
    let output = Command::new("python3").arg(script).output().expect("python3 runs: install it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().collect::<Vec<_>>(), GOLDEN);
    assert_eq!(sign_membership(&key(7), &claims()).to_text(), GOLDEN[0]);

    // The reason for `verify_strict`: the usual check accepts a signature whose R has small order.
    let token = Token::from_text(GOLDEN[1]).unwrap();
    let bytes = token.to_bytes();
    let message = [b"openrtc membership v1\0", &bytes[..bytes.len() - 64]].concat();
    let public: VerifyingKey = key(7).verifying_key();
    public.verify(&message, &Signature::from_bytes(&token.signature)).expect("a lenient check accepts it");
}

/// S + L: the same number to who does not look.
fn add_order(signature: &mut [u8; 64]) {
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(hex(ORDER)) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
}

fn hex(text: &str) -> [u8; 32] {
    openrtc_core::hex::read(text.as_bytes()).unwrap()
}
