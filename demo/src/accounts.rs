//! Settling the accounts: what the callers saw, what the processes left, what the journals tell.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use openrtc_core::worker::Outcome;
use openrtc_evidence::dispatch::Dispatch;
use openrtc_evidence::{Certificate, Selection, Verdict, accounts, issue};
use openrtc_runtime::Exit;
use tokio::time::Instant;

use crate::caller::Fate;
use crate::error::DemoError;
use crate::ledger::{Ledger, write_lines};
use crate::reconcile::Story;
use crate::rollout::Rollout;
use crate::summary::{DroppedCall, LivekitSummary, Summary, WorkerSummary, millis};
use crate::{BLUE, CERTIFICATE};

/// What the rollout's own clock saw.
pub(super) struct Moments {
    pub(super) sigterm: Instant,
    pub(super) exits: Vec<(ExitStatus, Instant)>,
}

impl Rollout<'_> {
    /// What the rollout amounted to.
    pub(super) fn summary(&self, moments: &Moments) -> Result<Summary, DemoError> {
        let ledger = self.dispatcher.take_ledger();
        let names: Vec<_> = self.workers.iter().map(|worker| worker.name.as_str()).collect();
        ledger.write(&self.dir.join("callers.jsonl"), &names)?;
        let mut disagreements = Vec::new();
        let mut workers = Vec::new();
        let mut dropped = Vec::new();
        for (index, (worker, (status, exited))) in self.workers.iter().zip(&moments.exits).enumerate() {
            let name = &worker.name;
            let story = Story::from(accounts(&worker.journal)?);
            let found = story.disagreements(ledger.of(index), self.dispatcher.declines(index));
            disagreements.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
            let told = story.outcome.map(|outcome| i32::from(Exit::Left(outcome).code()));
            if told != status.code() {
                let told = story.outcome.map_or_else(|| "nothing of its end".to_owned(), |told| told.to_string());
                disagreements.push(format!("{name}: it ended with {status}, its journal tells: {told}"));
            }
            let drops: Vec<_> = ledger.of(index).filter(|(_, taken)| taken.fate.is_drop()).collect();
            if let Some(Outcome::Forced { dropped: told }) = story.outcome
                && told != drops.len() as u64
            {
                disagreements.push(format!("{name}: its journal counts {told} drops, its callers {}", drops.len()));
            }
            for (call, taken) in &drops {
                let reason = attribute(taken.fate, *status, story.outcome);
                dropped.push(DroppedCall { call: call.id.clone(), worker: name.clone(), reason });
            }
            workers.push(WorkerSummary {
                worker: name.clone(),
                version: worker.version,
                pid: worker.pid,
                exit_code: status.code(),
                signal: status.signal(),
                calls: ledger.of(index).count(),
                dropped: drops.len(),
                start_to_ready_ms: millis(worker.start_to_ready),
                last_hangup_to_exit_ms: ledger.last_hang_up_to(index, *exited).map(millis),
            });
        }
        let livekit = self.livekit(&mut disagreements);
        if let Some(livekit) = &livekit {
            write_lines(&self.dir.join("dispatches.jsonl"), livekit.each.iter())?;
        }
        let dispatches = livekit.as_ref().map(|livekit| livekit.each.clone()).unwrap_or_default();
        let certificate = self.certify(dispatches, &dropped, &mut disagreements)?;
        let summed_up = self.sum_up(&ledger, moments, workers, dropped, disagreements, certificate);
        Ok(Summary { livekit, ..summed_up })
    }

    /// Certifies the rollout from the journals alone, and holds the certificate against the callers' ledger. What
    /// became of the dispatches is added as it was seen.
    fn certify(
        &self,
        dispatches: Vec<Dispatch>,
        dropped: &[DroppedCall],
        disagreements: &mut Vec<String>,
    ) -> Result<&'static str, DemoError> {
        let certificate = Certificate::over(&self.journals, &Selection::everything())?;
        let certificate = Certificate { dispatches, ..certificate };
        issue(&certificate, &self.dir.join(CERTIFICATE), Some(&self.membership.key))?;
        let certified: BTreeSet<_> = certificate.drops().map(|call| &call.id).collect();
        let seen: BTreeSet<_> = dropped.iter().map(|drop| &drop.call).collect();
        // A caller that had hung up when its worker was killed lost nothing, though the journal cannot know. And who
        // says that evidence is missing need not name everybody.
        let unseen: Vec<_> = seen.difference(&certified).map(|call| call.as_str()).collect();
        if !unseen.is_empty() && certificate.verdict != Verdict::Unknown {
            disagreements.push(format!("the certificate does not name the dropped calls {}", unseen.join(", ")));
        }
        Ok(certificate.verdict.sentence())
    }

    /// What became of the dispatches, if there were any.
    #[cfg(feature = "livekit")]
    fn livekit(&self, disagreements: &mut Vec<String>) -> Option<LivekitSummary> {
        let exchange = self.dispatcher.exchange()?;
        disagreements.extend(exchange.disagreements());
        Some(exchange.summary())
    }

    #[cfg(not(feature = "livekit"))]
    #[expect(clippy::unused_self, reason = "with LiveKit it is used")]
    const fn livekit(&self, _: &mut Vec<String>) -> Option<LivekitSummary> {
        None
    }

    fn sum_up(
        &self,
        ledger: &Ledger,
        moments: &Moments,
        workers: Vec<WorkerSummary>,
        dropped: Vec<DroppedCall>,
        disagreements: Vec<String>,
        certificate: &'static str,
    ) -> Summary {
        let heard = ledger.heard();
        let blue = 0..usize::from(self.options.blue);
        let answered = ledger.taken().count();
        let refusals: Option<Vec<_>> = blue.clone().map(|worker| self.dispatcher.first_refusal(worker)).collect();
        let slowest =
            refusals.and_then(|all| all.into_iter().max()).map(|at| at.saturating_duration_since(moments.sigterm));
        let clean = workers.iter().filter(|worker| worker.exit_code == Some(0) && worker.version == BLUE);
        let last_exit = clean.filter_map(|worker| worker.last_hangup_to_exit_ms).reduce(f64::max);
        Summary {
            calls_offered: ledger.calls.len(),
            calls_answered: answered,
            calls_declined_and_retried: ledger.taken().filter(|(call, _)| !call.declined_by.is_empty()).count(),
            calls_unanswered: ledger.calls.len() - answered,
            calls_ended: answered - ledger.dropped().count(),
            calls_dropped: ledger.dropped().count(),
            calls_alive_across_sigterm: ledger
                .taken()
                .filter(|(_, taken)| blue.contains(&taken.worker))
                .filter(|(_, taken)| taken.answered < moments.sigterm && taken.ended > moments.sigterm)
                .count(),
            new_calls_on_old_version_after_drain: blue.map(|worker| self.dispatcher.taken_after_refusal(worker)).sum(),
            frames_sent: heard.sent,
            frames_lost: heard.sent - heard.echoed,
            frames_lost_in_ended_calls: ledger.lost_in_ended(),
            frames_late: heard.late,
            longest_gap_ms: millis(heard.longest_gap),
            sigterm_to_refusal_ms: slowest.map(millis),
            last_hangup_to_exit_ms: last_exit,
            elapsed_s: (self.begun.elapsed().as_secs_f64() * 10.0).round() / 10.0,
            workers,
            dropped,
            rejected: self.rejected.clone(),
            livekit: None,
            certificate,
            certificate_file: self.dir.join(CERTIFICATE),
            certificate_key: self.membership.public.clone(),
            journals_agree: disagreements.is_empty(),
            disagreements,
        }
    }
}

/// Who dropped a call, from what its caller saw, how its worker's process ended and what its journal says of that.
fn attribute(fate: Fate, status: ExitStatus, outcome: Option<Outcome>) -> &'static str {
    match (fate, status.signal(), outcome) {
        (_, Some(9), _) => "worker killed (SIGKILL)",
        (_, Some(_), _) => "worker killed by a signal",
        (Fate::Cut, None, _) => "drain forced",
        (_, None, Some(Outcome::Forced { .. })) => "drain forced, dropped after the grace",
        (_, None, _) => "unknown",
    }
}
