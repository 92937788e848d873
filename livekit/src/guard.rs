//! Notices dispatches that the server has lost, and makes them again.
//!
//! A LiveKit server loses a dispatch for good when the worker that it asks stays silent, when no worker is registered
//! at that moment, when its own search times out, and when a worker's socket dies before its agent has joined; and it
//! answers each `CreateDispatch` with success. So somebody must look whether the agent came. [`Watch`] decides,
//! without input and output; [`Guard`] asks the server and does what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use openrtc_runtime::Clock;
use openrtc_runtime::time::{Instant, Span};
use tokio::time::sleep;

use crate::api::{Api, ApiError, Dispatched};

/// How often the server is asked.
const EVERY: Duration = Duration::from_secs(1);

/// Decides which dispatches are lost: those that have stood in a room without any agent for a set time.
#[derive(Debug)]
pub struct Watch {
    after: Span,
    /// Since when a dispatch has stood in a room without an agent, by room and id.
    since: BTreeMap<(String, String), Instant>,
}

impl Watch {
    /// Takes a dispatch for lost when its room has had no agent for `after`. That must be longer than an agent may
    /// take to join: LiveKit itself takes up to 3 s to find a worker, and ends an agent that comes after its dispatch
    /// was made again.
    #[must_use]
    pub const fn new(after: Span) -> Self {
        Self { after, since: BTreeMap::new() }
    }

    /// A room as it is now. Returns the dispatches that are lost.
    ///
    /// Dispatches of agents without a name are left alone: the server makes one for each room, whether anybody serves
    /// it or not.
    pub fn look(&mut self, now: Instant, room: &str, agents: usize, dispatches: &[Dispatched]) -> Vec<Dispatched> {
        let named = || dispatches.iter().filter(|dispatch| agents == 0 && !dispatch.agent_name.is_empty());
        let standing: BTreeSet<_> = named().map(|dispatch| dispatch.id.as_str()).collect();
        self.since.retain(|(known, id), _| known != room || standing.contains(id.as_str()));
        let mut lost = Vec::new();
        for dispatch in named() {
            let since = *self.since.entry((room.to_owned(), dispatch.id.clone())).or_insert(now);
            if now.since(since) >= self.after {
                lost.push(dispatch.clone());
            }
        }
        lost
    }

    /// Forgets the rooms that are gone.
    pub fn keep(&mut self, rooms: &BTreeSet<String>) {
        self.since.retain(|(room, _), _| rooms.contains(room));
    }
}

/// What a guard has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuardCounts {
    /// Dispatches whose room had no agent for too long.
    pub lost: u64,
    /// Dispatches that were made again.
    pub repeated: u64,
    /// Lost dispatches that somebody else had taken back: another guard makes them again.
    pub taken: u64,
    /// Requests without an answer.
    pub errors: u64,
}

/// A dispatch that was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostDispatch {
    /// The room that has no agent.
    pub room: String,
    /// Its id.
    pub dispatch: String,
    /// The id of the one that was made in its place; none if another guard makes it.
    pub again: Option<String>,
}

type Tell = Box<dyn FnMut(&LostDispatch) + Send>;

/// Watches the rooms of a LiveKit server, and makes lost dispatches again.
///
/// Several guards may watch one server: a lost dispatch is deleted first, and only whoever deleted it makes it again.
/// The deletion also ends an agent that would join late, so a room does not get two. One race is left: an agent that
/// joins between the look and the deletion is told to leave, and another one comes.
pub struct Guard {
    api: Api,
    watch: Watch,
    counts: GuardCounts,
    tell: Option<Tell>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api, watch, counts, tell: _ } = self;
        f.debug_struct("Guard").field("api", api).field("watch", watch).field("counts", counts).finish_non_exhaustive()
    }
}

impl Guard {
    /// A guard that takes a dispatch for lost when its room has had no agent for `after`: see [`Watch::new`].
    #[must_use]
    pub fn new(api: Api, after: Duration) -> Self {
        Self { api, watch: Watch::new(after.into()), counts: GuardCounts::default(), tell: None }
    }

    /// Hands each lost dispatch to `tell`, once it was made again or another guard has taken it. The guard waits for
    /// `tell`.
    #[must_use]
    pub fn telling(mut self, tell: impl FnMut(&LostDispatch) + Send + 'static) -> Self {
        self.tell = Some(Box::new(tell));
        self
    }

    /// What it has done.
    #[must_use]
    pub const fn counts(&self) -> &GuardCounts {
        &self.counts
    }

    /// Watches for ever. Log lines say what is lost and made again.
    ///
    /// # Cancellation
    /// A dispatch that was deleted and not yet made again stays deleted.
    pub async fn run(&mut self) {
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "the guard cannot see the rooms");
            }
            sleep(EVERY).await;
        }
    }

    /// Looks at every room once, and makes again what is lost.
    ///
    /// # Errors
    /// If the rooms cannot be listed. What cannot be learned of one room is unknown, and changes nothing there.
    pub async fn round(&mut self) -> Result<(), ApiError> {
        let rooms = self.api.list_rooms().await.inspect_err(|_| self.counts.errors += 1)?;
        let rooms: BTreeSet<_> = rooms.into_iter().collect();
        self.watch.keep(&rooms);
        for room in &rooms {
            if let Err(error) = self.mend(room).await {
                self.counts.errors += 1;
                tracing::debug!(room, %error, "the guard cannot see a room");
            }
        }
        Ok(())
    }

    async fn mend(&mut self, room: &str) -> Result<(), ApiError> {
        let dispatches = self.api.list_dispatches(room).await?;
        // After the dispatches: an agent of one of them is seen.
        let agents = if dispatches.is_empty() { 0 } else { self.api.agents(room).await? };
        for lost in self.watch.look(Clock::wall(), room, agents, &dispatches) {
            self.counts.lost += 1;
            let again = if self.api.delete_dispatch(room, &lost.id).await? {
                let again = self.api.create_dispatch(room, &lost).await?;
                self.counts.repeated += 1;
                tracing::warn!(room, lost = lost.id, again = again.id, "no agent came: the dispatch was made again");
                Some(again.id)
            } else {
                self.counts.taken += 1;
                None
            };
            if let Some(tell) = &mut self.tell {
                tell(&LostDispatch { room: room.to_owned(), dispatch: lost.id, again });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::EPOCH + Span::from_secs(secs)
    }

    fn dispatch(id: &str) -> Dispatched {
        Dispatched { id: id.to_owned(), ..Dispatched::of_agent("agent") }
    }

    #[test]
    fn a_dispatch_is_lost_once_its_room_has_had_no_agent_for_the_set_time() {
        let mut watch = Watch::new(Span::from_secs(5));
        let (one, unnamed) = (dispatch("AD_1"), Dispatched::of_agent(""));
        let both = [one.clone(), unnamed];
        assert_eq!(watch.look(at(0), "r", 0, &both), []);
        assert_eq!(watch.look(at(4), "r", 0, &both), []);
        // Another room's look changes nothing here.
        assert_eq!(watch.look(at(4), "other", 0, &[]), []);
        assert_eq!(watch.look(at(5), "r", 0, &both), std::slice::from_ref(&one));
        // An agent that is there, even for a moment, begins the time anew.
        assert_eq!(watch.look(at(6), "r", 1, &both), []);
        assert_eq!(watch.look(at(7), "r", 0, &both), []);
        assert_eq!(watch.look(at(11), "r", 0, &both), []);
        assert_eq!(watch.look(at(12), "r", 0, &both), std::slice::from_ref(&one));
        // What was made again has its own time.
        assert_eq!(watch.look(at(13), "r", 0, &[dispatch("AD_2")]), []);
        watch.keep(&BTreeSet::new());
        assert_eq!(watch.since.len(), 0);
    }
}
