//! What a coordinator does not put up with from a worker, and a worker not from a coordinator.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use e2e::authority::ServerFiles;
use e2e::{Caller, TOKEN, Worker, openrtc, said};
use openrtc_core::id::{Deployment, Epoch, Identity, Incarnation, Version, WorkerId};
use openrtc_core::membership::{Claims, sign_membership};
use openrtc_runtime::{Clock, read_signing_key};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_hdr, client};

use crate::rig::{Coordinator, is};

const PROTOCOL: &str = "openrtc.uplink.v1";

/// One end of a connection, written from `docs/coordinator.md` alone.
pub(crate) struct End(WebSocket<TcpStream>);

impl End {
    /// Dials in as a worker does, and takes the greeting.
    pub(crate) fn dial(coordinator: &Coordinator) -> (Self, Value) {
        let stream = TcpStream::connect(coordinator.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut request = format!("ws://{}/v1/uplink", coordinator.addr).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", PROTOCOL.parse().unwrap());
        let mut end = Self(client(request, stream).unwrap().0);
        let hello = end.hear();
        assert_eq!((&hello["type"], &hello["deployment"]), (&"hello".into(), &"voice".into()));
        (end, hello)
    }

    /// Accepts a worker that dials in.
    fn accept(listener: &TcpListener) -> Self {
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let greet = |request: &Request, mut response: Response| {
            assert_eq!(
                (request.uri().path(), request.headers()["sec-websocket-protocol"].as_bytes()),
                ("/v1/uplink", PROTOCOL.as_bytes())
            );
            response.headers_mut().insert("sec-websocket-protocol", PROTOCOL.parse().unwrap());
            Ok(response)
        };
        Self(accept_hdr(stream, greet).unwrap())
    }

    pub(crate) fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    /// The next message.
    pub(crate) fn hear(&mut self) -> Value {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// How the other side closes: the code and the reason.
    fn closed(&mut self) -> (u16, String) {
        loop {
            match self.0.read() {
                Ok(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.to_string()),
                Ok(_) => {}
                Err(error) => panic!("it broke instead: {error}"),
            }
        }
    }

    /// Reads reports until one is so.
    fn until(&mut self, reached: impl Fn(&Value) -> bool) -> Value {
        loop {
            let said = self.hear();
            if said["type"] == "report" && reached(&said) {
                return said;
            }
        }
    }
}

/// A token for run 7 of worker `w`, signed with one of the keys.
fn token(coordinator: &Coordinator, key: &str, version: &str, hello: &Value) -> Value {
    token_of(7, coordinator, key, version, hello)
}

/// The same for another run.
pub(crate) fn token_of(run: u64, coordinator: &Coordinator, key: &str, version: &str, hello: &Value) -> Value {
    let identity = Identity {
        deployment: Deployment::from_static("voice"),
        version: Version::new(version).unwrap(),
        worker: WorkerId::from_static("w"),
        incarnation: Incarnation::new(run),
    };
    let epoch = Epoch::new(hello["epoch"].as_u64().unwrap());
    let claims = Claims { identity, epoch, issued_at: Clock::wall() };
    let key = read_signing_key(&coordinator.path(key)).unwrap();
    json!({"type": "register", "token": sign_membership(&key, &claims).to_text()})
}

fn report(in_flight: u32, available: u32) -> Value {
    json!({"type": "report", "seq": 3, "phase": "standby", "in_flight": in_flight, "capacity": 5,
        "available": available, "sealed": false, "obeyed": {"epoch": 0, "order": 0}})
}

#[test]
fn a_worker_with_another_key_leaves_and_says_why() {
    let coordinator = Coordinator::start();
    coordinator.order(&["deploy", "v1"]);
    let other = coordinator.path("other");
    let settings = [("OPENRTC_SIGNING_KEY_FILE", other.to_str().unwrap())];
    let (status, log) = coordinator.worker_with("w", "v1", &settings).end();
    assert_eq!(status.code(), Some(4), "{log}");
    assert!(log.contains("is not accepted: sign with a current key"), "{log}");
    assert_eq!(coordinator.state()["tally"]["rejected"], 0, "a token that proves nothing is no entry");
}

#[test]
fn a_worker_of_a_version_that_was_never_deployed_is_put_off_and_told_how_it_gets_in() {
    let coordinator = Coordinator::start();
    for deployed in [false, true] {
        if deployed {
            coordinator.order(&["deploy", "v1"]);
        }
        let (mut end, hello) = End::dial(&coordinator);
        end.say(&token(&coordinator, "good", "v9", &hello));
        let told = end.hear();
        assert_eq!(told["type"], "not_now", "{told}");
        assert!(told["message"].as_str().unwrap().contains("openrtc deploy v9"), "{told}");
        assert_eq!(end.closed().0, 1000);
    }
    assert_eq!(coordinator.state()["tally"]["rejected"], 0, "nobody orders it to leave");
}

#[test]
fn a_worker_that_lies_or_talks_nonsense_is_named_and_cut() {
    let coordinator = Coordinator::start();
    coordinator.order(&["deploy", "v1"]);
    let joined = || {
        let (mut end, hello) = End::dial(&coordinator);
        let register = token(&coordinator, "good", "v1", &hello);
        end.say(&register);
        let joined = end.hear();
        assert_eq!(joined["type"], "joined", "{joined}");
        assert!(joined["report_every_ms"].as_u64().unwrap() > 0 && joined["reconnect_within_ms"].as_u64().unwrap() > 0);
        (end, register, hello)
    };

    let (mut end, register, hello) = joined();
    end.say(&report(0, 9));
    let told = end.hear();
    assert_eq!(told["message"], "no worker can be as reported: check its counts and phase");
    assert_eq!(end.closed().0, 1002);

    let (mut again, _) = End::dial(&coordinator);
    again.say(&report(0, 0));
    assert_eq!(again.hear()["type"], "not_registered");
    again.say(&register);
    let told = again.hear();
    assert_eq!((&told["type"], &told["reason"]), (&"refused".into(), &"replayed".into()));

    let (mut changed, _, _) = joined();
    changed.say(&token(&coordinator, "good", "v9", &hello));
    assert_eq!(changed.hear()["message"], "one connection is for one run of one worker");
    let (mut other, hello) = End::dial(&coordinator);
    other.say(&token(&coordinator, "good", "v9", &hello));
    assert_eq!(other.hear()["message"], "one run cannot change its version: register as a new incarnation");

    for (message, code) in [
        (Message::text("{\"type\":\"report\""), 1002),
        (Message::text("[]"), 1002),
        (Message::binary(vec![1, 2, 3]), 1003),
        (Message::text(" ".repeat(100_000)), 1009),
    ] {
        let (mut end, _, _) = joined();
        // A message that is too long may be cut before all of it is written.
        let _ = end.0.send(message);
        assert_eq!(end.closed().0, code);
    }

    // A newer connection of a run takes the place of the one before, which may be half open.
    let (mut first, _, _) = joined();
    let (mut second, _, _) = joined();
    assert_eq!(first.closed().1, "it registered on another connection");
    second.say(&json!({"type": "confetti"}));
    second.say(&report(0, 0));
    coordinator.wait_until(|state| state["versions"][0]["ready"] == 1);
}

/// The order to leave is lost with its connection: the worker comes back, drained, and gets it again.
#[test]
fn an_order_that_was_lost_is_what_the_next_connection_begins_with() {
    let coordinator = Coordinator::start();
    coordinator.order(&["deploy", "v1", "--workers", "1"]);
    let join = || {
        let (mut end, hello) = End::dial(&coordinator);
        end.say(&token(&coordinator, "good", "v1", &hello));
        assert_eq!(end.hear()["type"], "joined");
        end
    };
    let mut seq = 0;
    let mut said = |phase: &str, stamp: &Value| {
        seq += 1;
        let available = if phase == "serving" { 5 } else { 0 };
        json!({"type": "report", "seq": seq, "phase": phase, "in_flight": 0, "capacity": 5, "available": available,
            "sealed": phase == "exited", "obeyed": stamp})
    };
    let ordered = |end: &mut End, wish: &str| {
        let order = end.hear();
        let found = order["wish"].as_str().or_else(|| order["wish"].as_object()?.keys().next().map(String::as_str));
        assert_eq!((&order["type"], found), (&"order".into(), Some(wish)), "{order}");
        order["stamp"].clone()
    };
    let mut end = join();
    end.say(&said("standby", &json!({"epoch": 1, "order": 0})));
    let stamp = ordered(&mut end, "serve");
    end.say(&said("serving", &stamp));
    coordinator.wait_for("completed");
    coordinator.order(&["drain", "w", "--last"]);
    let stamp = ordered(&mut end, "drain");
    drop(end);

    let mut end = join();
    assert_eq!(ordered(&mut end, "drain"), stamp, "it has not said that it drains");
    end.say(&said("drained", &stamp));
    let leave = ordered(&mut end, "leave");
    drop(end);
    let mut end = join();
    // The order comes before the answer to anything that is said now.
    end.say(&json!([]));
    assert_eq!((ordered(&mut end, "leave"), end.hear()["type"].as_str()), (leave.clone(), Some("error")));
    let mut end = join();
    assert_eq!(ordered(&mut end, "leave"), leave);
    end.say(&said("exited", &leave));
    assert_eq!(end.closed(), (1000, "the worker has left".into()));
    let state = coordinator.wait_until(|state| state["versions"][0]["workers"] == 0);
    assert_eq!((&state["tally"]["lost"], &state["tally"]["rejected"]), (&0.into(), &0.into()), "{state}");
}

/// Over TLS all is the same, and a worker that does not know the authority says nothing to anybody.
#[test]
fn over_tls_a_worker_joins_whom_it_trusts_and_nobody_else() {
    let dir = tempdir().unwrap();
    let ServerFiles { ca, cert, key } = ServerFiles::make(dir.path());
    let args = ["--tls-cert", &cert, "--tls-key", &key].map(str::to_owned).into();
    let coordinator = Coordinator::start_in(dir, args);
    assert!(coordinator.url().starts_with("https://"), "{}", coordinator.ready);

    let deploy = ["deploy", "v1", "--workers", "1", "--coordinator", &coordinator.url()];
    let deployed = Command::new(openrtc())
        .args(deploy)
        .env("OPENRTC_OPS_TOKEN", TOKEN)
        .env("OPENRTC_TLS_CA_FILE", &ca)
        .output()
        .unwrap();
    assert!(deployed.status.success(), "{}", said(&deployed));
    let mut stranger = coordinator.worker("stranger", "v1");
    let told = stranger.wait_for_log("no coordinator");
    assert!(told.contains("OPENRTC_TLS_CA_FILE"), "{told}");
    let worker = coordinator.worker_with("w", "v1", &[("OPENRTC_TLS_CA_FILE", &ca)]);
    worker.wait_until(is("serving"));
}

#[test]
fn a_worker_obeys_no_old_order_and_serves_on_without_a_coordinator() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let coordinator = Coordinator::start();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut worker = coordinator.worker_with("w", "v1", &[("OPENRTC_COORDINATOR", &url)]);
    let join = |epoch: u64| {
        let mut end = End::accept(&listener);
        end.say(&json!({"type": "hello", "deployment": "voice", "epoch": epoch}));
        assert_eq!(end.hear()["type"], "register");
        end.say(&json!({"type": "joined", "epoch": epoch, "report_every_ms": 200, "reconnect_within_ms": 50}));
        end
    };
    let order = |epoch: u64, order: u64, wish: Value| {
        let stamp = json!({"epoch": epoch, "order": order});
        json!({"type": "order", "stamp": stamp, "actor": "c", "wish": wish})
    };
    let drain = || json!({"drain": {"within": null, "on_deadline": "wait"}});
    let obeyed =
        |epoch: u64, order: u64| move |report: &Value| report["obeyed"] == json!({"epoch": epoch, "order": order});

    let mut end = join(5);
    end.until(obeyed(5, 0));
    end.say(&order(5, 2, "serve".into()));
    assert_eq!(end.until(obeyed(5, 2))["phase"], "serving");
    let mut call = Caller::call(worker.calls, "a");
    end.until(|report| report["in_flight"] == 1);
    for (epoch, number) in [(4, 9), (5, 1), (0, 99)] {
        end.say(&order(epoch, number, drain()));
        worker.wait_for_log("an order is refused");
    }
    end.say(&json!({"type": "order", "wish": "dance"}));
    worker.wait_for_log("something odd");
    drop(end);

    // Nobody is there: it serves on. Somebody who does not want it: it has calls, and serves on.
    call.talk(1);
    let mut more = Caller::call(worker.calls, "b");
    let mut unfriendly = End::accept(&listener);
    unfriendly.say(&json!({"type": "hello", "deployment": "voice", "epoch": 5}));
    assert_eq!(unfriendly.hear()["type"], "register");
    unfriendly.say(&json!({"type": "refused", "reason": "unknown_key", "message": "no"}));
    worker.wait_for_log("refused this worker");
    assert_eq!(worker.snapshot()["phase"], "serving");
    let mut foreign = End::accept(&listener);
    foreign.say(&json!({"type": "hello", "deployment": "chat", "epoch": 5}));
    let told = worker.wait_for_log("it coordinates deployment chat");
    assert!(told.contains("this worker is of voice: set OPENRTC_DEPLOYMENT=chat"), "{told}");

    let mut end = join(6);
    end.until(obeyed(6, 0));
    end.say(&order(6, 4, drain()));
    assert_eq!(end.until(obeyed(6, 4))["phase"], "draining");
    call.talk(2);
    more.talk(2);
    [call, more].into_iter().for_each(Caller::hang_up);
    end.until(is("drained"));
    end.say(&order(6, 5, "leave".into()));
    end.until(is("exited"));
    left(worker);
}

pub(crate) fn left(worker: Worker) {
    let (status, log) = worker.end();
    assert!(status.success(), "{status}: {log}");
}
