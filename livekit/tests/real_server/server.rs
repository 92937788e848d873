//! A real LiveKit server, for a test.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use openrtc_livekit::{Api, ApiKey, Dispatched};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::time::{sleep, timeout};

/// A server that is stopped when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) port: u16,
    api: Api,
    log: NamedTempFile,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "where the server is, is said by whoever runs the test")]
        let program =
            std::env::var("OPENRTC_LIVEKIT_SERVER").expect("OPENRTC_LIVEKIT_SERVER names the server's program");
        let [port, tcp, udp] = ports();
        let config = format!("port: {port}\nrtc:\n  tcp_port: {tcp}\n  udp_port: {udp}\n");
        let mut command = Command::new(program);
        command.args(["--dev", "--bind", "127.0.0.1", "--node-ip", "127.0.0.1", "--config-body", &config]);
        let log = NamedTempFile::new().expect("a file for its log");
        let out = || Stdio::from(log.reopen().expect("it is there"));
        let child = command.stdout(out()).stderr(out()).spawn().expect("the server starts");
        let url = format!("ws://127.0.0.1:{port}");
        let api = Api::new(&url, ApiKey::new("devkey", "secret")).expect("a good URL");
        let server = Self { child, url, port, api, log };
        let up = async {
            while server.api().list_rooms().await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(30), up).await.expect("the server answers");
        server
    }

    pub(crate) fn kill(&mut self) {
        // One that is gone already needs no kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How the server saw jobs end, in its own words: `JS_SUCCESS` or `JS_FAILED`, and the error, in order.
    pub(crate) fn ended(&self) -> Vec<(String, String)> {
        let log = fs::read_to_string(self.log.path()).expect("its log");
        let facts = log.lines().filter(|line| line.contains("job ended")).filter_map(|line| line.split_once('{'));
        let word = |facts: &Value, name: &str| facts[name].as_str().expect("the server says it").to_owned();
        facts
            .map(|(_, facts)| serde_json::from_str(&format!("{{{facts}")).expect("JSON"))
            .map(|facts: Value| (word(&facts, "status"), word(&facts, "error")))
            .collect()
    }

    pub(crate) fn api(&self) -> Api {
        self.api.clone()
    }

    pub(crate) async fn dispatch(&self, room: &str) {
        self.ask(room, "", "").await;
    }

    /// Asks for an agent, with metadata and a routing key. Returns the dispatch's id.
    pub(crate) async fn ask(&self, room: &str, metadata: &str, deployment: &str) -> String {
        let mut like = Dispatched::of_agent("agent");
        (like.metadata, like.deployment) = (metadata.to_owned(), deployment.to_owned());
        self.api().create_dispatch(room, &like).await.expect("it takes every dispatch").id
    }
}

/// Ports that are free now. The system gives clients none below 32768, so they stay so until the server has them.
fn ports() -> [u16; 3] {
    let first = 15_000 + u16::try_from(std::process::id() % 16_000).expect("it is small");
    let mut free = (first..32_000).filter_map(|port| TcpListener::bind(("0.0.0.0", port)).ok());
    let held = [(); 3].map(|()| free.next().expect("a free port"));
    held.map(|listener| listener.local_addr().expect("an address").port())
}
