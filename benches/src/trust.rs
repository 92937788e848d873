//! Tokens to verify and trails to write.

use openrtc_core::audit::{Chain, Draft, derive};
use openrtc_core::id::{
    Actor, CallNo, Deployment, DigestKey, Epoch, Identity, Incarnation, OpenIds, Version, WorkerId,
};
use openrtc_core::machine::Machine;
use openrtc_core::membership::{
    Claims, Manifest, MembershipVerifier, SigningKey, Token, VerifierLimits, VerifyingKey, sign_membership,
};
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{Cause, Class, Command, DrainOrder, EndReason, Limits, Terms, Worker};

use crate::CALL;

/// The verifier's time.
pub const NOW: Instant = Instant::from_micros(1_763_884_800_000_000);

const ALICE: Actor = Actor::from_static("alice");

/// The key that signs.
#[must_use]
pub fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Who signs and writes.
#[must_use]
pub const fn identity() -> Identity {
    Identity {
        deployment: Deployment::from_static("voice-agent"),
        version: Version::from_static("v2.14.0"),
        worker: WorkerId::from_static("voice-agent-5f9c7d-x2x7q"),
        incarnation: Incarnation::new(1_763_884_800_000_000),
    }
}

/// A token of worker `number`, in order.
#[must_use]
pub fn token(number: usize) -> Token {
    let worker = WorkerId::new(&format!("voice-agent-{number}")).expect("a name");
    let identity = Identity { worker, ..identity() };
    sign_membership(&key(), &Claims { identity, epoch: Epoch::new(9), issued_at: NOW })
}

/// A verifier that admits [`token`]s, and remembers as many as it is given here.
#[must_use]
pub fn verifier(workers_max: usize) -> MembershipVerifier {
    let Identity { deployment, version, .. } = identity();
    let manifest = Manifest { deployment, versions: vec![version], epoch: Epoch::new(9) };
    let limits = VerifierLimits { age_max: Span::from_secs(60), ahead_max: Span::from_secs(5), workers_max };
    let mut verifier = MembershipVerifier::new(manifest, limits);
    verifier.add_key(key().verifying_key().as_bytes()).expect("a good key");
    verifier
}

/// What a bare check of a signature needs: key, message and signature of [`token`] 0.
#[must_use]
pub fn bare() -> (VerifyingKey, Vec<u8>, ed25519_dalek::Signature) {
    let token = token(0);
    let bytes = token.to_bytes();
    let message = [b"openrtc membership v1\0", &bytes[..bytes.len() - 64]].concat();
    (key().verifying_key(), message, ed25519_dalek::Signature::from_bytes(&token.signature))
}

/// Records of a worker whose drain is begun, forced on one call and taken back, over and over: what a trail holds.
#[must_use]
pub fn drafts(records: usize) -> Vec<Draft> {
    let mut drafts = Vec::with_capacity(records + 4);
    let mut worker = Worker::new(Limits::default()).expect("limits are valid");
    let mut at = NOW;
    let (mut ids, id) = (OpenIds::default(), CALL.digest(DigestKey::default()));
    let mut tell = |worker: &mut Worker, drafts: &mut Vec<Draft>, command| {
        at = Instant::from_micros(at.as_micros() + 1_234);
        let entry = worker.decide(at, command).expect("the command is in order");
        ids.extend(matches!(command, Command::Admit { .. }).then(|| (CallNo::new(entry.seq.get()), CALL.clone())));
        derive(worker, &ids, &entry, |draft| drafts.push(draft));
        worker.apply(&entry);
        ids.retain(|call| worker.calls().get(call).is_some());
        CallNo::new(entry.seq.get())
    };
    tell(&mut worker, &mut drafts, Command::Serve);
    while drafts.len() < records {
        let call = tell(&mut worker, &mut drafts, Command::Admit { id, class: Class::default() });
        let order = DrainOrder { cause: Cause::Api, actor: ALICE, terms: Terms::PATIENT };
        tell(&mut worker, &mut drafts, Command::BeginDrain(order));
        tell(&mut worker, &mut drafts, Command::End { call, reason: EndReason::Failed });
        tell(&mut worker, &mut drafts, Command::CancelDrain { actor: ALICE });
    }
    drafts.truncate(records);
    drafts
}

/// Appends all records to an empty trail.
pub fn write(drafts: &[Draft], out: &mut Vec<u8>) {
    let (mut chain, identity) = (Chain::default(), identity());
    for draft in drafts {
        chain.append(&identity, draft, out);
    }
}
