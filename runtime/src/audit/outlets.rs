//! What a trail is written to.

use std::io;
use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use openrtc_core::id::Identity;
use openrtc_core::worker::Worker;
use openrtc_records::trail::{TrailError, TrailFile, Whose};

use super::auditor::Auditor;
#[cfg(feature = "http")]
use super::webhook::Webhook;
use super::{AuditSink, Feed, Trail};
use crate::config::TrailSettings;
use crate::engine::clock::Clock;
#[cfg(feature = "http")]
use crate::http::Trust;

/// Everything that a trail goes to. The file is held against everybody else from here on, before there is a run to
/// write about.
pub(crate) struct Outlets {
    /// The journal that the trail is derived from.
    journal: PathBuf,
    file: Option<TrailFile>,
    sinks: Vec<Box<dyn AuditSink>>,
    /// What it is signed with.
    key: Option<SigningKey>,
    #[cfg(feature = "http")]
    webhook: Option<Webhook>,
}

impl Outlets {
    /// Opens the file of this worker's trail and whatever is fed from it.
    pub(crate) fn open(
        settings: TrailSettings,
        identity: &Identity,
        key: Option<SigningKey>,
        sinks: Vec<Box<dyn AuditSink>>,
        #[cfg(feature = "http")] trust: &Trust,
    ) -> Result<Self, TrailError> {
        let path = settings.file.as_deref();
        let whose = Whose { deployment: identity.deployment.to_string(), worker: identity.worker.to_string() };
        let file = path.map(|path| TrailFile::open(path, settings.sync, settings.max_bytes, &whose)).transpose()?;
        #[cfg(feature = "http")]
        let webhook = file.as_ref().zip(settings.webhook);
        #[cfg(feature = "http")]
        let webhook = webhook.map(|(file, url)| Webhook::open(url, trust, file.path(), whose, file.chain));
        Ok(Self {
            journal: settings.journal,
            file,
            sinks,
            key,
            #[cfg(feature = "http")]
            webhook,
        })
    }

    /// Starts the threads that write the trail of a worker in `state`, and send it on.
    pub(crate) fn start(self, identity: Identity, clock: Clock, state: Worker) -> io::Result<(Feed, Trail)> {
        #[cfg(feature = "http")]
        let recent = self.webhook.as_ref().map(Webhook::recent);
        #[cfg(not(feature = "http"))]
        let recent = None;
        let auditor = Auditor::new(self.journal, identity, clock, state, self.file, self.sinks, self.key);
        let (feed, extent) = auditor.keeping(recent).start()?;
        #[cfg(feature = "http")]
        let delivery = self.webhook.map(|webhook| webhook.start(extent.clone())).transpose()?;
        #[cfg(not(feature = "http"))]
        let delivery = None;
        Ok((feed, Trail { extent, delivery }))
    }
}
