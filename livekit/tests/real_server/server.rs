//! A real LiveKit server, for a test.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use openrtc_livekit::{Api, ApiKey, Dispatched};
use tokio::time::{sleep, timeout};

/// A server that is stopped when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    api: Api,
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that is gone already needs no kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the server starts");
        let url = format!("ws://127.0.0.1:{port}");
        let api = Api::new(&url, ApiKey::new("devkey", "secret")).expect("a good URL");
        let server = Self { child, url, api };
        let up = async {
            while server.api().list_rooms().await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(30), up).await.expect("the server answers");
        server
    }

    pub(crate) fn api(&self) -> Api {
        self.api.clone()
    }

    pub(crate) async fn dispatch(&self, room: &str) {
        self.api().create_dispatch(room, &Dispatched::of_agent("agent")).await.expect("it takes every dispatch");
    }
}

/// Ports that are free now.
fn ports() -> [u16; 3] {
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("an address").port())
}
