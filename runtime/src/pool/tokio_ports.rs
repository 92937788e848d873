//! The control loop's ports on tokio: timers, the journal's thread, what the rest of the process waits for.

use std::future::Future;
use std::io;

use openrtc_core::id::Seq;
use openrtc_core::journal::Batch;
use openrtc_core::time::Instant;
use openrtc_core::worker::{Alert, Availability, Effect, Event, Worker};

use crate::audit::Feed;
use crate::engine::clock::Clock;
use crate::engine::handle::Publisher;
use crate::engine::ports::Ports;
use crate::engine::roster::Roster;
use crate::log::{Limit, say};
use crate::process::systemd::Systemd;
use crate::writer::Writer;

static STALLED: Limit = Limit::new();

#[derive(Debug)]
pub(crate) struct Host {
    clock: Clock,
    writer: Writer<Worker>,
    audit: Option<Feed>,
    publisher: Publisher,
    /// Who hears of every call, if anybody asks for them.
    roster: Option<Roster>,
    systemd: Systemd,
}

impl Host {
    pub(crate) fn new(
        clock: Clock,
        writer: Writer<Worker>,
        audit: Option<Feed>,
        publisher: Publisher,
        systemd: Systemd,
    ) -> Self {
        Self { clock, writer, audit, publisher, roster: None, systemd }
    }

    /// Keeps the calls in flight by name.
    pub(crate) fn listing(mut self, roster: Option<Roster>) -> Self {
        self.roster = roster;
        self
    }

    async fn journal(&mut self, before: &Worker, batch: &Batch<Worker>) -> io::Result<()> {
        let last = batch.entries.last().is_some_and(|entry| matches!(entry.event, Event::Exited { .. }));
        let written = self.writer.append(before, batch, last).await;
        if let Some(audit) = &self.audit {
            audit.give(batch);
        }
        written
    }
}

impl Ports<Worker> for Host {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    async fn next(&mut self, deadline: Option<Instant>, work: impl Future<Output = ()>) {
        tokio::select! {
            () = self.clock.wait(deadline, work) => {}
            () = self.writer.changed() => self.publisher.publish_health(self.writer.health()),
        }
    }

    async fn append(&mut self, before: &Worker, batch: &Batch<Worker>) -> io::Result<()> {
        let written = self.journal(before, batch).await;
        if let Some(roster) = &self.roster {
            roster.note(batch);
        }
        self.publisher.report(&batch.entries);
        written
    }

    fn publish(&mut self, settled: Seq, state: &Worker) {
        self.publisher.publish(settled, state, self.writer.health());
    }

    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Alert(Alert::Overdue) => say(|| tracing::warn!("the drain is overdue: calls are still in flight")),
            Effect::Alert(Alert::Stalled(call)) => {
                if let Some(suppressed) = STALLED.pass() {
                    say(move || {
                        tracing::warn!(%call, suppressed, "the call is silent for longer than its limit, and goes on");
                    });
                }
            }
            Effect::Announce(availability) => {
                self.publisher.announce(availability);
                if availability == Availability::Open {
                    self.systemd.ready();
                }
            }
            Effect::CancelCalls { until } => self.publisher.cancel_calls(until),
            Effect::Exit(outcome) => self.publisher.exit(outcome),
            Effect::Lapse(_) => self.publisher.lapse(),
            Effect::Stop => self.systemd.stopping(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openrtc_core::id::{Actor, CallId, OpenIds};
    use openrtc_core::machine::Machine;
    use openrtc_core::worker::{Cause, Class, Command, DrainOrder, EndReason, Leave, Limits, Outcome, Terms};
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::engine::control;
    use crate::engine::handle::WorkerHandle;
    use crate::writer::stalled;

    const CALL: CallId = CallId::from_static("call");
    const DRAIN: Command = Command::BeginDrain(DrainOrder {
        cause: Cause::Api,
        actor: Actor::from_static("alice"),
        terms: Terms::PATIENT,
    });

    /// The disk takes a batch and never finishes: calls are admitted and hang up as before, the drain drains, and only
    /// the journal's health tells. Once the disk goes on, what it missed is covered by a state.
    #[tokio::test(start_paused = true)]
    async fn a_stalled_disk_costs_durability_and_no_call() {
        let limits = Limits { leave: Leave::Parked, ..Limits::default() };
        let start = Worker::new(limits).expect("limits are valid");
        let clock = Clock::start();
        let (worker, publisher) = WorkerHandle::for_test(&start, clock);
        let gate = worker.gate();
        let (writer, disk) = stalled::writer();
        let mut host = Host::new(clock, writer, None, publisher, Systemd::default());
        let shell = tokio::spawn({
            let (worker, start) = (worker.clone(), start.clone());
            async move { control::run(worker.gate(), start, &mut host).await }
        });
        worker.submit(Command::Serve).expect("it has just started");
        let held = gate.admit(&CALL, Class::default()).expect("it serves");
        for _ in 0..1_000 {
            let call = gate.admit(&CALL, Class::default()).expect("a stalled disk refuses nobody");
            gate.end(call, EndReason::CallerHangup).expect("and keeps nobody");
            sleep(Duration::from_millis(10)).await;
        }
        let stalled = worker.snapshot().journal;
        assert!(stalled.failing && stalled.missed > 1_000, "and it shows: {stalled:?}");
        assert_eq!(stalled.written, Seq::default());

        worker.submit(DRAIN).expect("it serves");
        gate.end(held, EndReason::CallerHangup).expect("it was held");
        let drained = timeout(Duration::from_millis(10), worker.drained()).await;
        assert!(drained.is_ok(), "the drain does not wait for the disk");

        let disk = tokio::spawn(async move {
            let mut journaled = start;
            let mut ids = OpenIds::default();
            disk.finish(|before, missed, batch| {
                journaled = before.unwrap_or_else(|| journaled.clone());
                ids.learn(missed);
                ids.learn(&batch.ids);
                for entry in &batch.entries {
                    journaled.apply(entry);
                }
            })
            .await;
            (journaled, ids)
        });
        sleep(Duration::from_millis(10)).await;
        worker.submit(Command::Leave).expect("it is drained");
        let left = shell.await.expect("the control loop does not panic");
        assert_eq!(left.outcome(), Some(Outcome::Clean));
        let recovered = worker.snapshot().journal;
        assert!(!recovered.failing, "{recovered:?}");
        let (journaled, ids) = disk.await.expect("the disk does not panic");
        assert_eq!(ids.get(held), Some(&CALL), "also what a call is called whose beginning was missed");
        assert_eq!(journaled.life(), &gate.view(clock.now()).life, "the journal tells all of it");
    }
}
