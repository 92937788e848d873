//! The shell's ports on tokio: timers, the journal's thread, what the rest of the process waits for.

use std::future::Future;
use std::io;

use openrtc_core::id::Seq;
use openrtc_core::snapshot::JournalHealth;
use openrtc_core::time::Instant;
use openrtc_core::word::Phase;
use openrtc_core::worker::{Alert, Availability, Effect, Entry, Event, Worker};
use tokio::sync::watch;
use tokio::time::timeout_at;

use crate::audit::Feed;
use crate::clock::Clock;
use crate::force::Force;
use crate::journal::Writer;
use crate::pool::Published;
use crate::ports::Ports;
use crate::systemd;

#[derive(Debug)]
pub(crate) struct Host {
    clock: Clock,
    writer: Option<Writer>,
    audit: Option<Feed>,
    health: JournalHealth,
    publish: watch::Sender<Published>,
    force: Force,
}

impl Host {
    pub(crate) fn new(
        clock: Clock,
        writer: Option<Writer>,
        audit: Option<Feed>,
        publish: watch::Sender<Published>,
        force: Force,
    ) -> Self {
        let health = JournalHealth { kept: writer.is_some(), ..JournalHealth::default() };
        Self { clock, writer, audit, health, publish, force }
    }

    fn note(&mut self, written: &io::Result<()>, entries: &[Entry]) {
        match written {
            Ok(()) => {
                if self.health.failing {
                    tracing::info!(missed = self.health.missed, "the journal is written again");
                }
                self.health.failing = false;
                self.health.written = entries.last().map_or(self.health.written, |entry| entry.seq);
            }
            Err(error) => {
                if !self.health.failing {
                    tracing::error!(%error, "the journal cannot be written; calls and drain go on without it");
                }
                self.health.failing = true;
                self.health.missed += entries.len() as u64;
            }
        }
    }
}

impl Ports for Host {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    async fn next(&mut self, deadline: Option<Instant>, work: impl Future<Output = ()>) {
        match deadline {
            // Reaching the deadline is as good a reason to go on as work is.
            Some(at) => timeout_at(self.clock.timer(at), work).await.unwrap_or_default(),
            None => work.await,
        }
    }

    async fn append(&mut self, before: &Worker, entries: &[Entry]) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let last = entries.last().is_some_and(|entry| matches!(entry.event, Event::Exited { .. }));
        let written = writer.append(before, entries, last).await;
        self.note(&written, entries);
        if let Some(audit) = &self.audit {
            audit.give(entries);
        }
        written
    }

    fn publish(&mut self, settled: Seq, state: &Worker) {
        let drained = state.phase() == Phase::Drained;
        let outcome = state.outcome();
        self.publish.send_replace(Published { settled, drained, outcome, health: self.health });
    }

    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Alert(Alert::Overdue) => tracing::warn!("the drain is overdue: calls are still in flight"),
            Effect::Alert(Alert::Stalled(call)) => {
                tracing::warn!(%call, "the call has been silent for longer than its limit; it is not ended for that");
            }
            Effect::Announce(availability) => {
                tracing::debug!(?availability, "availability changed");
                if availability == Availability::Open {
                    systemd::ready();
                }
            }
            Effect::CancelCalls { .. } => self.force.order(),
            Effect::Exit(outcome) => tracing::info!(?outcome, "the worker leaves"),
            Effect::Finish => tracing::info!("drained"),
            Effect::Lapse(call) => tracing::debug!(%call, "the reservation lapsed"),
            Effect::Stop => systemd::stopping(),
        }
    }
}
