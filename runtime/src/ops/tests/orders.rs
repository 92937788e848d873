//! What orders come to.

use openrtc_core::worker::Cause;

use super::*;
use crate::config::DrainTerms;

fn parked() -> Client {
    Client::with(SOCKET, Limits { leave: Leave::Parked, ..Limits::default() }, None)
}

#[tokio::test(start_paused = true)]
async fn a_drain_request_says_who_until_when_and_what_then() {
    let client = Client::new();
    client.admit();
    let body = r#"{"actor": "alice", "deadline_s": 60, "on_deadline": "alert"}"#;
    let (status, answer) = client.post("/drain", body).await;
    assert_eq!(status, StatusCode::OK);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((&answer["ok"], &answer["message"]), (&true.into(), &"done".into()));
    let told = &answer["snapshot"];
    assert_eq!((&told["phase"], &told["active_sessions"]), (&"draining".into(), &1.into()), "{told}");
    let (_, snapshot) = client.get("/snapshot").await;
    let snapshot: RuntimeSnapshot = serde_json::from_str(&snapshot).expect("a snapshot");
    let drain = snapshot.drain.expect("a drain");
    assert_eq!((drain.actor.as_str(), drain.terms.on_deadline()), ("alice", OnDeadline::Alert));
    assert_eq!(drain.terms.deadline.map(|at| at.since(drain.begun).as_micros()), Some(60_000_000));

    let (status, again) = client.post("/drain", "").await;
    assert!(status.is_success() && again.contains("already"), "a repeat is harmless: {again}");
    assert_eq!(client.post("/drain/extend", r#"{"deadline_s": 90}"#).await.0, StatusCode::OK);
    assert_eq!(client.post("/drain/extend", r#"{"deadline_s": 30}"#).await.0, StatusCode::CONFLICT);
    assert_eq!(client.post("/drain/cancel", "").await.0, StatusCode::OK);
}

/// A drain whose order names no terms is done as the worker is configured.
#[tokio::test(start_paused = true)]
async fn an_order_without_terms_drains_as_the_worker_is_configured() {
    let start = Worker::new(Limits::default()).expect("limits are valid");
    let terms = DrainTerms { timeout: Some(std::time::Duration::from_secs(77)), on_deadline: OnDeadline::Force };
    for (body, seconds, policy) in [
        ("", 77, OnDeadline::Force),
        (r#"{"actor": "alice"}"#, 77, OnDeadline::Force),
        (r#"{"deadline_s": 60}"#, 60, OnDeadline::Force),
        (r#"{"on_deadline": "alert"}"#, 77, OnDeadline::Alert),
    ] {
        let made = WorkerHandle::for_test_with(&start, Clock::start(), terms);
        made.0.submit(Command::Serve).expect("it has just started");
        let client = Client::of(made, |worker| Client::ops(worker, None));
        client.admit();
        let (status, answer) = client.post("/drain", body).await;
        assert!(status.is_success(), "{answer}");
        let drain = client.worker.snapshot().drain.expect("a drain");
        let deadline = drain.terms.deadline.map(|at| at.since(drain.begun).as_micros() / 1_000_000);
        assert_eq!((deadline, drain.terms.on_deadline()), (Some(seconds), policy), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_order_with_other_terms_is_carried_out_or_refused_and_never_ignored() {
    let begin = r#"{"deadline_s": 60, "on_deadline": "alert"}"#;
    for (second, status, deadline, policy) in [
        (r#"{"deadline_s": 600}"#, StatusCode::OK, 600, OnDeadline::Alert),
        (r#"{"deadline_s": 600, "on_deadline": "alert"}"#, StatusCode::OK, 600, OnDeadline::Alert),
        (r#"{"on_deadline": "alert"}"#, StatusCode::OK, 60, OnDeadline::Alert),
        (r#"{"deadline_s": 600, "on_deadline": "force"}"#, StatusCode::OK, 60, OnDeadline::Force),
        (r#"{"on_deadline": "wait"}"#, StatusCode::CONFLICT, 60, OnDeadline::Alert),
        (r#"{"deadline_s": 30}"#, StatusCode::OK, 30, OnDeadline::Alert),
    ] {
        let client = Client::new();
        client.admit();
        assert!(client.post("/drain", begin).await.0.is_success());
        let (found, answer) = client.post("/drain", second).await;
        assert_eq!(found, status, "{second}: {answer}");
        let drain = client.worker.snapshot().drain.expect("a drain");
        let until = drain.terms.deadline.map(|at| at.since(drain.begun).as_micros() / 1_000_000);
        assert_eq!((until, drain.terms.on_deadline()), (Some(deadline), policy), "{second}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_force_begins_the_drain_if_there_is_none() {
    let client = Client::new();
    client.admit();
    let (status, answer) = client.post("/drain/force", r#"{"actor": "alice"}"#).await;
    assert!(status.is_success(), "{answer}");
    let drain = client.worker.snapshot().drain.expect("a drain");
    let forced = drain.forced.expect("forced");
    assert_eq!(
        (drain.cause, drain.actor.as_str(), forced.actor.as_str(), forced.live),
        (Cause::Api, "alice", "alice", 1)
    );
    let (status, again) = client.post("/drain/force", "").await;
    assert!(status.is_success() && again.contains("already"), "{again}");
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_through_the_socket_without_a_name_goes_by_the_user_that_the_kernel_names() {
    for (peer, headers, body, actor) in [
        (SOCKET, vec![], "", "uid:1000"),
        (SOCKET, vec![], r#"{"actor": "alice"}"#, "alice"),
        (Peer::Tcp(REMOTE.parse().expect("an address")), vec![BEARER], "", "ops"),
    ] {
        let client = Client::with(peer, Limits::default(), Some(TOKEN));
        assert!(client.send("POST", "/drain", &headers, body).await.0.is_success());
        assert_eq!(client.worker.snapshot().drain.expect("a drain").actor.as_str(), actor);
    }
}

#[tokio::test(start_paused = true)]
async fn a_parked_worker_is_cordoned_without_a_deadline_and_uncordoned() {
    let client = parked();
    client.admit();
    let (status, answer) = client.post("/cordon", r#"{"actor": "alice"}"#).await;
    assert!(status.is_success(), "{answer}");
    let drain = client.worker.snapshot().drain.expect("a drain");
    assert_eq!((drain.terms.deadline, drain.terms.on_deadline()), (None, OnDeadline::Wait));
    assert!(client.post("/cordon", "").await.1.contains("already"));
    assert!(client.post("/uncordon", "").await.0.is_success());
    assert_eq!(client.worker.snapshot().phase, Phase::Serving);

    assert!(client.post("/drain", r#"{"deadline_s": 60}"#).await.0.is_success());
    let (status, answer) = client.post("/cordon", "").await;
    assert!(status == StatusCode::CONFLICT && answer.contains("take that drain back first"), "{answer}");

    let (status, answer) = Client::new().post("/cordon", "").await;
    assert!(status == StatusCode::CONFLICT && answer.contains("OPENRTC_LEAVE=parked"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_in_standby_is_promoted_unless_a_registrar_decides() {
    let start = Worker::new(Limits::default()).expect("limits are valid");
    for (registers, status) in [(false, StatusCode::OK), (true, StatusCode::CONFLICT)] {
        let made = WorkerHandle::for_test(&start, Clock::start());
        made.0.submit(Command::StandBy).expect("it has just started");
        let client = Client::of(made, |worker| Ops { registers, ..Client::ops(worker, None) });
        assert_eq!(client.get("/readyz").await.1, "standby\n");
        let (found, answer) = client.post("/promote", "").await;
        assert_eq!(found, status, "{answer}");
        assert_eq!(client.get("/readyz").await.0.is_success(), !registers);
    }
    assert!(Client::new().post("/promote", "").await.1.contains("already"));
}

#[tokio::test(start_paused = true)]
async fn a_bad_body_is_named_and_does_nothing() {
    let client = Client::new();
    let long = format!(r#"{{"actor": "{}"}}"#, "a".repeat(300));
    let huge = " ".repeat(BODY_MAX + 1);
    for (path, body, status, says) in [
        ("/drain", "{", StatusCode::BAD_REQUEST, "not valid"),
        ("/drain", r#"{"deadline": 5}"#, StatusCode::BAD_REQUEST, "unknown field `deadline`"),
        ("/drain", r#"{"deadline_s": -5}"#, StatusCode::BAD_REQUEST, "invalid value"),
        ("/drain", r#"{"deadline_s": 0}"#, StatusCode::BAD_REQUEST, "give 1 or more"),
        ("/drain/extend", r#"{"deadline_s": 157784760000000}"#, StatusCode::BAD_REQUEST, "a year"),
        ("/drain/extend", "", StatusCode::BAD_REQUEST, "say until when"),
        ("/drain", &long, StatusCode::BAD_REQUEST, "at most 39"),
        ("/drain", &huge, StatusCode::PAYLOAD_TOO_LARGE, "length limit"),
        ("/calls/7/end", "", StatusCode::NOT_FOUND, "there is no call 7"),
        ("/calls/seven/end", "", StatusCode::BAD_REQUEST, "Cannot parse `seven`"),
    ] {
        let (found, text) = client.post(path, body).await;
        assert_eq!(found, status, "{text}");
        assert!(text.contains(says), "{text:?} should say {says:?}");
    }
    assert!(!client.worker.snapshot().draining);
}
