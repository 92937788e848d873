//! Registering: a worker and a registrar over a real socket.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

use openrtc_core::id::{Deployment, Epoch, Version};
use openrtc_core::membership::{Manifest, MembershipError, MembershipVerifier, SigningKey, VerifierLimits};
use openrtc_core::time::Span;
use openrtc_core::worker::Outcome;
use openrtc_fleet::registrar::{Attempt, Registrar};
use openrtc_runtime::{Actor, AgentPool, Exit, Phase, Secret};
use tokio::net::TcpListener;

const KEY: [u8; 32] = [7; 32];
const LIMITS: VerifierLimits =
    VerifierLimits { age_max: Span::from_secs(60), ahead_max: Span::from_secs(5), workers_max: 8 };

fn manifest(version: &str, epoch: u64) -> Manifest {
    let versions = vec![Version::new(version).unwrap()];
    Manifest { deployment: Deployment::from_static("default"), versions, epoch: Epoch::new(epoch) }
}

fn registrar(version: &str, epoch: u64) -> (Registrar, Receiver<Attempt>) {
    let mut verifier = MembershipVerifier::new(manifest(version, epoch), LIMITS);
    verifier.add_key(SigningKey::from_bytes(&KEY).verifying_key().as_bytes()).unwrap();
    let (record, attempts) = channel();
    let registrar = Registrar::new(verifier, move |attempt| record.send(*attempt).unwrap());
    (registrar, attempts)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

fn worker(registrar: SocketAddr, version: &str) -> AgentPool {
    AgentPool::builder()
        .worker("w")
        .deployment_version(version)
        .signals(false)
        .signing_key(Secret::new("07".repeat(32)))
        .register(format!("http://{registrar}/register"))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_worker_learns_the_epoch_and_takes_calls_once_let_in() {
    let (registrar, attempts) = registrar("v1", 7);
    let (listener, addr) = listen().await;
    let pool = worker(addr, "v1");
    assert_eq!(pool.runtime_snapshot().phase, Phase::Standby, "nobody answers yet");
    tokio::spawn(registrar.serve(listener));
    let attempt = tokio::task::spawn_blocking(move || attempts.recv()).await.unwrap().unwrap();
    assert_eq!(attempt.event(), "worker.registered");
    let claims = attempt.result.unwrap();
    assert_eq!((claims.identity, claims.epoch), (*pool.identity(), Epoch::new(7)));
    while pool.runtime_snapshot().phase != Phase::Serving {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_refused_worker_leaves_and_is_recorded_with_the_reason() {
    let (registrar, attempts) = registrar("v2", 1);
    let (listener, addr) = listen().await;
    tokio::spawn(registrar.serve(listener));
    assert_eq!(worker(addr, "v1").exited().await, Exit::Left(Outcome::Rejected));
    let attempt = attempts.recv().unwrap();
    assert_eq!(attempt.event(), "worker.rejected");
    assert_eq!(attempt.result, Err(MembershipError::VersionNotAllowed(Version::from_static("v1"))));
}

#[tokio::test]
async fn a_drain_ends_a_worker_that_was_never_let_in() {
    let (_silent, addr) = listen().await;
    let pool = worker(addr, "v1");
    pool.begin_drain(Actor::from_static("test")).unwrap();
    assert_eq!(pool.exited().await, Exit::Left(Outcome::Clean));
}

#[tokio::test]
async fn what_cannot_register_is_refused_at_start_with_the_fix() {
    let start = || AgentPool::builder().deployment_version("v1").signals(false);
    let url = || "http://127.0.0.1:1/register".to_owned();
    let digits = || Secret::new("07".repeat(32));
    for (builder, says) in [
        (start().register(url()), "OPENRTC_SIGNING_KEY_FILE"),
        (start().register("ftp://x/register".into()).signing_key(digits()), "is not a URL like"),
        (start().register("http://me:hunter2@x/register".into()).signing_key(digits()), "leave out everything up to"),
        (start().register("registrar:80".into()).signing_key(digits()), "is not a URL like"),
        (start().register(url()).signing_key(digits()).signing_key_file("k".into()), "are both set: keep one"),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("hunter2"), "{error:?} should say {says:?}");
    }
}
