//! A LiveKit agent worker that knows nothing of a host: it takes jobs, writes down what happens to it, and does with
//! each job what its room is called for. It says nothing that livekit-agents for Python would not say.
//!
//! Variables: SIGNALS, a file for what happens; WAYS, words: `name=NAME` registers as another agent, `silent` tells of
//! no job, as livekit-agents for Node does, `ask` sends a plain request first.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use openrtc_livekit::ApiKey;
use openrtc_livekit::proto::{
    AvailabilityResponse, JobStatus, MigrateJobRequest, RegisterWorkerRequest, ServerMessage, ToServer, ToWorker,
    UpdateJobStatus, UpdateWorkerStatus, WorkerMessage, WorkerStatus,
};
use openrtc_runtime::Clock;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn main() -> Result<(), Box<dyn Error>> {
    Runtime::new()?.block_on(async {
        let mut told = signal(SignalKind::terminate())?;
        let mut agent = Agent::from_env()?;
        agent.note(&format!("LIVEKIT_URL {}", agent.url));
        for name in ["HTTPS_PROXY", "https_proxy"] {
            #[expect(clippy::disallowed_methods, reason = "what a program is told")]
            if let Ok(value) = std::env::var(name) {
                agent.note(&format!("{name} {value}"));
            }
        }
        agent.ask().await?;
        tokio::select! {
            worked = agent.work() => worked?,
            _ = told.recv() => {}
        }
        agent.note("SIGTERM");
        Ok(())
    })
}

struct Agent {
    url: String,
    key: ApiKey,
    ways: Vec<String>,
    version: String,
    notes: File,
    jobs: Vec<String>,
}

impl Agent {
    fn from_env() -> Result<Self, Box<dyn Error>> {
        #[expect(clippy::disallowed_methods, reason = "what a program is told")]
        let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
        let key = ApiKey::new(variable("LIVEKIT_API_KEY")?, variable("LIVEKIT_API_SECRET")?);
        let ways = variable("WAYS").unwrap_or_default().split(' ').map(str::to_owned).collect();
        let (url, version) = (variable("LIVEKIT_URL")?, variable("OPENRTC_DEPLOYMENT_VERSION")?);
        let notes = File::options().create(true).append(true).open(variable("SIGNALS")?)?;
        Ok(Self { url, key, ways, version, notes, jobs: Vec::new() })
    }

    fn has(&self, way: &str) -> bool {
        self.ways.iter().any(|known| known == way)
    }

    fn note(&mut self, what: &str) {
        let line = format!("{} {what}\n", self.version);
        self.notes.write_all(line.as_bytes()).expect("the file takes it");
    }

    /// A plain request, past the host.
    async fn ask(&mut self) -> Result<(), Box<dyn Error>> {
        if !self.has("ask") {
            return Ok(());
        }
        let host = self.url.trim_start_matches("ws://").to_owned();
        let mut stream = TcpStream::connect(&host).await?;
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        self.note(&format!("asked: {}", answer.lines().last().unwrap_or_default()));
        Ok(())
    }

    async fn work(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            let mut request = format!("{}/agent?protocol=1", self.url).into_client_request()?;
            let token = self.key.worker_token(Clock::wall().as_micros() / 1_000_000);
            request.headers_mut().insert("authorization", format!("Bearer {}", &*token).parse()?);
            let (mut socket, _) = connect_async(request).await?;
            let name = self.ways.iter().find_map(|way| way.strip_prefix("name=")).unwrap_or("agent").to_owned();
            let register = RegisterWorkerRequest { agent_name: name, version: "1.8.9".into(), ..Default::default() };
            say(&mut socket, ToServer::Register(register)).await?;
            let full = UpdateWorkerStatus { status: Some(WorkerStatus::Full.into()), load: 0.9, ..Default::default() };
            // As a new version that warms up: the host's load counts, and not the program's.
            say(&mut socket, ToServer::UpdateWorker(full)).await?;
            if !self.jobs.is_empty() {
                say(&mut socket, ToServer::MigrateJob(MigrateJobRequest { job_ids: self.jobs.clone() })).await?;
            }
            self.hear(&mut socket).await?;
            self.note("lost its socket");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Until the socket is gone.
    async fn hear(&mut self, socket: &mut Socket) -> Result<(), Box<dyn Error>> {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Binary(frame) = message else { continue };
            match ServerMessage::decode(frame)?.message {
                Some(ToWorker::Register(_)) => self.note("registered"),
                Some(ToWorker::Availability(offer)) => {
                    let job = offer.job.unwrap_or_default();
                    let room = job.room.unwrap_or_default().name;
                    self.note(&format!("is offered {room}"));
                    if room == "no-answer" {
                        continue;
                    }
                    let answer = AvailabilityResponse {
                        job_id: job.id.clone(),
                        available: room != "refuse",
                        participant_identity: format!("agent-of-{room}"),
                        ..Default::default()
                    };
                    say(socket, ToServer::Availability(answer)).await?;
                }
                Some(ToWorker::Assignment(assigned)) => {
                    let job = assigned.job.unwrap_or_default();
                    let room = job.room.unwrap_or_default().name;
                    let (url, has_token) = (assigned.url.unwrap_or_default(), !assigned.token.is_empty());
                    self.note(&format!("assigned {} {room} {url} {has_token}", job.id));
                    self.jobs.push(job.id.clone());
                    self.tell(socket, &job.id, JobStatus::Running, "").await?;
                    match room.as_str() {
                        "short" => self.tell(socket, &job.id, JobStatus::Success, "").await?,
                        "fail" => self.tell(socket, &job.id, JobStatus::Failed, "on purpose").await?,
                        "crash" => std::process::exit(7),
                        "hiccup" => return Ok(()),
                        _ => {}
                    }
                }
                Some(ToWorker::Termination(over)) => {
                    self.note(&format!("terminated {}", over.job_id));
                    self.tell(socket, &over.job_id, JobStatus::Success, "").await?;
                }
                Some(ToWorker::Pong(_) | ToWorker::GoAway(_)) | None => {}
            }
        }
        Ok(())
    }

    async fn tell(
        &mut self,
        socket: &mut Socket,
        job: &str,
        status: JobStatus,
        error: &str,
    ) -> Result<(), Box<dyn Error>> {
        if status != JobStatus::Running {
            self.jobs.retain(|known| known != job);
        }
        if self.has("silent") {
            return Ok(());
        }
        let status = UpdateJobStatus { job_id: job.to_owned(), status: status.into(), error: error.to_owned() };
        say(socket, ToServer::UpdateJob(status)).await
    }
}

async fn say(socket: &mut Socket, message: ToServer) -> Result<(), Box<dyn Error>> {
    let frame = WorkerMessage { message: Some(message) }.encode_to_vec();
    Ok(socket.send(Message::binary(frame)).await?)
}
