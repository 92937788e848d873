//! What a worker does over HTTP beside its calls: it answers on its ops endpoints, it registers, and it dials in to a
//! coordinator.

use std::future::pending;
use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::sync::Arc;

use axum::Router;
use openrtc_core::membership::SigningKey;
use openrtc_records::journal::Recovered;

use super::error::StartError;
use crate::audit::Trail;
use crate::config::{HttpSettings, OpsSettings};
use crate::engine::handle::WorkerHandle;
#[cfg(feature = "tls")]
use crate::http::tls::ServerCertificate;
use crate::http::{Client, Trust};
use crate::ops::{self, Before, Endpoint, Farewell, Ops};
use crate::secret::Secret;
use crate::uplink::coordinator::DialIn;
use crate::uplink::register::Registration;

pub(super) struct Network {
    ops: Option<OpsListener>,
    registration: Option<Registration>,
    dial_in: Option<DialIn>,
    farewell: Farewell,
    /// What whoever owns more than the worker answers there.
    orders: Router,
}

struct OpsListener {
    endpoint: Endpoint,
    addr: Option<SocketAddr>,
    token: Option<Secret>,
}

impl Network {
    /// Listens from now on; answers once it runs. A worker that registers has a key.
    pub(super) fn open(
        settings: HttpSettings,
        trust: &Trust,
        key: Option<SigningKey>,
        orders: Router,
    ) -> Result<Self, StartError> {
        let ops = settings.ops.map(OpsListener::open).transpose()?;
        let register = |(url, key)| Registration::new(Client::new(trust), url, key);
        let registration = settings.register.zip(key.clone()).map(register);
        let dial_in = settings.coordinator.zip(key).map(|(url, key)| DialIn::new(url, trust.clone(), key));
        Ok(Self { ops, registration, dial_in, farewell: Farewell::new(), orders })
    }

    /// Whether there are ops endpoints.
    pub(super) const fn answers(&self) -> bool {
        self.ops.is_some()
    }

    /// Where the ops endpoints listen for TCP.
    pub(super) fn ops_addr(&self) -> Option<SocketAddr> {
        self.ops.as_ref().and_then(|ops| ops.addr)
    }

    /// What those who watch the worker hear of its end through.
    pub(super) fn farewell(&self) -> Farewell {
        self.farewell.clone()
    }

    /// Answers for as long as the process lives, and registers `worker`. Never unwinds into whoever polls it.
    pub(super) fn run(
        self,
        worker: WorkerHandle,
        trail: Option<Trail>,
        recovered: Option<&Recovered>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let registers = self.registration.is_some() || self.dial_in.is_some();
        let before = recovered.map(Before::of).unwrap_or_default();
        let Self { ops, registration, dial_in, farewell, orders } = self;
        async move {
            let answer = async {
                let Some(OpsListener { endpoint, token, .. }) = ops else { return };
                let ops =
                    Ops::new(worker.clone(), trail, token, registers, before, farewell.clone()).with_orders(orders);
                // In a task of its own: whatever goes wrong there ends there.
                if let Err(error) = tokio::spawn(ops::answer_all(endpoint, ops)).await {
                    tracing::error!(%error, "the ops endpoints have failed; calls and drains go on");
                }
                pending::<()>().await;
            };
            let register = async {
                if let Some(registration) = registration {
                    registration.run(&worker).await;
                }
            };
            let coordinate = async {
                if let Some(dial_in) = dial_in {
                    dial_in.run(&worker, &farewell).await;
                }
            };
            tokio::join!(answer, register, coordinate);
        }
    }
}

impl OpsListener {
    fn open(settings: OpsSettings) -> Result<Self, StartError> {
        let OpsSettings { addr, socket, token, .. } = settings;
        // First: files that cannot be used leave no socket behind.
        #[cfg(feature = "tls")]
        let certificate =
            settings.tls.map(|(cert, key)| ServerCertificate::read(cert, key).map(Arc::new)).transpose()?;
        let (endpoint, addr) = ops::listen(addr, socket.as_ref())?;
        #[cfg(feature = "tls")]
        let endpoint = Endpoint { certificate, ..endpoint };
        Ok(Self { endpoint, addr, token })
    }
}
