//! Cases of the conformance matrix that a real server, or the network to it, can be made to show.

use std::time::Duration;

use openrtc_livekit::{Decision, Monitor, Request};
use openrtc_runtime::{Actor, OnDeadline};
use tokio::time::sleep;

use crate::network::{Network, Road};
use crate::server::Server;
use crate::{PACE, Running, builder, pool, until};

/// What a decision does, by the dispatch's metadata.
fn decide(road: tokio::sync::watch::Sender<Road>) -> impl Fn(Request) -> DecisionFuture + Send + Sync + 'static {
    move |request| {
        let road = road.clone();
        Box::pin(async move {
            match request.metadata() {
                "panic" => panic!("on purpose"),
                "hang" => std::future::pending().await,
                "cut" => {
                    road.send_replace(Road::Closed);
                    // Until the worker has noticed, and the offer is off.
                    std::future::pending().await
                }
                "deaf" => {
                    road.send_replace(Road::Deaf);
                    Decision::Accept
                }
                _ => Decision::Accept,
            }
        })
    }
}

type DecisionFuture = std::pin::Pin<Box<dyn Future<Output = Decision> + Send>>;

async fn registered(monitor: &Monitor, is: bool) {
    let wait = async {
        while monitor.health().registered != is {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(40), wait).await.is_ok(), "registered: {is}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real LiveKit server"]
async fn cases_2_6_29_and_30_sockets_come_and_go_and_jobs_stay() {
    let server = Server::start().await;
    let network = Network::to(server.port).await;
    let [stays, ends] = [pool(4), pool(4)].map(|pool| Running::unregistered(pool, builder(&network.url)));
    for worker in [&stays, &ends] {
        registered(&worker.monitor, true).await;
    }
    for room in 0..8 {
        server.dispatch(&format!("room-{room}")).await;
        sleep(PACE).await;
    }
    until("each has its four", || stays.assigned() == 4 && ends.assigned() == 4).await;
    network.be(Road::Closed);
    registered(&ends.monitor, false).await;
    registered(&stays.monitor, false).await;
    ends.hang_up.send_replace(true);
    until("the jobs of one end during the outage", || ends.pool.view().in_flight() == 0).await;
    // 2: for a while every connection is closed right behind its upgrade.
    let before = network.heads().len();
    network.be(Road::Short);
    sleep(Duration::from_secs(6)).await;
    let attempts = network.heads().len() - before;
    assert!((2..=24).contains(&attempts), "{attempts} attempts of two workers in six seconds");
    network.be(Road::Open);
    registered(&ends.monitor, true).await;
    registered(&stays.monitor, true).await;
    until("their statuses arrive", || ends.monitor.health().counts.delivered == 4).await;
    assert_eq!(
        (stays.pool.view().in_flight(), stays.monitor.health().counts.terminated),
        (4, 0),
        "nothing touched them"
    );
    let bearer = |head: &String| {
        head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:")).map(str::to_owned)
    };
    let heads = network.heads();
    let (first, last) = (heads.first().and_then(bearer), heads.last().and_then(bearer));
    assert!(first.is_some() && first != last, "6: each connection has a token of its own time");
    for worker in [stays, ends] {
        worker.drain();
        let counts = worker.exit().await.health().counts;
        assert_eq!((counts.delivered, counts.undelivered), (4, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real LiveKit server"]
async fn cases_11_and_12_a_silent_and_a_full_network_are_noticed_and_no_status_is_lost() {
    let server = Server::start().await;
    let networks = [Network::to(server.port).await, Network::to(server.port).await];
    let workers = [0, 1].map(|at| Running::unregistered(pool(2), builder(&networks[at].url)));
    for worker in &workers {
        registered(&worker.monitor, true).await;
    }
    for room in 0..4 {
        server.dispatch(&format!("room-{room}")).await;
        sleep(PACE).await;
    }
    until("each has two", || workers.iter().all(|worker| worker.assigned() == 2)).await;
    networks[0].be(Road::Silent);
    networks[1].be(Road::Full);
    for worker in &workers {
        worker.hang_up.send_replace(true);
    }
    for worker in &workers {
        registered(&worker.monitor, false).await;
    }
    for network in &networks {
        network.be(Road::Open);
    }
    for worker in &workers {
        registered(&worker.monitor, true).await;
        until("its statuses arrive", || worker.monitor.health().counts.delivered == 2).await;
    }
    for worker in workers {
        worker.drain();
        assert_eq!(worker.exit().await.health().counts.undelivered, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real LiveKit server"]
async fn cases_16_17_20_27_and_28_decisions_that_fail_and_sockets_that_drop_around_an_answer() {
    let server = Server::start().await;
    let network = Network::to(server.port).await;
    let worker = builder(&network.url).decide(decide(network.road()));
    let worker = Running::with(pool(2), worker).await;
    let counts = || worker.monitor.health().counts;
    let free = || worker.pool.view().in_flight() == 0;
    server.ask("panics", "panic", "").await;
    until("17: refused", || counts().refused == 1).await;
    server.ask("hangs", "hang", "").await;
    until("16: refused at its own limit", || counts().refused == 2).await;
    until("no slot is held", free).await;
    server.ask("drops", "cut", "").await;
    registered(&worker.monitor, false).await;
    until("27: the offer is off", free).await;
    network.be(Road::Open);
    registered(&worker.monitor, true).await;
    let mut monitor = worker.monitor.clone();
    monitor.available().await;
    assert_eq!((counts().accepted, counts().refused, counts().unanswered), (0, 2, 1), "no stale answer");
    server.ask("deaf", "deaf", "").await;
    until("20: it says yes, and hears nothing", || counts().accepted == 1).await;
    sleep(Duration::from_millis(500)).await;
    network.be(Road::Closed);
    registered(&worker.monitor, false).await;
    network.be(Road::Open);
    registered(&worker.monitor, true).await;
    monitor.available().await;
    server.dispatch("next").await;
    until("28: the server does not assign it anew, and the worker goes on", || counts().assigned == 1).await;
    worker.drain();
    let counts = worker.exit().await.health().counts;
    assert_eq!((counts.assigned, counts.delivered, counts.undelivered), (1, 1, 0));
    assert_eq!(counts.lapsed, 1, "the promise that nobody kept does not hold the drain");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real LiveKit server"]
async fn cases_38_39_and_40_the_server_hears_how_each_job_ended() {
    let server = Server::start().await;
    let worker = Running::new(&server, "v1", 3).await;
    for metadata in ["", "fails", "panics"] {
        server.ask(&format!("room-{metadata}"), metadata, "").await;
        sleep(PACE).await;
    }
    until("all three are assigned", || worker.assigned() == 3).await;
    worker.drain();
    assert_eq!(worker.exit().await.health().counts.delivered, 3);
    let mut ended = server.ended();
    ended.sort();
    let told = |status: &str, error: &str| (status.to_owned(), error.to_owned());
    let failed = [told("JS_FAILED", "broken"), told("JS_FAILED", "the handler panicked")];
    assert_eq!(ended, [&failed[..], &[told("JS_SUCCESS", "")]].concat(), "40");

    let terms = pool(3).drain_timeout(Duration::from_millis(1)).on_deadline(OnDeadline::Force);
    let worker = Running::with(terms, builder(&server.url)).await;
    for room in 0..3 {
        server.dispatch(&format!("cut-{room}")).await;
        sleep(PACE).await;
    }
    until("all three are assigned", || worker.assigned() == 3).await;
    worker.pool.begin_drain(Actor::from_static("test")).expect("it drains");
    until("39: they are cut", || worker.pool.view().in_flight() == 0).await;
    assert_eq!(worker.exit_with(3).await.health().counts.delivered, 3);
    assert_eq!(server.ended()[3..], [(); 3].map(|()| told("JS_FAILED", "cut")), "39");

    let worker = Running::new(&server, "v1", 50).await;
    for room in 0..50 {
        server.dispatch(&format!("many-{room}")).await;
        sleep(PACE).await;
    }
    until("all fifty are assigned", || worker.assigned() == 50).await;
    worker.drain();
    let counts = worker.exit().await.health().counts;
    assert_eq!((counts.delivered, counts.undelivered), (50, 0), "38");
    assert_eq!(server.ended()[6..], [(); 50].map(|()| told("JS_SUCCESS", "")), "38");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real LiveKit server"]
async fn cases_10_26_41_42_and_45_what_a_dispatch_carries_and_who_gets_it() {
    let server = Server::start().await;
    let plain = Running::new(&server, "v1", 8).await;
    let keyed = Running::with(pool(8), builder(&server.url).deployment("green")).await;
    let assigned = || (plain.assigned(), keyed.assigned());
    for (at, deployment) in ["", "green", "nobodys", ""].into_iter().enumerate() {
        server.ask(&format!("room-{at}"), "", deployment).await;
        sleep(PACE).await;
    }
    until("45: each reaches those with its key", || assigned() == (2, 1)).await;
    let large = "x".repeat(512 * 1024);
    server.ask("large", &large, "green").await;
    until("10: 512 KiB of metadata", || assigned() == (2, 2)).await;

    let other = Running::new(&server, "v1", 8).await;
    for (load, expected) in [(f32::NAN, 2), (-1.0, 3), (7.0, 4)] {
        plain.monitor.measure(load);
        let is_open = !load.is_nan();
        until("42: it says what it measures", || plain.monitor.health().available == is_open).await;
        if is_open {
            other.monitor.measure(f32::NAN);
            until("the other one takes nothing", || !other.monitor.health().available).await;
        }
        // The status is on its way behind this.
        sleep(Duration::from_millis(300)).await;
        server.dispatch(&format!("load-{load}")).await;
        until("somebody gets it", || plain.assigned() + other.assigned() == expected + 1).await;
        assert_eq!(plain.assigned(), expected, "{load}");
    }
    plain.drain();
    plain.pool.cancel_drain(Actor::from_static("test")).expect("it has calls, so it has not left");
    let mut monitor = plain.monitor.clone();
    plain.monitor.measure(0.0);
    monitor.available().await;
    let id = server.ask("again", "", "").await;
    until("41: it gets jobs again", || plain.assigned() == 5).await;
    plain.drain();
    assert!(server.api().delete_dispatch("again", &id).await.expect("it answers"));
    let terminated = || plain.monitor.health().counts.terminated;
    until("26: a job is ended by the server during a drain", || terminated() == 1).await;
    for worker in [plain, keyed, other] {
        worker.leave_told().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real LiveKit server"]
async fn cases_1_4_31_and_35_a_worker_leaves_whatever_its_server_does() {
    let mut server = Server::start().await;
    let network = Network::to(server.port).await;
    let wrong = Running::unregistered(pool(1), builder(&format!("{}/nowhere", server.url)));
    until("4: a path that is not there", || wrong.monitor.health().trouble.is_some()).await;
    assert!(wrong.monitor.health().trouble.is_some_and(|trouble| trouble.contains("LIVEKIT_URL")));
    network.be(Road::Unconfirmed);
    let unconfirmed = Running::unregistered(pool(1), builder(&network.url));
    until("1: it gives up the registration by itself", || unconfirmed.monitor.health().counts.losses == 1).await;
    until("1: and asks again", || network.heads().len() == 2).await;
    network.be(Road::Deaf);
    let connecting = Running::unregistered(pool(1), builder(&network.url));
    until("it has asked", || network.heads().len() == 3).await;
    for worker in [wrong, unconfirmed, connecting] {
        // 35: while backing off, registering and connecting.
        worker.drain();
        worker.exit().await;
    }
    let worker = Running::new(&server, "v1", 2).await;
    server.dispatch("room").await;
    until("it is assigned", || worker.assigned() == 1).await;
    worker.drain();
    server.kill();
    registered(&worker.monitor, false).await;
    assert_eq!(worker.pool.view().in_flight(), 1, "the job goes on");
    assert_eq!(worker.exit().await.health().counts.undelivered, 1, "31: what could not be delivered is counted");
}
