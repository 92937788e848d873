//! Which program takes the next call or request, and what it has promised.

use std::net::SocketAddr;
use std::time::Duration;

use openrtc_core::fleet::Run;
use openrtc_core::id::{CallNo, Version};
use openrtc_core::word::Phase;
use tokio::time::{Instant, timeout_at};

use super::{Programs, State};
use crate::fate::Fate;
use crate::program::{Program, Served};
use crate::spot::Spot;

impl Programs {
    /// The version that takes new calls: it gets them, and its program is there.
    pub(crate) fn serving(&self) -> Option<Version> {
        let state = self.lock();
        let serves = |program: &Program| program.addr.is_some() && program.phase() == Phase::Serving;
        let of = |version: Version| state.programs.values().filter(move |program| program.version == version);
        state.routed().into_iter().find(|version| of(*version).any(serves))
    }

    /// Says which version takes new calls, at first and whenever that changes, without end.
    pub(crate) async fn tell_serving(&self, say: impl Fn(Version)) {
        let mut changed = self.0.changed.subscribe();
        let mut said = None;
        loop {
            let serving = self.serving();
            if let Some(version) = serving.filter(|_| serving != said) {
                said = serving;
                say(version);
            }
            // The sender lives as long as this.
            let _ = changed.changed().await;
        }
    }

    /// A program for one more call or request, as soon as there is one, but not after `patience`.
    pub(crate) async fn slot(&self, served: Served, patience: Duration) -> Option<Slot> {
        let until = Instant::now() + patience;
        let mut changed = self.0.changed.subscribe();
        loop {
            if let Some(slot) = self.try_slot(served) {
                return Some(slot);
            }
            if self.lock().is_leaving {
                return None;
            }
            timeout_at(until, changed.changed()).await.ok()?.ok()?;
        }
    }

    fn try_slot(&self, served: Served) -> Option<Slot> {
        let now = self.0.shell.now();
        let mut state = self.lock();
        state.routed().into_iter().find_map(|version| {
            let program = state.programs.values_mut().find(|program| program.version == version)?;
            let addr = program.addr?;
            let call = program.admit(now, served)?;
            let (run, fate, spot) = (program.run, program.fate(), program.spot.clone());
            Some(Slot { programs: self.clone(), run, version, fate, spot, addr, call, served, is_lost: false })
        })
    }
}

impl State {
    /// The versions that get new calls, the one with the largest share first.
    fn routed(&self) -> Vec<Version> {
        let mut routed: Vec<_> = self.weights.iter().filter(|(_, weight)| **weight > 0).collect();
        routed.sort_by_key(|(_, weight)| std::cmp::Reverse(**weight));
        routed.into_iter().map(|(version, _)| *version).collect()
    }
}

/// A program's promise to a call or a request, which counts as the program's for as long as this is held.
#[derive(Debug)]
pub(crate) struct Slot {
    programs: Programs,
    run: Run,
    pub(crate) version: Version,
    pub(crate) fate: Fate,
    #[cfg_attr(not(feature = "livekit"), expect(dead_code, reason = "without it the address tells all"))]
    pub(crate) spot: Spot,
    pub(crate) addr: SocketAddr,
    call: CallNo,
    served: Served,
    is_lost: bool,
}

impl Slot {
    /// What was offered as a call is none; its answer is under way.
    pub(crate) fn decline(mut self) -> Self {
        self.served = Served::Request;
        self.programs.with(self.run, Program::decline);
        self
    }

    /// The call ended because the program did.
    pub(crate) fn lose(mut self) {
        self.is_lost = self.served == Served::Call;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let now = self.programs.0.shell.now();
        let drains = self.programs.with(self.run, |program| {
            program.end(now, self.call, self.served, self.is_lost);
            program.phase() >= Phase::Draining
        });
        if drains == Some(true) {
            self.programs.report(self.run);
        } else {
            // The fleet hears of it soon enough.
            self.programs.0.changed.send_replace(());
        }
    }
}
