//! A registrar that answers in the background.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use openrtc_core::id::{Deployment, Epoch, Version};
use openrtc_core::membership::{Manifest, MembershipVerifier, VerifierLimits};
use openrtc_core::time::Span;
use openrtc_fleet::registrar;
use openrtc_runtime::read_public_key;
use tokio::runtime::{Builder, Runtime};

const LIMITS: VerifierLimits =
    VerifierLimits { age_max: Span::from_secs(60), ahead_max: Span::from_secs(5), workers_max: 8 };

/// A registrar. It answers until it is dropped.
pub struct Registrar {
    runtime: Runtime,
    registrar: registrar::Registrar,
}

impl Registrar {
    /// A registrar that lets in workers of one version, at one epoch, if they sign with the key whose public half is in
    /// the file.
    pub fn new(public_key: &Path, deployment: &'static str, version: &'static str, epoch: u64) -> Self {
        let (deployment, versions) = (Deployment::from_static(deployment), vec![Version::from_static(version)]);
        let manifest = Manifest { deployment, versions, epoch: Epoch::new(epoch) };
        let mut verifier = MembershipVerifier::new(manifest, LIMITS);
        verifier.add_key(read_public_key(public_key).unwrap().as_bytes()).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { runtime, registrar: registrar::Registrar::new(verifier, |_| {}) }
    }

    /// Begins to answer at this address; port 0 picks a free one.
    pub fn serve(&self, addr: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind(addr).unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let _inside = self.runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        self.runtime.spawn(self.registrar.clone().serve(listener));
        addr
    }
}

/// Where a worker registers with a registrar at this address.
pub fn url(registrar: SocketAddr) -> String {
    format!("http://{registrar}/register")
}
