//! What a worker does over HTTP beside its calls: it answers on its ops endpoints, and it registers.

use std::net::SocketAddr;

use openrtc_core::membership::SigningKey;
use tokio::net::TcpListener;

use super::error::StartError;
use crate::audit::Trail;
use crate::config::{HttpSettings, OpsSettings};
use crate::engine::handle::WorkerHandle;
use crate::ops::{self, Ops};
use crate::secret::Secret;
use crate::uplink::register::Registration;

pub(super) struct Network {
    ops: Option<Listening>,
    registration: Option<Registration>,
}

struct Listening {
    listener: TcpListener,
    addr: SocketAddr,
    token: Option<Secret>,
}

impl Network {
    /// Listens from now on; answers once it runs. A worker that registers has a key.
    pub(super) fn open(settings: HttpSettings, key: Option<SigningKey>) -> Result<Self, StartError> {
        let listen = |OpsSettings { addr, token }| match ops::listen(addr) {
            Ok((listener, addr)) => Ok(Listening { listener, addr, token }),
            Err(error) => Err(StartError::Ops { addr, error }),
        };
        let ops = settings.ops.map(listen).transpose()?;
        let registration = settings.register.zip(key).map(|(url, key)| Registration::new(url, key));
        Ok(Self { ops, registration })
    }

    /// Where the ops endpoints listen.
    pub(super) fn ops_addr(&self) -> Option<SocketAddr> {
        self.ops.as_ref().map(|ops| ops.addr)
    }

    /// Answers for as long as the process lives, and registers `worker`.
    pub(super) async fn run(self, worker: WorkerHandle, trail: Option<Trail>) {
        let answer = async {
            if let Some(Listening { listener, token, .. }) = self.ops {
                ops::answer_all(listener, Ops { worker: worker.clone(), trail, token }).await;
            }
        };
        let register = async {
            if let Some(registration) = self.registration {
                registration.run(&worker).await;
            }
        };
        tokio::join!(answer, register);
    }
}
