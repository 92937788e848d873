//! Whom to ask.

use openrtc_runtime::time::Instant;

use super::{Dispatcher, Fault, PeerId, Progress, Why};
use crate::proto::{AvailabilityRequest, JobState, JobStatus, ToWorker};

/// LiveKit's `agents.target_load`: at it and above, workers count for nothing.
const TARGET_LOAD: f32 = 0.7;
/// Loads as whole numbers, to choose by weight.
const SCALE: f32 = 1_000_000.0;

impl Dispatcher {
    /// Asks the next worker, or loses the dispatch.
    pub(super) fn ask_next(&mut self, id: &str, until: Instant) {
        match self.choose(id) {
            Ok(to) => {
                if let Some(dispatch) = self.dispatches.get_mut(id) {
                    dispatch.tried.push(to);
                    dispatch.progress = Progress::Offered { to, until };
                }
                self.offer(id, to);
            }
            Err(why) => self.set(id, Progress::Lost(why)),
        }
    }

    /// A worker that is available and was not asked, at random by 1 − load. Nobody at all if together they have no room
    /// below the target load.
    fn choose(&mut self, id: &str) -> Result<PeerId, Why> {
        let dispatch = self.dispatches.get(id).ok_or(Why::NoWorker)?;
        let key = |peer: &&super::Peer| peer.serves(&dispatch.asked);
        if !self.peers.values().any(|peer| key(&peer)) {
            return Err(Why::NoWorker);
        }
        let open: Vec<_> = self.peers.iter().filter(|(_, peer)| key(peer) && peer.is_available()).collect();
        if !open.iter().any(|(_, peer)| peer.load < TARGET_LOAD) {
            return Err(Why::NoCapacity);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "loads are between 0 and 1")]
        let weight = |load: f32| ((1.0 - load).clamp(0.0, 1.0) * SCALE) as u64;
        let untried: Vec<_> = open
            .iter()
            .filter(|(peer, _)| !dispatch.tried.contains(peer))
            .map(|(peer, state)| (**peer, weight(state.load)))
            .collect();
        let mut at = self.jitter.below(untried.iter().map(|(_, weight)| weight).sum());
        for (peer, weight) in &untried {
            if at < *weight {
                return Ok(*peer);
            }
            at -= weight;
        }
        untried.first().map(|(peer, _)| *peer).ok_or(Why::Refused)
    }

    /// Sends the offer.
    pub(super) fn offer(&mut self, id: &str, to: PeerId) {
        let Some(dispatch) = self.dispatches.get(id) else { return };
        let Some(peer) = self.peers.get(&to) else { return };
        let mut job = dispatch.job.clone();
        let started_at = i64::try_from(dispatch.at.as_micros().saturating_mul(1_000)).unwrap_or(i64::MAX);
        job.state = Some(JobState {
            status: JobStatus::Running.into(),
            started_at,
            updated_at: started_at,
            worker_id: peer.worker_id.clone(),
            ..JobState::default()
        });
        let times = if self.faults.take(Fault::OfferTwice) { 2 } else { 1 };
        for _ in 0..times {
            let request = AvailabilityRequest { job: Some(job.clone()), resuming: false };
            self.send(to, ToWorker::Availability(request));
        }
        if self.faults.take(Fault::CloseAfterOffer) {
            self.close(to);
        }
    }
}
