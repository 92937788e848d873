//! The shell's ports on tokio: timers, the journal's thread, what the rest of the process waits for.

use std::future::Future;
use std::io;

use openrtc_core::id::Seq;
use openrtc_core::snapshot::JournalHealth;
use openrtc_core::time::Instant;
use openrtc_core::word::Phase;
use openrtc_core::worker::{Alert, Availability, Effect, Entry, Event, Worker};
use tokio::time::timeout_at;

use super::writer::Writer;
use crate::audit::Feed;
use crate::engine::clock::Clock;
use crate::engine::handle::{Published, Publisher};
use crate::engine::ports::Ports;
use crate::process::systemd;

#[derive(Debug)]
pub(crate) struct Host {
    clock: Clock,
    writer: Option<Writer>,
    audit: Option<Feed>,
    health: JournalHealth,
    publisher: Publisher,
}

impl Host {
    pub(crate) fn new(clock: Clock, writer: Option<Writer>, audit: Option<Feed>, publisher: Publisher) -> Self {
        let health = JournalHealth { kept: writer.is_some(), ..JournalHealth::default() };
        Self { clock, writer, audit, health, publisher }
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
        self.publisher.publish(Published { settled, drained, outcome, health: self.health });
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
            Effect::CancelCalls { .. } => self.publisher.order_force(),
            Effect::Exit(outcome) => tracing::info!(?outcome, "the worker leaves"),
            Effect::Finish => tracing::info!("drained"),
            Effect::Lapse(call) => tracing::debug!(%call, "the reservation lapsed"),
            Effect::Stop => systemd::stopping(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openrtc_core::id::{Actor, CallId};
    use openrtc_core::machine::Machine;
    use openrtc_core::worker::{Cause, Class, Command, DrainOrder, EndReason, Limits, OnDeadline, Outcome};
    use tokio::time::{sleep, timeout};

    use super::super::writer::stalled;
    use super::*;
    use crate::engine::handle::WorkerHandle;
    use crate::engine::shell;

    const CALL: CallId = CallId::from_static("call");
    const DRAIN: Command = Command::BeginDrain(DrainOrder {
        cause: Cause::Api,
        actor: Actor::from_static("alice"),
        deadline: None,
        on_deadline: OnDeadline::Wait,
    });

    /// The disk takes a batch and never finishes: calls are admitted and hang up as before, the drain drains, and only
    /// the journal's health tells. Once the disk goes on, what it missed is covered by a state.
    #[tokio::test(start_paused = true)]
    async fn a_stalled_disk_costs_durability_and_no_call() {
        let start = Worker::new(Limits::default()).expect("limits are valid");
        let clock = Clock::start();
        let (worker, publisher) = WorkerHandle::for_test(&start, clock);
        let gate = worker.gate();
        let (writer, disk) = stalled::writer();
        let mut host = Host::new(clock, Some(writer), None, publisher);
        let shell = tokio::spawn({
            let (worker, start) = (worker.clone(), start.clone());
            async move { shell::run(worker.gate(), start, &mut host).await }
        });
        worker.submit(Command::Serve).expect("it has just started");
        let held = gate.admit(CALL, Class(0)).expect("it serves");
        for _ in 0..1_000 {
            let call = gate.admit(CALL, Class(0)).expect("a stalled disk refuses nobody");
            gate.end(call, EndReason::CallerHangup).expect("and keeps nobody");
            sleep(Duration::from_millis(10)).await;
        }
        let stalled = worker.snapshot().journal;
        assert!(stalled.failing && stalled.missed > 1_000, "and it shows: {stalled:?}");
        assert_eq!(stalled.written, Seq::default());

        worker.submit(DRAIN).expect("it serves");
        gate.end(held, EndReason::CallerHangup).expect("it was held");
        let drained = timeout(Duration::from_millis(10), worker.drained()).await;
        assert!(drained.is_ok_and(|published| published.drained), "the drain does not wait for the disk");

        let disk = tokio::spawn(async move {
            let mut journaled = start;
            disk.finish(|before, entries| {
                journaled = before.unwrap_or_else(|| journaled.clone());
                for entry in entries {
                    journaled.apply(entry);
                }
            })
            .await;
            journaled
        });
        sleep(Duration::from_millis(10)).await;
        worker.submit(Command::Close).expect("it is drained");
        assert_eq!(shell.await.expect("the shell does not panic"), Outcome::Clean);
        let recovered = worker.snapshot().journal;
        assert!(!recovered.failing, "{recovered:?}");
        let journaled = disk.await.expect("the disk does not panic");
        assert_eq!(journaled.life(), &gate.view(clock.now()).life, "the journal tells all of it");
    }
}
