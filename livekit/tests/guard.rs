//! The guard against the dev server: what is lost is made again, once.
#![cfg(all(feature = "guard", feature = "server"))]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use openrtc_livekit::dispatcher::{Asked, Fault, Progress};
use openrtc_livekit::{Api, ApiKey, DevServer, Guard, Job, Worker};
use openrtc_runtime::{Actor, AgentPool, Call};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_loses_two_guards_make_again_once() {
    let key = || ApiKey::new("devkey", "secret");
    let server = DevServer::start("127.0.0.1:0".parse().expect("an address"), key(), 1).await.expect("listens");
    let pool = AgentPool::builder().deployment_version("v1").signals(false).build().expect("a pool");
    let worker = Worker::builder().url(server.url()).api_key("devkey", "secret").agent_name("agent").build();
    let worker = worker.expect("a worker");
    let (mut monitor, serving) = (worker.monitor(), pool.clone());
    let handler = |call: Call<Job>| async move {
        let Call { session: job, guard, .. } = call;
        job.terminated().await;
        drop(guard);
    };
    let life = tokio::spawn(async move { worker.serve(&serving, handler).await });
    monitor.available().await;
    // Every other dispatch is lost.
    for room in 0..10 {
        server.break_next(Fault::LoseSearch, u32::from(room % 2 == 0));
        let asked = Asked { room: format!("room-{room}"), agent_name: "agent".to_owned(), ..Asked::default() };
        server.dispatch(asked);
    }
    let agents = || {
        let dispatches = server.dispatches();
        let up = dispatches.iter().filter(|(_, seen)| matches!(seen.progress, Progress::Assigned(_)));
        let mut rooms: Vec<_> = up.map(|(_, seen)| seen.asked.room.clone()).collect();
        rooms.sort_unstable();
        rooms
    };
    let told = Arc::new(Mutex::new(Vec::new()));
    let guard = || {
        let told = Arc::clone(&told);
        let api = Api::new(&server.url(), key()).expect("a good URL");
        Guard::new(api, Duration::from_millis(300))
            .telling(move |lost| told.lock().expect("no panic").push(lost.clone()))
    };
    let (mut one, mut other) = (guard(), guard());
    let watch = async {
        while agents().len() < 10 {
            let (seen, also) = tokio::join!(one.round(), other.round());
            seen.expect("the server answers");
            also.expect("the server answers");
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), watch).await.expect("every room gets its agent");
    let rooms: Vec<_> = (0..10).map(|room| format!("room-{room}")).collect();
    assert_eq!(agents(), rooms, "one agent in each room, and two in none");
    let (one, other) = (*one.counts(), *other.counts());
    assert_eq!((one.repeated + other.repeated, one.errors + other.errors), (5, 0), "{one:?} {other:?}");
    let told = told.lock().expect("no panic").clone();
    assert_eq!(told.len() as u64, one.lost + other.lost, "{told:?}");
    let again: Vec<_> = told.iter().filter_map(|lost| lost.again.clone()).collect();
    assert_eq!(again.len(), 5, "{told:?}");
    assert!(again.iter().all(|id| server.dispatches().iter().any(|(known, _)| known == id)), "{told:?}");
    for (id, _) in server.dispatches() {
        server.delete(&id);
    }
    pool.begin_drain(Actor::from_static("test")).expect("it drains");
    assert_eq!(life.await.expect("no panic").expect("no error").code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_named_and_the_token_that_the_server_repeats_is_not_shown() {
    let addr = "127.0.0.1:0".parse().expect("an address");
    let server = DevServer::start(addr, ApiKey::new("devkey", "secret"), 1).await.expect("listens");
    let api = Api::new(&server.url(), ApiKey::new("devkey", "hidden-and-wrong")).expect("a good URL");
    let refused = api.list_rooms().await.expect_err("the secret is wrong").to_string();
    assert!(refused.contains("LIVEKIT_API_SECRET") && refused.contains("signature is wrong"), "{refused}");
    assert!(!refused.contains("hidden") && !refused.contains("eyJ"), "{refused}");
}

#[tokio::test]
async fn a_token_that_is_repeated_as_json_is_not_shown_either() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("a request");
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.expect("its head");
        let request = String::from_utf8_lossy(&request[..read]).into_owned();
        let token = request.split("Bearer ").nth(1).expect("a token").split_whitespace().next().expect("a word");
        let body = format!(r#"{{"code": "malformed", "msg": "no token is {token}"}}"#);
        let head = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.expect("it is read");
    };
    let api = Api::new(&url, ApiKey::new("devkey", "secret")).expect("a good URL");
    let (refused, ()) = tokio::join!(api.list_rooms(), server);
    let refused = refused.expect_err("it is refused").to_string();
    assert!(refused.contains("no token is …") && !refused.contains("eyJ"), "{refused}");
}
