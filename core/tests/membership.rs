//! Who is admitted, and the edges of it. What attackers try is in `attacks.rs`.
#![allow(clippy::unwrap_used)]

use openrtc_core::id::{Deployment, Epoch, Identity, Incarnation, Version, WorkerId};
use openrtc_core::membership::{
    Claims, KeyId, Malformed, Manifest, MembershipError, MembershipVerifier, Part, SigningKey, Token, VerifierLimits,
    sign_membership,
};
use openrtc_core::time::{Instant, Span};

const NOW: Instant = Instant::from_micros(1_000_000_000);
const LIMITS: VerifierLimits =
    VerifierLimits { age_max: Span::from_secs(60), ahead_max: Span::from_secs(5), workers_max: 2 };

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
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

fn verifier() -> MembershipVerifier {
    let versions = vec![Version::from_static("v2")];
    let manifest = Manifest { deployment: Deployment::from_static("voice"), versions, epoch: Epoch::new(9) };
    let mut verifier = MembershipVerifier::new(manifest, LIMITS);
    verifier.add_key(key().verifying_key().as_bytes()).unwrap();
    verifier
}

fn judge(verifier: &MembershipVerifier, claims: &Claims) -> Result<(), MembershipError> {
    verifier.judge(NOW, &sign_membership(&key(), claims).to_bytes(), None).map(drop)
}

fn with(change: impl Fn(&mut Claims)) -> Claims {
    let mut claims = claims();
    change(&mut claims);
    claims
}

#[test]
fn a_token_in_order_is_admitted_in_both_forms() {
    let token = sign_membership(&key(), &claims());
    assert_eq!(Token::from_text(&token.to_text()), Ok(token));
    let admitted = verifier().judge(NOW, &token.to_bytes(), Some(claims().identity.worker)).unwrap();
    assert_eq!(admitted.claims, claims());
}

/// A coordinator's fleet says which versions and which runs may join; all else is judged as ever.
#[test]
fn whoever_judges_versions_and_runs_itself_judges_nothing_else_less() {
    let mut verifier = verifier();
    let judge = |verifier: &MembershipVerifier, claims: &Claims| {
        verifier.judge_but_place(NOW, &sign_membership(&key(), claims).to_bytes())
    };
    let other = with(|claims| claims.identity.version = Version::from_static("v9"));
    assert_eq!(judge(&verifier, &other).unwrap().claims, other);
    let late = with(|claims| claims.epoch = Epoch::new(8));
    assert_eq!(judge(&verifier, &late), Err(MembershipError::StaleEpoch(Epoch::new(8))));
    let foreign = with(|claims| claims.identity.deployment = Deployment::from_static("chat"));
    assert_eq!(judge(&verifier, &foreign), Err(MembershipError::WrongDeployment(Deployment::from_static("chat"))));
    let admitted = judge(&verifier, &other).unwrap();
    verifier.apply(&admitted);
    assert_eq!(judge(&verifier, &other), Err(MembershipError::Replayed));

    let later = with(|claims| claims.identity.incarnation = Incarnation::new(10));
    verifier.apply(&judge(&verifier, &later).unwrap());
    let earlier = judge(&verifier, &claims()).unwrap();
    verifier.apply(&earlier);
    assert_eq!(judge(&verifier, &later), Err(MembershipError::Replayed), "the later run stays the one that is known");
    let forged = with(|claims| claims.epoch = Epoch::new(8));
    assert_eq!(judge(&verifier, &forged), Err(MembershipError::StaleEpoch(Epoch::new(8))), "an earlier run's too");
}

#[test]
fn the_bytes_are_the_documented_ones() {
    let token = sign_membership(&key(), &claims());
    let mut body = vec![1];
    body.extend_from_slice(&key().verifying_key().as_bytes()[..8]);
    body.extend_from_slice(b"\x05voice\x02v2\x03w-1");
    body.extend_from_slice(b"\x03\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x00\xca\x9a\x3b\0\0\0\0");
    assert_eq!(token.to_bytes()[..body.len()], body);
    let message = [b"openrtc membership v1\0".as_slice(), &body].concat();
    let signature = ed25519_dalek::Signature::from_bytes(&token.signature);
    key().verifying_key().verify_strict(&message, &signature).unwrap();
}

/// The last instant is written one way; the number beyond it is no second one.
#[test]
fn a_time_of_issue_has_one_encoding() {
    let last = sign_membership(&key(), &with(|c| c.issued_at = Instant::from_micros(u64::MAX)));
    let mut bytes = last.to_bytes();
    assert_eq!(Token::from_bytes(&bytes), Ok(last));
    let time = bytes.len() - 64 - 8;
    assert_eq!(bytes[time..time + 8], [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    bytes[time] = 0xff;
    assert_eq!(Token::from_bytes(&bytes), Err(Malformed { at: time, part: Part::Number }));
}

#[test]
fn the_window_closes_both_ways_at_its_edge() {
    let micro = Span::from_micros(1);
    assert_eq!(judge(&verifier(), &with(|c| c.issued_at = NOW - LIMITS.age_max)), Ok(()));
    let stale = with(|c| c.issued_at = NOW - LIMITS.age_max - micro);
    assert_eq!(judge(&verifier(), &stale), Err(MembershipError::Expired(micro)));
    assert_eq!(judge(&verifier(), &with(|c| c.issued_at = NOW + LIMITS.ahead_max)), Ok(()));
    let future = with(|c| c.issued_at = NOW + LIMITS.ahead_max + micro);
    assert_eq!(judge(&verifier(), &future), Err(MembershipError::FromTheFuture(micro)));
}

#[test]
fn replays_and_earlier_runs_are_refused_and_a_later_run_is_not() {
    let mut verifier = verifier();
    let bytes = sign_membership(&key(), &claims()).to_bytes();
    let admitted = verifier.judge(NOW, &bytes, None).unwrap();
    verifier.apply(&admitted);
    assert_eq!(judge(&verifier, &claims()), Err(MembershipError::Replayed));
    let earlier = Incarnation::new(2);
    let stale = with(|c| c.identity.incarnation = earlier);
    assert_eq!(judge(&verifier, &stale), Err(MembershipError::StaleIncarnation(earlier)));
    assert_eq!(judge(&verifier, &with(|c| c.identity.incarnation = Incarnation::new(4))), Ok(()));
}

/// A manifest is read again whenever a version is rolled out. A verifier that then forgot what it admitted would let an
/// old token in at every rollout.
#[test]
fn a_new_manifest_forgets_no_admission() {
    let mut verifier = verifier();
    let bytes = sign_membership(&key(), &claims()).to_bytes();
    let admitted = verifier.judge(NOW, &bytes, None).unwrap();
    verifier.apply(&admitted);
    let manifest = verifier.manifest().clone();
    let versions = vec![Version::from_static("v2"), Version::from_static("v3")];
    for manifest in [manifest.clone(), Manifest { versions, ..manifest.clone() }] {
        verifier.set_manifest(manifest);
        assert_eq!(judge(&verifier, &claims()), Err(MembershipError::Replayed));
        let earlier = Incarnation::new(2);
        let stale = with(|c| c.identity.incarnation = earlier);
        assert_eq!(judge(&verifier, &stale), Err(MembershipError::StaleIncarnation(earlier)));
    }
    // Nor does it once a version is out of it and in again, or the clock was set back meanwhile.
    verifier.set_manifest(Manifest { versions: vec![], ..manifest.clone() });
    verifier.set_manifest(manifest.clone());
    assert_eq!(judge(&verifier, &claims()), Err(MembershipError::Replayed));
    let long_ago = with(|c| c.issued_at = NOW - LIMITS.age_max - LIMITS.age_max);
    let old = sign_membership(&key(), &long_ago).to_bytes();
    assert!(matches!(verifier.judge(long_ago.issued_at, &old, None), Err(MembershipError::Expired(_))));
    // A later term makes every earlier token useless, and an admission of an earlier term still counts in it.
    verifier.set_manifest(Manifest { epoch: Epoch::new(10), ..manifest });
    assert_eq!(judge(&verifier, &claims()), Err(MembershipError::StaleEpoch(Epoch::new(9))));
    let stale = with(|c| (c.epoch, c.identity.incarnation) = (Epoch::new(10), Incarnation::new(2)));
    assert_eq!(judge(&verifier, &stale), Err(MembershipError::StaleIncarnation(Incarnation::new(2))));
}

#[test]
fn a_full_table_forgets_only_what_expired_and_a_clock_set_back_revives_nothing() {
    let mut verifier = verifier();
    let worker = |name| with(|c| c.identity.worker = WorkerId::from_static(name));
    for name in ["a", "b"] {
        let token = sign_membership(&key(), &worker(name)).to_bytes();
        let admitted = verifier.judge(NOW, &token, None).unwrap();
        verifier.apply(&admitted);
    }
    assert_eq!(judge(&verifier, &worker("c")), Err(MembershipError::TooManyWorkers));
    let later = NOW + LIMITS.age_max + Span::from_secs(1);
    let mut fresh = worker("c");
    fresh.issued_at = later;
    let admitted = verifier.judge(later, &sign_membership(&key(), &fresh).to_bytes(), None).unwrap();
    verifier.apply(&admitted);
    assert_eq!(judge(&verifier, &worker("a")), Err(MembershipError::Expired(Span::from_secs(1))));
}

#[test]
fn only_current_keys_count() {
    let mut verifier = verifier();
    let next = SigningKey::from_bytes(&[8; 32]);
    let id = KeyId::of(&next.verifying_key());
    let bytes = sign_membership(&next, &claims()).to_bytes();
    assert_eq!(verifier.judge(NOW, &bytes, None), Err(MembershipError::UnknownKey(id)));
    verifier.add_key(next.verifying_key().as_bytes()).unwrap();
    assert!(verifier.judge(NOW, &bytes, None).is_ok());
    assert!(verifier.remove_key(KeyId::of(&key().verifying_key())));
    assert!(matches!(judge(&verifier, &claims()), Err(MembershipError::UnknownKey(_))));
    let mut forged = sign_membership(&key(), &claims());
    forged.key = id;
    assert_eq!(verifier.judge(NOW, &forged.to_bytes(), None), Err(MembershipError::BadSignature));
}
