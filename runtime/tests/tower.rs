//! HTTP requests as calls, under virtual time: how long each lasts, and how it ends.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http::header::{CONNECTION, RETRY_AFTER};
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use openrtc_runtime::tower::{AdmitLayer, AdmittedCall, CallBody};
use openrtc_runtime::{Actor, AgentPool, CallId, Control, EndReason, Exit};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceExt, service_fn};

const TEST: Actor = Actor::from_static("test");

fn pool(capacity: u32) -> AgentPool {
    let builder = AgentPool::builder().deployment_version("v1").control(Control::Shared);
    builder.capacity(capacity).build().unwrap()
}

fn request() -> Request<()> {
    Request::new(())
}

/// The body of whatever a test sends, until it drops the sender.
#[derive(Debug)]
struct Pieces(mpsc::UnboundedReceiver<Result<&'static str, &'static str>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|piece| piece.map(|text| Frame::data(text.into()))))
    }
}

fn ended(pool: &AgentPool) -> Vec<EndReason> {
    let totals = pool.runtime_snapshot().totals;
    let each = |reason: EndReason| std::iter::repeat_n(reason, usize::try_from(totals.ended_by(reason)).unwrap());
    EndReason::ALL.into_iter().flat_map(each).collect()
}

/// One request to a handler behind the layer.
async fn ask<R, F, E>(
    pool: &AgentPool,
    request: Request<()>,
    handler: impl Fn(Request<()>) -> F + Clone,
) -> Result<Response<CallBody<R>>, E>
where
    R: Body<Data = Bytes>,
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
{
    AdmitLayer::new(pool).layer(service_fn(handler)).oneshot(request).await
}

/// A request that is answered with what the test sends.
async fn stream(pool: &AgentPool) -> (mpsc::UnboundedSender<Result<&'static str, &'static str>>, CallBody<Pieces>) {
    let (sender, pieces) = mpsc::unbounded_channel();
    let pieces = Arc::new(Mutex::new(Some(Pieces(pieces))));
    let response = ask(pool, request(), move |_| {
        let pieces = pieces.lock().unwrap().take().expect("one request");
        async move { Ok::<_, Infallible>(Response::new(pieces)) }
    });
    (sender, response.await.unwrap().into_body())
}

async fn text<B: Body<Data = Bytes, Error: std::fmt::Debug>>(body: B) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_response_that_streams_is_a_call_until_its_body_ends_and_the_drain_waits_for_it() {
    let pool = pool(9);
    let (sender, mut body) = stream(&pool).await;
    pool.begin_drain(TEST).unwrap();
    sleep(Duration::from_hours(1)).await;
    assert_eq!(pool.runtime_snapshot().active_sessions, 1);
    sender.send(Ok("the last word")).unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "the last word");
    drop(sender);
    assert!(body.frame().await.is_none());
    assert_eq!(pool.exited().await.code(), Exit::CLEAN);
    assert_eq!(ended(&pool), [EndReason::AgentHangup]);
}

#[tokio::test(start_paused = true)]
async fn pieces_of_a_body_are_progress_and_silence_is_a_stall() {
    let pool = pool(9);
    let (sender, mut body) = stream(&pool).await;
    for _ in 0..10 {
        sleep(Duration::from_secs(20)).await;
        sender.send(Ok("…")).unwrap();
        body.frame().await.unwrap().unwrap();
        assert_eq!(pool.runtime_snapshot().stalled_sessions, 0);
    }
    sleep(Duration::from_secs(31)).await;
    assert_eq!(pool.runtime_snapshot().stalled_sessions, 1);
}

#[tokio::test(start_paused = true)]
async fn each_end_of_a_request_has_its_reason() {
    let pool = pool(9);
    let (_sender, body) = stream(&pool).await;
    drop(body);
    assert_eq!(ended(&pool), [EndReason::GuardDropped], "gone in the middle of the body, the client or the program");

    let waiting = ask(&pool, request(), |_| pending::<Result<Response<Full<Bytes>>, Infallible>>());
    assert!(timeout(Duration::from_secs(1), waiting).await.is_err());
    assert_eq!(ended(&pool), [EndReason::GuardDropped; 2], "and while it waits for the response");

    let (sender, mut body) = stream(&pool).await;
    sender.send(Err("the model is gone")).unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), "the model is gone");
    let failing = ask(&pool, request(), async |_| Err::<Response<Full<Bytes>>, _>("no"));
    assert_eq!(failing.await.unwrap_err(), "no");
    assert_eq!(pool.runtime_snapshot().totals.ended_by(EndReason::Failed), 2);

    let other = pool.clone();
    let panicking = async move { ask(&other, request(), |_| async { panic!("a handler's bug") }).await };
    let panicking =
        tokio::spawn(async { drop::<Result<Response<CallBody<Full<Bytes>>>, Infallible>>(panicking.await) });
    assert!(panicking.await.unwrap_err().is_panic());
    assert_eq!(pool.runtime_snapshot().totals.ended_by(EndReason::Panicked), 1);

    let whole = ask(&pool, request(), async |_| Ok::<_, Infallible>(Response::new(Full::from("hello"))));
    assert_eq!(text(whole.await.unwrap().into_body()).await, "hello");
    let empty = ask(&pool, request(), async |_| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
    drop(empty.await.unwrap());
    assert_eq!(
        pool.runtime_snapshot().totals.ended_by(EndReason::AgentHangup),
        2,
        "a server need not poll an empty one"
    );

    let (_sender, body) = stream(&pool).await;
    pool.begin_drain(TEST).unwrap();
    pool.force_drain(TEST).unwrap();
    sleep(Duration::from_millis(10)).await;
    drop(body);
    assert_eq!(pool.runtime_snapshot().totals.ended_by(EndReason::DrainForced), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_is_told_why_and_when_to_come_back_and_closes_only_in_a_drain() {
    let pool = pool(1);
    let held = pool.admit(CallId::from_static("held")).unwrap();
    let unreachable = async |_| -> Result<Response<Full<Bytes>>, Infallible> { panic!("not for the handler") };
    let full = ask(&pool, request(), unreachable).await.unwrap();
    assert_eq!((full.status(), full.headers()[RETRY_AFTER].as_bytes()), (StatusCode::SERVICE_UNAVAILABLE, &b"1"[..]));
    assert!(!full.headers().contains_key(CONNECTION), "a full worker has room again soon");
    assert!(text(full.into_body()).await.starts_with("the worker is full"));

    pool.begin_drain(TEST).unwrap();
    sleep(Duration::from_millis(10)).await;
    let draining = ask(&pool, request(), unreachable).await.unwrap();
    assert_eq!(draining.headers()[CONNECTION], "close");
    assert_eq!(draining.body().size_hint().exact(), Some(54));
    assert_eq!(text(draining.into_body()).await, "the worker is draining: offer the call to another one\n");
    let mut http_2 = request();
    *http_2.version_mut() = Version::HTTP_2;
    let draining = ask(&pool, http_2, unreachable).await.unwrap();
    assert!(!draining.headers().contains_key(CONNECTION), "there is no such header in HTTP/2");
    drop(held);
    assert_eq!(pool.exited().await.code(), Exit::CLEAN);
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_closes_its_connection_too_once_the_worker_drains() {
    let pool = pool(9);
    let draining = pool.clone();
    let response = ask(&pool, request(), move |_| {
        let draining = draining.clone();
        async move {
            draining.begin_drain(TEST).unwrap();
            sleep(Duration::from_millis(10)).await;
            Ok::<_, Infallible>(Response::new(Full::from("hello")))
        }
    });
    assert_eq!(response.await.unwrap().headers()[CONNECTION], "close");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_the_guard_keeps_the_call_beyond_the_response() {
    let pool = pool(9);
    let (taken, guard) = oneshot::channel();
    let taken = Arc::new(Mutex::new(Some(taken)));
    let response = ask(&pool, request(), move |request: Request<()>| {
        let call: AdmittedCall = request.extensions().get::<AdmittedCall>().expect("admitted").clone();
        let guard = call.take().expect("nobody has taken it");
        assert!(call.take().is_none());
        drop(taken.lock().unwrap().take().unwrap().send(guard));
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    drop(response.await.unwrap());
    assert_eq!(pool.runtime_snapshot().active_sessions, 1);
    guard.await.unwrap().end(EndReason::CallerHangup).await;
    assert_eq!(ended(&pool), [EndReason::CallerHangup]);
}

/// Taken and let go, in a handler or while the body streams: the request is a call to its last byte all the same.
#[tokio::test(start_paused = true)]
async fn a_body_whose_guard_was_dropped_early_is_a_call_until_it_ends() {
    let pool = pool(9);
    let (sender, pieces) = mpsc::unbounded_channel();
    let pieces = Arc::new(Mutex::new(Some(Pieces(pieces))));
    let response = ask(&pool, request(), move |request: Request<()>| {
        drop(request.extensions().get::<AdmittedCall>().expect("admitted").take());
        let pieces = pieces.lock().unwrap().take().expect("one request");
        async move { Ok::<_, Infallible>(Response::new(pieces)) }
    });
    let mut body = response.await.unwrap().into_body();
    pool.begin_drain(TEST).unwrap();
    for _ in 0..5 {
        sleep(Duration::from_secs(20)).await;
        sender.send(Ok("…")).unwrap();
        body.frame().await.unwrap().unwrap();
        let snapshot = pool.runtime_snapshot();
        assert_eq!((snapshot.active_sessions, snapshot.stalled_sessions), (1, 0), "it streams, and is counted");
    }
    drop(sender);
    assert!(body.frame().await.is_none());
    assert_eq!(pool.exited().await.code(), Exit::CLEAN);
    assert_eq!(ended(&pool), [EndReason::AgentHangup]);
}

#[tokio::test(start_paused = true)]
async fn calls_are_named_by_a_header_or_as_the_program_says_or_get_a_number() {
    let pool = pool(9);
    let name = async |layer: &AdmitLayer, id: &str| {
        let named = service_fn(async |request: Request<()>| {
            let guard = request.extensions().get::<AdmittedCall>().unwrap().take().unwrap();
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(guard.id().to_string())))
        });
        let request = Request::builder().uri("/rooms/7").header("x-request-id", id).body(()).unwrap();
        text(layer.layer(named).oneshot(request).await.unwrap().into_body()).await
    };
    let layer = AdmitLayer::new(&pool);
    assert_eq!(name(&layer, "job-1").await, "job-1");
    assert_eq!([name(&layer, "").await, name(&layer, &"x".repeat(300)).await], ["http-1", "http-2"]);
    let layer = layer.id(|parts| CallId::new(parts.uri.path()).ok());
    assert_eq!(name(&layer, "job-1").await, "/rooms/7");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_asks_the_pool_itself_wraps_its_body() {
    let pool = pool(9);
    let guard = pool.admit(CallId::from_static("own")).unwrap();
    let body = CallBody::new(Full::<Bytes>::from("hello"), guard);
    assert_eq!(pool.runtime_snapshot().active_sessions, 1);
    assert_eq!(text(body).await, "hello");
    assert_eq!(ended(&pool), [EndReason::AgentHangup]);
}
