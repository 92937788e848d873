//! What the server says.

use openrtc_runtime::time::Instant;
use prost::Message as _;

use super::{FRAME_MAX, LinkId, Output, Session};
use crate::proto::{Job, JobAssignment, ServerMessage, ToWorker};
use crate::url::ServerUrl;

impl Session {
    /// A binary message came. Fragments are joined before; whoever joins them refuses more than
    /// [`FRAME_MAX`] bytes, as this does.
    pub fn received(&mut self, now: Instant, id: LinkId, frame: &[u8]) {
        let Some(link) = self.link(id) else { return };
        let registered = link.is_registered();
        if frame.len() > FRAME_MAX {
            self.too_large(now, id, frame.len());
            return self.settle(now);
        }
        match ServerMessage::decode(frame) {
            Ok(ServerMessage { message: Some(message) }) if registered || comes_first(&message) => {
                self.heard(now, id, message);
            }
            // Of a kind that this build does not know, or empty, or before the registration is confirmed.
            Ok(_) => self.counts.ignored += 1,
            Err(_) => self.counts.undecodable += 1,
        }
        self.settle(now);
    }

    /// A text message came. The server sends none to a worker that sends none.
    pub fn received_text(&mut self, now: Instant) {
        self.counts.undecodable += 1;
        self.settle(now);
    }

    fn heard(&mut self, now: Instant, id: LinkId, message: ToWorker) {
        match message {
            ToWorker::Register(reply) => {
                let server = reply.server_info.map(|info| info.version).unwrap_or_default();
                self.registered(now, id, reply.worker_id, server);
            }
            ToWorker::Availability(request) => self.offered(now, id, request),
            ToWorker::Assignment(assignment) => self.assigned(now, id, assignment),
            ToWorker::Termination(termination) => self.terminated(now, &termination),
            ToWorker::Pong(pong) => {
                let patience = self.patience;
                let proven = self.link(id).and_then(|link| link.pong(now, pong.last_timestamp, &patience));
                match proven {
                    Some(jobs) => {
                        for job in jobs {
                            self.owed.remove(&job);
                            self.counts.delivered += 1;
                            self.emit(Output::Delivered(job));
                        }
                    }
                    None => self.counts.ignored += 1,
                }
            }
            ToWorker::GoAway(_) => self.go_away(now, id),
        }
    }
}

/// Whether a message may come before the registration is confirmed.
fn comes_first(message: &ToWorker) -> bool {
    matches!(message, ToWorker::Register(_) | ToWorker::Pong(_))
}

/// Why an assignment cannot be taken.
pub(super) fn fault(assignment: &JobAssignment) -> Option<&'static str> {
    let room = |job: &Job| job.room.as_ref().is_some_and(|room| !room.name.is_empty());
    if !assignment.job.as_ref().is_some_and(room) {
        Some("its assignment names no room")
    } else if assignment.token.is_empty() {
        Some("its assignment has no token")
    } else if assignment.url.as_ref().is_some_and(|url| !url.is_empty() && ServerUrl::parse(url).is_err()) {
        Some("its assignment has a url that is none")
    } else {
        None
    }
}
