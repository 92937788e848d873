//! Arbitrary bytes as a membership token: as they are, and as changes to a token that would be admitted.

use std::sync::OnceLock;

use openrtc_core::id::{Deployment, Epoch, Identity, Incarnation, Version, WorkerId};
use openrtc_core::membership::{
    Claims, Manifest, MembershipVerifier, SigningKey, Token, VerifierLimits, VerifyingKey, sign_membership,
};
use openrtc_core::time::{Instant, Span};

const NOW: Instant = Instant::from_micros(1_763_884_800_000_000);

/// Reads and judges the token; only the genuine one is admitted.
pub fn check(bytes: &[u8]) {
    let gate = gate();
    check_form(bytes);
    check_text(bytes);
    check_verdict(gate, bytes);
    check_verdict(gate, &changed(&gate.genuine, bytes));
    check_key(bytes);
}

/// A verifier, and a token that it lets in.
struct Gate {
    verifier: MembershipVerifier,
    genuine: Vec<u8>,
}

fn gate() -> &'static Gate {
    static GATE: OnceLock<Gate> = OnceLock::new();
    GATE.get_or_init(|| {
        let key = SigningKey::from_bytes(&[7; 32]);
        let identity = Identity {
            deployment: Deployment::from_static("voice"),
            version: Version::from_static("v2"),
            worker: WorkerId::from_static("w-1"),
            incarnation: Incarnation::new(3),
        };
        let manifest =
            Manifest { deployment: identity.deployment, versions: vec![identity.version], epoch: Epoch::new(9) };
        let limits = VerifierLimits { age_max: Span::from_secs(60), ahead_max: Span::from_secs(5), workers_max: 8 };
        let mut verifier = MembershipVerifier::new(manifest, limits);
        verifier.add_key(key.verifying_key().as_bytes()).expect("a good key");
        let token = sign_membership(&key, &Claims { identity, epoch: Epoch::new(9), issued_at: NOW });
        Gate { verifier, genuine: token.to_bytes() }
    })
}

/// A token has one encoding in either form.
fn check_form(bytes: &[u8]) {
    if let Ok(token) = Token::from_bytes(bytes) {
        assert_eq!(token.to_bytes(), bytes);
        assert_eq!(Token::from_text(&token.to_text()), Ok(token));
    }
}

fn check_text(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(token) = Token::from_text(text) {
        assert_eq!(token.to_text(), text);
    }
}

fn check_verdict(gate: &Gate, token: &[u8]) {
    match gate.verifier.judge(NOW, token, None) {
        Ok(_) => assert_eq!(token, gate.genuine, "admitted"),
        Err(refusal) => {
            assert_ne!(token, gate.genuine, "{refusal}");
            assert!(!refusal.to_string().is_empty() && !refusal.word().is_empty());
        }
    }
}

/// A key that is accepted has one encoding.
fn check_key(bytes: &[u8]) {
    let Some(key) = bytes.first_chunk::<32>() else { return };
    if gate().verifier.clone().add_key(key).is_ok() {
        let read = VerifyingKey::from_bytes(key).expect("it was accepted");
        assert_eq!(read.to_edwards().compress().as_bytes(), key);
    }
}

/// The token with each pair of bytes as a change: where, and which bits to flip. A place beyond its end cuts it short.
fn changed(genuine: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut token = genuine.to_vec();
    for [place, flip] in changes.as_chunks::<2>().0 {
        let place = usize::from(*place);
        match token.get_mut(place) {
            Some(byte) => *byte ^= flip,
            None if *flip == 0 => token.truncate(place / 2),
            None => token.push(*flip),
        }
    }
    token
}
