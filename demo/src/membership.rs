//! Who may take calls in the demo: a key, a manifest that moves with the rollout, and the registrar that holds to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use openrtc_core::id::{Deployment, Epoch, Version};
use openrtc_core::membership::{Manifest, MembershipVerifier, SigningKey, VerifierLimits};
use openrtc_core::time::Span;
use openrtc_fleet::registrar::{Attempt, Registrar};
use openrtc_runtime::write_key_pair;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::error::{DemoError, WorkerFault};
use crate::summary::RejectedWorker;

/// What every worker of the demo belongs to.
pub(super) const DEPLOYMENT: Deployment = Deployment::from_static("demo");

const LIMITS: VerifierLimits =
    VerifierLimits { age_max: Span::from_secs(60), ahead_max: Span::from_secs(5), workers_max: 64 };

/// The registrar at work.
pub(super) struct Membership {
    registrar: Registrar,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    epoch: u64,
    url: String,
    /// The secret key that every worker signs with.
    pub(super) key: SigningKey,
    /// Its file.
    key_file: PathBuf,
    /// The public key beside it, for whoever checks what they signed.
    pub(super) public: PathBuf,
    serving: AbortHandle,
}

impl Membership {
    /// Writes the key pair to `dir` and lets nobody in yet.
    pub(super) async fn start(dir: &Path, key: SigningKey) -> Result<Self, DemoError> {
        let key_file = dir.join("demo.key");
        let public = write_key_pair(&key_file, &key)?;
        let mut verifier = MembershipVerifier::new(manifest(0, &[]), LIMITS);
        verifier.add_key(key.verifying_key().as_bytes()).expect("the public key of a secret one is good");
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&attempts);
        let record = move |attempt: &Attempt| lock(&recorded).push(*attempt);
        let registrar = Registrar::new(verifier, record);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(DemoError::Registrar)?;
        let url = format!("http://{}/register", listener.local_addr().map_err(DemoError::Registrar)?);
        let serving = tokio::spawn(registrar.clone().serve(listener)).abort_handle();
        Ok(Self { registrar, attempts, epoch: 0, url, key, key_file, public, serving })
    }

    /// From now on, workers of these versions are admitted and no others. What was signed before is worth nothing.
    pub(super) fn allow(&mut self, versions: &[&'static str]) {
        self.epoch += 1;
        self.registrar.set_manifest(manifest(self.epoch, versions));
    }

    /// What a worker must be told to register.
    pub(super) fn settings(&self) -> [(&'static str, String); 2] {
        let key = self.key_file.display().to_string();
        [("OPENRTC_REGISTER_URL", self.url.clone()), ("OPENRTC_SIGNING_KEY_FILE", key)]
    }

    /// Makes sure that a worker was admitted as what it is said to be: calls are given to no other.
    pub(super) fn check(&self, worker: &str, version: &'static str) -> Result<(), DemoError> {
        let claims = self.last(worker).and_then(|attempt| attempt.result.ok());
        let proven = claims.is_some_and(|claims| claims.identity.version.as_str() == version);
        if proven { Ok(()) } else { Err(WorkerFault::Unproven(version).of(worker)) }
    }

    /// The refusal of a worker that left with `exit_code`.
    pub(super) fn rejection(
        &self,
        worker: &str,
        version: &'static str,
        exit_code: Option<i32>,
    ) -> Option<RejectedWorker> {
        let attempt = self.last(worker)?;
        let refusal = attempt.result.err()?;
        Some(RejectedWorker {
            event: attempt.event(),
            worker: worker.into(),
            version,
            exit_code,
            reason: refusal.word(),
            message: refusal.to_string(),
        })
    }

    fn last(&self, worker: &str) -> Option<Attempt> {
        lock(&self.attempts).iter().rfind(|attempt| attempt.worker.as_str() == worker).copied()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn manifest(epoch: u64, versions: &[&'static str]) -> Manifest {
    let versions = versions.iter().copied().map(Version::from_static).collect();
    Manifest { deployment: DEPLOYMENT, versions, epoch: Epoch::new(epoch) }
}

fn lock(attempts: &Mutex<Vec<Attempt>>) -> std::sync::MutexGuard<'_, Vec<Attempt>> {
    attempts.lock().unwrap_or_else(PoisonError::into_inner)
}
