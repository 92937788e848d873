//! The callers' side: asks the server for agents, and waits until they come.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openrtc_evidence::dispatch::{Dispatch, DispatchSums};
use openrtc_livekit::dispatcher::{Dispatch as Known, Progress};
use openrtc_livekit::{Api, ApiKey, DevServer, Dispatched};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::lobby::{Lobby, Said, receive};
use super::{KEY, LOOPBACK, Server};
use crate::caller::Talk;
use crate::dispatch::{Target, lock};
use crate::error::DemoError;
use crate::ledger::OfferedCall;
use crate::process::WorkerCommand;
use crate::summary::LivekitSummary;

/// A dispatch without an agent after this time is lost: LiveKit gives it 3 s in all.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// How long a caller has its dispatch made again before it gives up.
const GIVE_UP: Duration = Duration::from_secs(10);
/// How long to wait when the server does not take a dispatch.
const PAUSE: Duration = Duration::from_millis(200);

/// Gives calls to workers by way of a LiveKit server.
pub(crate) struct Exchange {
    /// The demo's own server, which tells more than another one does.
    own: Option<DevServer>,
    settings: Vec<(&'static str, String)>,
    url: String,
    api: Api,
    /// What the demo's workers are called by, and nobody else's; its rooms begin with it.
    agent: String,
    callers: SocketAddr,
    lobby: Arc<Lobby>,
    dispatches: Mutex<Vec<Dispatch>>,
    listening: AbortHandle,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Exchange {
    /// Starts the demo's own server, or makes sure that the other one takes requests.
    pub(crate) async fn open(server: &Server) -> Result<Self, DemoError> {
        let number: u32 = rand::random();
        let broken = |error: &dyn std::fmt::Display| DemoError::Livekit(format!("the LiveKit server: {error}"));
        let (own, url, key, secret, ca_file) = match server {
            Server::Own => {
                let secret = format!("{:032x}", rand::random::<u128>());
                let started = DevServer::start(LOOPBACK, ApiKey::new(KEY, secret.as_str()), number.into()).await;
                let own = started.map_err(|error| broken(&error))?;
                let url = own.url();
                (Some(own), url, KEY.to_owned(), secret, None)
            }
            Server::At { url, key, secret, ca_file } => {
                (None, url.clone(), key.clone(), secret.clone(), ca_file.as_ref())
            }
        };
        let api = Api::new(&url, ApiKey::new(key.as_str(), secret.as_str()));
        let mut api = api.map_err(|error| broken(&error))?;
        if let Some(file) = ca_file {
            api = api.with_ca_file(file).map_err(|error| broken(&error))?;
        }
        api.list_rooms().await.map_err(|error| broken(&format!("{url}: {error}")))?;
        let agent = format!("demo-{number:08x}");
        let mut settings = vec![
            ("LIVEKIT_URL", url.clone()),
            ("LIVEKIT_API_KEY", key),
            ("LIVEKIT_API_SECRET", secret),
            ("LIVEKIT_AGENT_NAME", agent.clone()),
            // What is set for this user's own workers is not for the demo's.
            ("LIVEKIT_AGENT_DEPLOYMENT", String::new()),
        ];
        settings.extend(ca_file.map(|file| ("OPENRTC_TLS_CA_FILE", file.display().to_string())));
        let listener = TcpListener::bind(LOOPBACK).await.map_err(DemoError::Callers)?;
        let (callers, lobby) = (listener.local_addr().map_err(DemoError::Callers)?, Arc::new(Lobby::default()));
        let listening = tokio::spawn(receive(listener, Arc::clone(&lobby))).abort_handle();
        let dispatches = Mutex::default();
        Ok(Self { own, settings, url, api, agent, callers, lobby, dispatches, listening })
    }

    /// The command of a worker that knows where the callers are.
    pub(crate) fn command(&self, mut worker: WorkerCommand) -> WorkerCommand {
        worker.args.extend(["--callers".into(), self.callers.to_string().into()]);
        worker
    }

    /// What a worker must be told to get jobs.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        self.settings.clone()
    }

    /// Adds a worker, by its place in the demo's list.
    pub(crate) fn add(&self, name: &str, place: usize, worker: Arc<Target>) {
        self.lobby.add(name, place, worker);
    }

    /// Asks for an agent, and in another room if the server loses the dispatch. The call is known by its job from then
    /// on.
    pub(crate) async fn place(&self, record: &mut OfferedCall) -> Option<(usize, Box<Talk>)> {
        let give_up = Instant::now() + GIVE_UP;
        let call = record.id.clone();
        let room = |attempt: u32| format!("{}-{call}-{attempt}", self.agent);
        let mut attempt = 1;
        loop {
            let mut seen = Dispatch { room: room(attempt), ..Default::default() };
            let placed = self.dispatch(&mut seen, record).await;
            let is_last = placed.is_some() || Instant::now() > give_up;
            if placed.is_none() {
                self.lose(&mut seen).await;
                seen.again = (!is_last).then(|| room(attempt + 1));
            }
            lock(&self.dispatches).push(seen);
            if is_last {
                return placed;
            }
            attempt += 1;
        }
    }

    /// One dispatch, until an agent comes or its time is over.
    async fn dispatch(&self, seen: &mut Dispatch, record: &mut OfferedCall) -> Option<(usize, Box<Talk>)> {
        let (tell, mut said) = mpsc::unbounded_channel();
        let _waits = self.lobby.wait(&seen.room, tell);
        // Before the server knows of it: whoever was closed then must not take it.
        let closed = self.lobby.closed();
        if let Err(error) = self.api.create_room(&seen.room, &Dispatched::of_agent(&self.agent)).await {
            seen.lost = Some(error.to_string());
            sleep(PAUSE).await;
            return None;
        }
        let until = Instant::now() + LOST_AFTER;
        while let Ok(Some(Said { worker, introduction, joined })) = timeout_at(until, said.recv()).await {
            seen.dispatch = Some(introduction.dispatch);
            let Some((from, to)) = joined else {
                record.declined_by.push(worker);
                seen.refused_by.push(introduction.worker);
                continue;
            };
            let (_, target) = self.lobby.worker(&introduction.worker)?;
            target.took(closed.contains(&worker));
            target.active.fetch_add(1, Ordering::SeqCst);
            record.id.clone_from(&introduction.job);
            seen.answered_by = Some(introduction.worker);
            seen.job = Some(introduction.job);
            return Some((worker, Box::new(Talk::new(&record.id, from, to))));
        }
        None
    }

    /// Notes why no agent came, as far as that can be known, and ends the room.
    async fn lose(&self, seen: &mut Dispatch) {
        if seen.dispatch.is_none() {
            // A server that does not answer does not say.
            let made = self.api.list_dispatches(&seen.room).await.unwrap_or_default();
            seen.dispatch = made.into_iter().next().map(|made| made.id);
        }
        let known = seen.dispatch.as_ref().and_then(|id| known(self.own.as_ref()?, id));
        let why = match known.map(|dispatch| dispatch.progress) {
            Some(Progress::Lost(why)) => why.as_str().to_owned(),
            _ => format!("no agent came within {LOST_AFTER:?}"),
        };
        seen.lost.get_or_insert(why);
        self.end(&seen.room).await;
    }

    /// The caller of a job has left: its room is over.
    pub(crate) async fn leave(&self, job: &str) {
        let is_its = |seen: &&Dispatch| seen.job.as_deref() == Some(job);
        let room = lock(&self.dispatches).iter().find(is_its).map(|seen| seen.room.clone());
        if let Some(room) = room {
            self.end(&room).await;
        }
    }

    async fn end(&self, room: &str) {
        // One that could not be ended ends by itself, since it is empty.
        let _ = self.api.delete_room(room).await;
    }

    /// What became of all dispatches.
    pub(crate) fn summary(&self) -> LivekitSummary {
        let each = lock(&self.dispatches).clone();
        let DispatchSums { made, answered, refused, lost, .. } = DispatchSums::of(&each);
        let server = if self.own.is_some() { "the dev server".into() } else { self.url.clone() };
        LivekitSummary { server, dispatches: made, answered, refused, lost, each }
    }

    /// Where the demo's own server saw something else than the callers did.
    pub(crate) fn disagreements(&self) -> Vec<String> {
        let Some(server) = &self.own else { return Vec::new() };
        let known: BTreeMap<_, _> = server.dispatches().into_iter().collect();
        let told = lock(&self.dispatches);
        let mut found = Vec::new();
        for seen in told.iter() {
            let Some(id) = &seen.dispatch else { continue };
            match known.get(id) {
                None => found.push(format!("the server does not know dispatch {id}")),
                Some(dispatch) => found.extend(disagreement(id, seen, dispatch)),
            }
        }
        let made = told.iter().filter_map(|seen| seen.dispatch.as_ref()).count();
        if known.len() != made {
            found.push(format!("the server saw {} dispatches, the callers made {made}", known.len()));
        }
        found
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn known(server: &DevServer, id: &str) -> Option<Known> {
    server.dispatches().into_iter().find(|(known, _)| known == id).map(|(_, dispatch)| dispatch)
}

/// How a server's account of a dispatch differs from its caller's, if it does.
fn disagreement(id: &str, seen: &Dispatch, dispatch: &Known) -> Option<String> {
    let yes = dispatch.answers.iter().find(|(_, answer)| answer.available);
    let worker = yes.and_then(|(_, answer)| answer.participant_attributes.get("openrtc.worker"));
    let refusals = dispatch.answers.iter().filter(|(_, answer)| !answer.available).count();
    // An agent that came too late for its caller was assigned all the same.
    if seen.answered_by.is_some() && seen.answered_by.as_ref() != worker {
        let (caller, server) = (seen.answered_by.as_deref(), worker.map(String::as_str));
        let name = |name: Option<&str>| name.unwrap_or("nobody").to_owned();
        return Some(format!("dispatch {id}: its caller got {}, the server chose {}", name(caller), name(server)));
    }
    (seen.refused_by.len() > refusals).then(|| {
        format!("dispatch {id}: {} workers say that they refused, the server saw {refusals}", seen.refused_by.len())
    })
}

#[cfg(test)]
mod tests {
    use openrtc_core::worker::Decline;
    use openrtc_livekit::dispatcher::Asked;
    use openrtc_livekit::proto::AvailabilityResponse;
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;
    use crate::dispatch::Dispatcher;
    use crate::wire::{Frame, Introduction, send};

    /// What a worker says to the callers.
    async fn say(exchange: &Exchange, worker: &str, room: &str, frames: &[Frame]) -> TcpStream {
        let words = |text: &str| text.to_owned();
        let introduction =
            Introduction { worker: words(worker), room: words(room), job: words("AJ_1"), dispatch: words("AD_1") };
        let mut stream = TcpStream::connect(exchange.callers).await.expect("it listens");
        send(&mut stream, &Frame::Agent(introduction)).await.expect("sent");
        for frame in frames {
            send(&mut stream, frame).await.expect("sent");
        }
        stream
    }

    async fn a_room(exchange: &Exchange) {
        while exchange.api.list_rooms().await.expect("it answers").is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_refused_and_who_answered_is_told_for_each_dispatch() {
        let exchange = Exchange::open(&Server::Own).await.expect("it starts");
        let dispatcher = Dispatcher::default();
        let targets = [dispatcher.add("v1"), dispatcher.add("v2")];
        exchange.add("blue-1", 0, Arc::clone(&targets[0]));
        exchange.add("green-1", 1, Arc::clone(&targets[1]));
        let room = format!("{}-call-0-1", exchange.agent);
        let mut record = OfferedCall { id: "call-0".into(), declined_by: vec![], unanswered_by: vec![], taken: None };
        let agents = async {
            a_room(&exchange).await;
            let no = Frame::Decline { why: Decline::Draining, reason: "draining".into() };
            // Whoever is unknown is not heard.
            drop(say(&exchange, "stranger", &room, &[Frame::Accept]).await);
            drop(say(&exchange, "blue-1", &room, &[no]).await);
            let closes = async {
                while !targets[0].is_closed() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(LOST_AFTER, closes).await.expect("its refusal is heard");
            say(&exchange, "green-1", &room, &[Frame::Accept]).await
        };
        let (placed, _stream) = tokio::join!(exchange.place(&mut record), agents);
        assert_eq!(placed.map(|(worker, _)| worker), Some(1));
        assert_eq!((record.id.as_str(), &record.declined_by[..]), ("AJ_1", &[0][..]));
        let summary = exchange.summary();
        assert_eq!((summary.dispatches, summary.answered, summary.refused, summary.lost), (1, 1, 1, 0));
        assert_eq!(summary.each[0].refused_by, ["blue-1"]);
        // The dev server asked nobody, since nobody was registered with it.
        assert!(!exchange.disagreements().is_empty());
        exchange.leave("AJ_1").await;
        assert_eq!(exchange.api.list_rooms().await.expect("it answers"), [""; 0]);
        // A job that was asked for after its worker had refused one, and that it takes all the same.
        let room = format!("{}-call-1-1", exchange.agent);
        let mut record = OfferedCall { id: "call-1".into(), declined_by: vec![], unanswered_by: vec![], taken: None };
        let relapse = async {
            a_room(&exchange).await;
            say(&exchange, "blue-1", &room, &[Frame::Accept]).await
        };
        let (placed, _stream) = tokio::join!(exchange.place(&mut record), relapse);
        assert_eq!(placed.map(|(worker, _)| worker), Some(0));
        assert_eq!((dispatcher.taken_after_refusal(0), dispatcher.taken_after_refusal(1)), (1, 0));
    }

    #[test]
    fn a_server_that_saw_something_else_than_the_caller_is_found_out() {
        let answer = |available| {
            let participant_attributes = [("openrtc.worker".to_owned(), "green-1".to_owned())].into();
            AvailabilityResponse { available, participant_attributes, ..AvailabilityResponse::default() }
        };
        let peer = openrtc_livekit::dispatcher::PeerId(1);
        let dispatch = Known {
            asked: Asked::default(),
            at: openrtc_core::time::Instant::EPOCH,
            job: openrtc_livekit::proto::Job::default(),
            progress: Progress::Assigned(peer),
            tried: vec![peer],
            answers: vec![(peer, answer(false)), (peer, answer(true))],
        };
        let seen = |answered_by: &str, refused: usize| Dispatch {
            answered_by: Some(answered_by.to_owned()),
            refused_by: vec!["blue-1".to_owned(); refused],
            ..Dispatch::default()
        };
        assert_eq!(disagreement("AD", &seen("green-1", 1), &dispatch), None);
        let wrong = disagreement("AD", &seen("blue-1", 1), &dispatch).expect("another worker");
        assert!(wrong.contains("its caller got blue-1, the server chose green-1"), "{wrong}");
        assert!(disagreement("AD", &seen("green-1", 2), &dispatch).is_some(), "a refusal that the server did not see");
    }
}
