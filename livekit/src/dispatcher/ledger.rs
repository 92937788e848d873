//! What the dispatcher saw of each dispatch and of each job.

use std::collections::BTreeMap;

use openrtc_runtime::time::Instant;

use super::PeerId;
use crate::proto::{AvailabilityResponse, Job, JobStatus, JobType};

/// What a caller asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The room, which is made if it is not there.
    pub room: String,
    /// The agent's name; empty for workers without one.
    pub agent_name: String,
    /// Handed to the worker.
    pub metadata: String,
    /// The routing key: only workers with the same one are asked.
    pub deployment: String,
    /// What the job is for.
    pub kind: JobType,
}

/// How far a dispatch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A worker has the offer, until then.
    Offered {
        /// The worker.
        to: PeerId,
        /// When the server gives up, for good.
        until: Instant,
    },
    /// A worker said yes, and the job was assigned to it.
    Assigned(PeerId),
    /// A worker said that nobody is to take it.
    Terminated,
    /// Nobody has it, and nobody will be asked again. The caller does not learn this.
    Lost(Why),
    /// The caller deleted it.
    Deleted,
}

/// Why a dispatch is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No registered worker has its name, kind and routing key.
    NoWorker,
    /// All that have are full, or report a load of 0.7 or more.
    NoCapacity,
    /// Every one that could be asked refused.
    Refused,
    /// The one that was asked did not answer in time.
    Silence,
    /// The one that was asked is gone.
    WorkerGone,
    /// The server's own search timed out.
    Search,
}

impl Why {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoWorker => "no worker",
            Self::NoCapacity => "no capacity",
            Self::Refused => "refused by all",
            Self::Silence => "no answer",
            Self::WorkerGone => "worker gone",
            Self::Search => "search timed out",
        }
    }
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// What was asked for.
    pub asked: Asked,
    /// When it happened.
    pub at: Instant,
    /// The job that it led to; its id is the same for each worker that is asked.
    pub job: Job,
    /// How far it is.
    pub progress: Progress,
    /// Who was asked, in order.
    pub tried: Vec<PeerId>,
    /// What they said.
    pub answers: Vec<(PeerId, AvailabilityResponse)>,
}

/// What became of each job, as the workers said.
#[derive(Clone, Debug, Default)]
pub struct Statuses {
    seen: BTreeMap<String, Vec<(PeerId, i32)>>,
}

impl Statuses {
    pub(super) fn note(&mut self, job: &str, from: PeerId, status: i32) {
        self.seen.entry(job.to_owned()).or_default().push((from, status));
    }

    /// The terminal statuses of a job, with the socket that each came on.
    pub fn terminal(&self, job: &str) -> impl Iterator<Item = (PeerId, i32)> {
        let is_terminal = |status: i32| [JobStatus::Success, JobStatus::Failed].map(i32::from).contains(&status);
        self.seen.get(job).into_iter().flatten().copied().filter(move |(_, status)| is_terminal(*status))
    }
}
