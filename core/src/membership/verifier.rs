//! Judging tokens against the manifest, the keys, the clock and what was admitted before.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::{Claims, KeyId, Malformed, Token, wire};
use crate::id::{Deployment, Epoch, Identity, Incarnation, Version, WorkerId};
use crate::time::{Instant, Span};

/// What may run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The service whose workers are judged.
    pub deployment: Deployment,
    /// The versions that may take calls.
    pub versions: Vec<Version>,
    /// The term of office tokens must be for.
    pub epoch: Epoch,
}

/// The limits of a verifier: which tokens are too old or too new, and how many workers it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifierLimits {
    /// How old a token may be.
    pub age_max: Span,
    /// How far ahead of our clock a token may be issued.
    pub ahead_max: Span,
    /// How many workers are remembered against replays.
    pub workers_max: usize,
}

/// Why a token is refused. A reason that quotes the token's content is given only if the token's signature is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipError {
    /// The text is not a token.
    Malformed(Malformed),
    /// No key of this id is accepted: it is unknown, or was rotated out.
    UnknownKey(KeyId),
    /// The signature does not hold.
    BadSignature,
    /// Meant for another service.
    WrongDeployment(Deployment),
    /// Issued to another worker than the one that presents it.
    WrongWorker(WorkerId),
    /// The manifest does not list the version.
    VersionNotAllowed(Version),
    /// For an earlier term of office.
    StaleEpoch(Epoch),
    /// For a term of office that has not begun here.
    FutureEpoch(Epoch),
    /// Issued longer ago than the window allows; by how much.
    Expired(Span),
    /// Issued further ahead than the window allows; by how much.
    FromTheFuture(Span),
    /// A later run of the worker was admitted.
    StaleIncarnation(Incarnation),
    /// This run presented this token, or a later one, before.
    Replayed,
    /// As many workers as can be remembered presented fresh tokens.
    TooManyWorkers,
}

impl MembershipError {
    /// The reason in one word, for programs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnknownKey(_) => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::WrongDeployment(_) => "wrong_deployment",
            Self::WrongWorker(_) => "wrong_worker",
            Self::VersionNotAllowed(_) => "version_not_allowed",
            Self::StaleEpoch(_) => "stale_epoch",
            Self::FutureEpoch(_) => "future_epoch",
            Self::Expired(_) => "expired",
            Self::FromTheFuture(_) => "from_the_future",
            Self::StaleIncarnation(_) => "stale_incarnation",
            Self::Replayed => "replayed",
            Self::TooManyWorkers => "too_many_workers",
        }
    }
}

impl fmt::Display for MembershipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::UnknownKey(key) => write!(f, "key {key} is not accepted: sign with a current key"),
            Self::BadSignature => f.write_str("the signature does not hold: the token was altered or forged"),
            Self::WrongDeployment(name) => write!(f, "the token is for deployment {name}, not this one"),
            Self::WrongWorker(name) => write!(f, "the token was issued to worker {name}"),
            Self::VersionNotAllowed(version) => write!(f, "version {version} is not in the manifest"),
            Self::StaleEpoch(epoch) => write!(f, "epoch {epoch} is over: sign for the current one"),
            Self::FutureEpoch(epoch) => write!(f, "epoch {epoch} has not begun here: update the manifest first"),
            Self::Expired(by) => write!(f, "the token expired {by} ago: sign a new one"),
            Self::FromTheFuture(by) => write!(f, "the token is issued {by} too far ahead: check both clocks"),
            Self::StaleIncarnation(run) => write!(f, "incarnation {run} was succeeded by a later one"),
            Self::Replayed => f.write_str("the token was used before: sign a new one"),
            Self::TooManyWorkers => f.write_str("too many workers present tokens: raise the limit of workers"),
        }
    }
}

impl core::error::Error for MembershipError {}

/// Why a public key is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// Not the canonical encoding of a point on the curve.
    NotAPoint,
    /// A point of small order, under which one signature fits many messages.
    Weak,
    /// Another key has this id.
    SameId(KeyId),
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPoint => {
                f.write_str("the public key is no canonical curve point: check that it was copied whole")
            }
            Self::Weak => f.write_str("the public key is of small order: generate a new key pair"),
            Self::SameId(id) => write!(f, "two public keys have the id {id}: remove one"),
        }
    }
}

impl core::error::Error for BadKey {}

/// A token was accepted: the one event of a verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// When, by the verifier's clock.
    pub at: Instant,
    /// What the token states.
    pub claims: Claims,
}

/// Judges tokens without changing and is changed by [`Admitted`] alone, so that a journal of those restores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipVerifier {
    manifest: Manifest,
    keys: Vec<VerifyingKey>,
    limits: VerifierLimits,
    /// The latest run and token of each worker.
    workers: BTreeMap<WorkerId, (Incarnation, Instant)>,
    /// The latest time of an admission: a clock that steps back revives no forgotten token.
    latest: Instant,
}

impl MembershipVerifier {
    /// A verifier that accepts no key yet and has admitted no worker.
    #[must_use]
    pub const fn new(manifest: Manifest, limits: VerifierLimits) -> Self {
        Self { manifest, keys: Vec::new(), limits, workers: BTreeMap::new(), latest: Instant::EPOCH }
    }

    /// Accepts a public key (RFC 8032 encoding) beside the others.
    pub fn add_key(&mut self, key: &[u8; 32]) -> Result<KeyId, BadKey> {
        let key = VerifyingKey::from_bytes(key).map_err(|_| BadKey::NotAPoint)?;
        if key.is_weak() {
            return Err(BadKey::Weak);
        }
        if !is_reduced(key.as_bytes()) {
            return Err(BadKey::NotAPoint);
        }
        let id = KeyId::of(&key);
        if self.key(id).is_some() {
            return Err(BadKey::SameId(id));
        }
        self.keys.push(key);
        Ok(id)
    }

    /// Rotates a key out; returns whether it was there.
    pub fn remove_key(&mut self, id: KeyId) -> bool {
        let before = self.keys.len();
        self.keys.retain(|key| KeyId::of(key) != id);
        self.keys.len() < before
    }

    /// What may run now.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Replaces the versions and the epoch that are allowed. What was admitted is remembered.
    pub fn set_manifest(&mut self, manifest: Manifest) {
        self.manifest = manifest;
    }

    /// Judges a token's bytes. `presenter` is the worker at the other end, where something else than the token says
    /// who that is.
    pub fn judge(&self, at: Instant, token: &[u8], presenter: Option<WorkerId>) -> Result<Admitted, MembershipError> {
        self.judge_for(at, token, presenter, |version| self.manifest.versions.contains(&version))
    }

    /// Judges whether a token's bytes are authentic and new: for a coordinator, whose fleet says which versions, and
    /// which runs of a worker, may join.
    pub fn judge_but_place(&self, at: Instant, token: &[u8]) -> Result<Admitted, MembershipError> {
        let judged = self.judge_for(at, token, None, |_| true);
        match (judged, Token::from_bytes(token)) {
            // The last thing that is looked at: all else holds.
            (Err(MembershipError::StaleIncarnation(_)), Ok(token)) => Ok(Admitted { at, claims: token.claims }),
            (judged, _) => judged,
        }
    }

    fn judge_for(
        &self,
        at: Instant,
        token: &[u8],
        presenter: Option<WorkerId>,
        allows: impl FnOnce(Version) -> bool,
    ) -> Result<Admitted, MembershipError> {
        let token = Token::from_bytes(token).map_err(MembershipError::Malformed)?;
        self.check_signature(&token)?;
        let claims = token.claims;
        self.check_target(&claims, presenter)?;
        if !allows(claims.identity.version) {
            return Err(MembershipError::VersionNotAllowed(claims.identity.version));
        }
        let at = at.max(self.latest);
        self.check_time(at, claims.issued_at)?;
        self.check_history(at, &claims)?;
        Ok(Admitted { at, claims })
    }

    /// Remembers an admission.
    pub fn apply(&mut self, admitted: &Admitted) {
        let Admitted { at, claims } = admitted;
        self.latest = self.latest.max(*at);
        if self.workers.len() >= self.limits.workers_max {
            let (latest, age_max) = (self.latest, self.limits.age_max);
            self.workers.retain(|_, (_, issued_at)| latest.since(*issued_at) <= age_max);
        }
        let Identity { worker, incarnation, .. } = claims.identity;
        if self.workers.get(&worker).is_none_or(|(known, _)| *known <= incarnation) {
            self.workers.insert(worker, (incarnation, claims.issued_at));
        }
    }

    fn check_signature(&self, token: &Token) -> Result<(), MembershipError> {
        let key = self.key(token.key).ok_or(MembershipError::UnknownKey(token.key))?;
        let signature = Signature::from_bytes(&token.signature);
        key.verify_strict(&wire::message(&token.claims, token.key), &signature)
            .map_err(|_| MembershipError::BadSignature)
    }

    fn check_target(&self, claims: &Claims, presenter: Option<WorkerId>) -> Result<(), MembershipError> {
        let Claims { identity, epoch, .. } = *claims;
        if identity.deployment != self.manifest.deployment {
            return Err(MembershipError::WrongDeployment(identity.deployment));
        }
        if presenter.is_some_and(|worker| worker != identity.worker) {
            return Err(MembershipError::WrongWorker(identity.worker));
        }
        if epoch < self.manifest.epoch {
            return Err(MembershipError::StaleEpoch(epoch));
        }
        if epoch > self.manifest.epoch {
            return Err(MembershipError::FutureEpoch(epoch));
        }
        Ok(())
    }

    fn check_time(&self, at: Instant, issued_at: Instant) -> Result<(), MembershipError> {
        let (age, ahead) = (at.since(issued_at), issued_at.since(at));
        if age > self.limits.age_max {
            return Err(MembershipError::Expired(excess(age, self.limits.age_max)));
        }
        if ahead > self.limits.ahead_max {
            return Err(MembershipError::FromTheFuture(excess(ahead, self.limits.ahead_max)));
        }
        Ok(())
    }

    fn check_history(&self, at: Instant, claims: &Claims) -> Result<(), MembershipError> {
        let incarnation = claims.identity.incarnation;
        match self.workers.get(&claims.identity.worker) {
            Some((known, _)) if incarnation < *known => Err(MembershipError::StaleIncarnation(incarnation)),
            Some((known, last)) if incarnation == *known && claims.issued_at <= *last => Err(MembershipError::Replayed),
            Some(_) => Ok(()),
            None if self.has_room(at) => Ok(()),
            None => Err(MembershipError::TooManyWorkers),
        }
    }

    /// Whether one more worker fits. A worker whose last token expired may be forgotten: its replay is too old as well.
    fn has_room(&self, at: Instant) -> bool {
        self.workers.len() < self.limits.workers_max
            || self.workers.values().any(|(_, issued_at)| at.since(*issued_at) > self.limits.age_max)
    }

    fn key(&self, id: KeyId) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| KeyId::of(key) == id)
    }
}

fn excess(span: Span, limit: Span) -> Span {
    Span::from_micros(span.as_micros().saturating_sub(limit.as_micros()))
}

/// Whether y is below the field's prime 2^255 - 19: an encoding above it names a point that has another one.
fn is_reduced(key: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = key;
    *first < 0xed || middle.iter().any(|byte| *byte != 0xff) || last & 0x7f != 0x7f
}
