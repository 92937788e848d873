//! The other side of [`register`](openrtc_runtime::register): lets workers in for whoever hands out calls.
//!
//! It holds public keys only. What it admitted is kept in memory; one that starts again must take a larger epoch, for
//! which no earlier token is good.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use openrtc_core::id::{Epoch, WorkerId};
use openrtc_core::membership::{BadKey, Claims, KeyId, Manifest, MembershipError, MembershipVerifier, Token};
use openrtc_core::time::Instant;
use openrtc_runtime::Clock;
use openrtc_runtime::http::server::{self, Bounds};
#[cfg(feature = "tls")]
use openrtc_runtime::http::tls::{self, ServerCertificate};
use openrtc_runtime::register::{Answer, Request};
use tokio::net::TcpListener;

/// No request needs more, in bytes.
const BODY_MAX: usize = 4096;

/// One attempt of a worker to register, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it asked.
    pub at: Instant,
    /// Who asked, in its own words.
    pub worker: WorkerId,
    /// What its token proves, or why it is refused.
    pub result: Result<Claims, MembershipError>,
}

impl Attempt {
    /// The name of the audit event.
    #[must_use]
    pub const fn event(&self) -> &'static str {
        match self.result {
            Ok(_) => "worker.registered",
            Err(_) => "worker.rejected",
        }
    }
}

/// Judges registrations. Cheap to clone; all clones are the same registrar.
#[derive(Clone)]
pub struct Registrar {
    shared: Arc<Shared>,
}

type Record = Box<dyn Fn(&Attempt) + Send + Sync>;

struct Shared {
    verifier: Mutex<MembershipVerifier>,
    record: Record,
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrar").field("verifier", &*self.verifier()).finish_non_exhaustive()
    }
}

impl Registrar {
    /// A registrar that judges with `verifier` and hands every attempt to `record`, before the worker hears of it.
    pub fn new(verifier: MembershipVerifier, record: impl Fn(&Attempt) + Send + Sync + 'static) -> Self {
        Self { shared: Arc::new(Shared { verifier: Mutex::new(verifier), record: Box::new(record) }) }
    }

    /// Replaces the versions and the epoch that are allowed. Workers admitted before are not asked again.
    pub fn set_manifest(&self, manifest: Manifest) {
        self.verifier().set_manifest(manifest);
    }

    /// Accepts a public key (RFC 8032 encoding) beside the others, from now on.
    pub fn add_key(&self, key: &[u8; 32]) -> Result<KeyId, BadKey> {
        self.verifier().add_key(key)
    }

    /// Lets nobody in with a key from now on. Workers admitted before are not asked again.
    pub fn remove_key(&self, id: KeyId) {
        self.verifier().remove_key(id);
    }

    /// Answers registrations at `/register` for as long as the process lives.
    pub async fn serve(self, listener: TcpListener) {
        server::answer_all(listener, self.router(), Bounds::default()).await;
    }

    /// The same over TLS.
    #[cfg(feature = "tls")]
    pub async fn serve_tls(self, listener: TcpListener, certificate: Arc<ServerCertificate>) {
        tls::answer_all(listener, self.router(), Bounds::default(), certificate).await;
    }

    /// The endpoint, to be served beside others.
    pub fn router(self) -> Router {
        Router::new().route("/register", post(register)).layer(DefaultBodyLimit::max(BODY_MAX)).with_state(self)
    }

    fn decide(&self, request: &Request) -> (StatusCode, Answer) {
        let at = Clock::wall();
        let (judged, epoch) = self.judge(at, request);
        if let Err(refusal @ (MembershipError::StaleEpoch(_) | MembershipError::FutureEpoch(_))) = judged {
            return (StatusCode::CONFLICT, Answer { epoch: Some(epoch), ..refused(&refusal) });
        }
        self.record(&Attempt { at, worker: request.worker, result: judged });
        match judged {
            Ok(_) => (StatusCode::OK, registered(epoch)),
            Err(refusal) => (StatusCode::FORBIDDEN, refused(&refusal)),
        }
    }

    /// Judges and remembers in one step, so that of two requests with one token only one is admitted.
    fn judge(&self, at: Instant, request: &Request) -> (Result<Claims, MembershipError>, Epoch) {
        let mut verifier = self.verifier();
        let epoch = verifier.manifest().epoch;
        let judged = Token::from_text(&request.token)
            .map_err(MembershipError::Malformed)
            .and_then(|token| verifier.judge(at, &token.to_bytes(), Some(request.worker)));
        if let Ok(admitted) = &judged {
            verifier.apply(admitted);
        }
        (judged.map(|admitted| admitted.claims), epoch)
    }

    fn record(&self, attempt: &Attempt) {
        let (event, worker) = (attempt.event(), attempt.worker);
        match &attempt.result {
            Ok(Claims { identity, epoch, .. }) => {
                let (version, incarnation) = (identity.version, identity.incarnation);
                tracing::info!(target: "openrtc::audit", event, %worker, %version, %incarnation, %epoch);
            }
            Err(refusal) => {
                tracing::warn!(target: "openrtc::audit", event, %worker, reason = refusal.word(), "{refusal}");
            }
        }
        (self.shared.record)(attempt);
    }

    fn verifier(&self) -> MutexGuard<'_, MembershipVerifier> {
        self.shared.verifier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn registered(epoch: Epoch) -> Answer {
    Answer { reason: "registered".into(), message: "the worker may take calls".into(), epoch: Some(epoch) }
}

fn refused(refusal: &MembershipError) -> Answer {
    Answer { reason: refusal.word().into(), message: refusal.to_string(), epoch: None }
}

async fn register(State(registrar): State<Registrar>, body: Bytes) -> (StatusCode, Json<Answer>) {
    let (status, answer) = match serde_json::from_slice(&body) {
        Ok(request) => registrar.decide(&request),
        Err(error) => {
            let message = format!("the request is not valid: {error}");
            (StatusCode::BAD_REQUEST, Answer { reason: "bad_request".into(), message, epoch: None })
        }
    };
    (status, Json(answer))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use openrtc_core::id::{Deployment, Identity, Incarnation, Version};
    use openrtc_core::membership::{SigningKey, VerifierLimits, sign_membership};
    use openrtc_core::time::Span;

    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const LIMITS: VerifierLimits =
        VerifierLimits { age_max: Span::from_secs(60), ahead_max: Span::from_secs(5), workers_max: 8 };

    fn registrar() -> Registrar {
        let mut verifier = MembershipVerifier::new(manifest("v1"), LIMITS);
        verifier.add_key(SigningKey::from_bytes(&KEY).verifying_key().as_bytes()).expect("a key");
        Registrar::new(verifier, |_| ())
    }

    fn manifest(version: &'static str) -> Manifest {
        let versions = vec![Version::from_static("v1"), Version::from_static(version)];
        Manifest { deployment: Deployment::from_static("voice"), versions, epoch: Epoch::new(1) }
    }

    /// A registration of a run of the one worker.
    fn request(incarnation: u64) -> Request {
        let identity = Identity {
            deployment: Deployment::from_static("voice"),
            version: Version::from_static("v1"),
            worker: WorkerId::from_static("w"),
            incarnation: Incarnation::new(incarnation),
        };
        let claims = Claims { identity, epoch: Epoch::new(1), issued_at: Clock::wall() };
        let token = sign_membership(&SigningKey::from_bytes(&KEY), &claims).to_text();
        Request { worker: identity.worker, token }
    }

    /// Judging and remembering are one step. In two, the second of two requests is judged before the first is
    /// remembered: not in each round, but in one of so many.
    #[test]
    fn of_many_registrations_of_one_token_at_once_one_is_let_in() {
        const AT_ONCE: usize = 4;
        let registrar = registrar();
        for round in 1..=200 {
            let (request, barrier) = (request(round), Barrier::new(AT_ONCE));
            let register = || {
                barrier.wait();
                registrar.decide(&request).0
            };
            let statuses: Vec<_> = thread::scope(|scope| {
                let asked: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(register)).collect();
                asked.into_iter().map(|asked| asked.join().expect("an answer")).collect()
            });
            let count = |status| statuses.iter().filter(|told| **told == status).count();
            let counts = (count(StatusCode::OK), count(StatusCode::FORBIDDEN));
            assert_eq!(counts, (1, AT_ONCE - 1), "round {round}: {statuses:?}");
        }
    }

    #[test]
    fn a_manifest_that_is_read_again_lets_no_token_in_twice() {
        let (registrar, token) = (registrar(), request(2));
        assert_eq!(registrar.decide(&token).0, StatusCode::OK);
        for version in ["v1", "v2"] {
            registrar.set_manifest(manifest(version));
            let (status, answer) = registrar.decide(&token);
            assert_eq!((status, &*answer.reason), (StatusCode::FORBIDDEN, "replayed"));
            assert_eq!(registrar.decide(&request(1)).1.reason, "stale_incarnation");
        }
        assert_eq!(registrar.clone().decide(&request(3)).0, StatusCode::OK, "a later run is another matter");
    }
}
