//! A job that was assigned to this worker.

use std::collections::BTreeMap;
use std::fmt;

use openrtc_runtime::{CallGuard, CallId, EndReason};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::driver::Order;
use crate::proto;
use crate::session::End;

/// A job that was assigned to this worker: join its room with whatever SDK you like, at [`Job::url`] with
/// [`Job::token`].
///
/// When the conversation is over, tell the result with [`Job::finish`] and leave the room after it: LiveKit takes a job
/// whose agent has left without a word for failed. A handler that returns without it has its result told by what it
/// returned.
pub struct Job {
    id: CallId,
    message: proto::Job,
    url: String,
    token: Zeroizing<String>,
    terminated: CancellationToken,
    orders: mpsc::UnboundedSender<Order>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, message, url, .. } = self;
        f.debug_struct("Job").field("id", id).field("message", message).field("url", url).finish_non_exhaustive()
    }
}

impl Job {
    pub(super) fn new(
        id: CallId,
        assignment: proto::JobAssignment,
        own_url: &str,
        terminated: CancellationToken,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Self {
        let url = assignment.url.filter(|url| !url.is_empty()).unwrap_or_else(|| own_url.to_owned());
        let message = assignment.job.unwrap_or_default();
        Self { id, message, url, token: Zeroizing::new(assignment.token), terminated, orders }
    }

    /// The job's id, which is the call's.
    #[must_use]
    pub const fn id(&self) -> &CallId {
        &self.id
    }

    /// The name of the room to join.
    #[must_use]
    pub fn room(&self) -> &str {
        self.message.room.as_ref().map_or("", |room| &room.name)
    }

    /// The participant that the job is for; none for a job that is for a room.
    #[must_use]
    pub const fn participant(&self) -> Option<&proto::ParticipantInfo> {
        self.message.participant.as_ref()
    }

    /// What the dispatch carried.
    #[must_use]
    pub fn metadata(&self) -> &str {
        &self.message.metadata
    }

    /// The dispatch's attributes.
    #[must_use]
    pub const fn attributes(&self) -> &BTreeMap<String, String> {
        &self.message.attributes
    }

    /// Where the room is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token to join with, within an hour of the assignment. It lets its holder into the room: show it to nobody.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Whether the session is to be recorded.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        self.message.enable_recording
    }

    /// Whether what is recorded is to be redacted.
    #[must_use]
    pub const fn is_redacted(&self) -> bool {
        self.message.enable_redaction
    }

    /// The whole job, as the server sent it.
    #[must_use]
    pub const fn message(&self) -> &proto::Job {
        &self.message
    }

    /// Resolves when the server has ended the job: its dispatch was deleted, its room closed, or its agent removed.
    /// Stop then. Cancel-safe; may be awaited several times.
    pub async fn terminated(&self) {
        self.terminated.cancelled().await;
    }

    /// Whether the server has ended the job.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.terminated.is_cancelled()
    }

    /// Tells LiveKit the job's result, then ends the call: when this returns the server has the result, or there is no
    /// connection to tell it on, in which case it is told once there is; and the call's slot is free. Leave the room
    /// after it. Takes two seconds at most before the call is ended.
    ///
    /// # Cancellation
    /// The result is told all the same. The call ends at once, since the guard is dropped.
    pub async fn finish<E: fmt::Display>(&self, guard: CallGuard, result: Result<(), E>) {
        let (end, reason) = match result {
            Ok(()) if self.is_terminated() => (End::Succeeded, EndReason::CallerHangup),
            Ok(()) => (End::Succeeded, EndReason::AgentHangup),
            // Recorded as what told it to end: the drain's deadline, or a person.
            Err(error) if guard.is_cancelled() => (End::Failed(error.to_string()), EndReason::DrainForced),
            Err(error) => (End::Failed(error.to_string()), EndReason::Failed),
        };
        let (done, told) = oneshot::channel();
        if self.orders.send(Order::End { job: self.id.clone(), end, patient: false, done }).is_ok() {
            let _ = tokio::time::timeout(super::driver::TELL, told).await;
        }
        guard.end(reason).await;
    }
}
