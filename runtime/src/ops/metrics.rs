//! The snapshot as metrics, in the text format that is asked for.

use std::fmt::{self, Write as _};

use openrtc_core::snapshot::RuntimeSnapshot;
use openrtc_core::time::Instant;
use openrtc_core::word::Phase;
use openrtc_core::worker::{Decline, EndReason};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{Before, Ops};
use crate::audit::{Delivery, Extent, Trail};
use crate::log;

/// The text formats that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    /// The older Prometheus text format, which every reader of metrics understands.
    Prometheus,
}

impl Format {
    /// The format for a request with these `Accept` headers: OpenMetrics if they name it with a quality above zero.
    pub(super) fn asked_for<'a>(accepted: impl Iterator<Item = &'a str>) -> Self {
        let mut ranges = accepted.flat_map(|header| header.split(','));
        let open = ranges.any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
            named && weight.is_ok_and(|weight| weight > 0.0)
        });
        if open { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Renders the metrics of one moment.
pub(super) fn render(ops: &Ops, format: Format) -> String {
    let snapshot = ops.worker.snapshot();
    let labels = [
        ("deployment", snapshot.deployment.to_string()),
        ("version", snapshot.deployment_version.to_string()),
        ("worker", snapshot.worker.to_string()),
    ];
    let labels = labels.map(|(name, value)| (name.into(), value.into()));
    let mut registry = Registry::with_prefix_and_labels("openrtc", labels.into_iter());
    let now = ops.worker.now();
    let oldest = ops.worker.roster().oldest().map_or(0, |since| now.since(since).as_micros() / 1_000_000);
    registry.register_collector(Box::new(View { snapshot, trail: ops.trail.clone(), now, oldest, before: ops.before }));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = encode(&mut text, &registry);
    match format {
        Format::OpenMetrics => text,
        Format::Prometheus => classic(&text),
    }
}

/// The same page in the older format: there a counter's family is called what its samples are.
fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len() + 256);
    let mut help = "";
    for line in open.lines() {
        if let Some(about) = line.strip_prefix("# HELP ") {
            help = about;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|family| family.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let words = help.strip_prefix(name).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = write!(text, "# HELP {name}{suffix}{words}\n# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[derive(Debug)]
struct View {
    snapshot: RuntimeSnapshot,
    trail: Option<Trail>,
    now: Instant,
    /// How old the oldest call is, in seconds.
    oldest: u64,
    before: Before,
}

impl Collector for View {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self { snapshot, trail, now, .. } = self;
        let (totals, drain) = (&snapshot.totals, snapshot.drain);
        let active = snapshot.active_sessions - snapshot.reserved_sessions;
        let draining_for = drain.map_or(0, |drain| now.since(drain.begun).as_micros() / 1_000_000);
        let ended = EndReason::ALL.map(|reason| (reason.as_str(), totals.ended_by(reason)));
        let declined = Decline::ALL.map(|reason| (reason.as_str(), totals.declined[reason as usize]));
        let phases = Phase::ALL.map(|phase| (phase.as_str(), u64::from(phase == snapshot.phase)));
        let calls = [("reserved", snapshot.reserved_sessions.into()), ("active", active.into())];

        let mut page = Page(encoder);
        page.gauges("calls_active", "Calls in flight, by state", "state", &calls)?;
        page.gauge("calls_stalled", "Calls flagged as stalled", snapshot.stalled_sessions)?;
        page.gauge("calls_oldest_seconds", "Seconds since the oldest call was promised; 0 without one", self.oldest)?;
        page.gauge("capacity", "The most calls in flight", snapshot.capacity)?;
        page.gauges("worker_phase", "1 for the phase the worker is in", "phase", &phases)?;
        page.gauge("worker_draining", "Whether the worker drains or has drained", snapshot.draining)?;
        page.gauge("drain_seconds", "Seconds since the drain began; 0 without one", draining_for)?;
        page.gauge(
            "drain_overdue",
            "Whether the drain is past its deadline",
            drain.is_some_and(|drain| drain.overdue),
        )?;
        page.gauge("order_epoch", "The term of the last order obeyed; 0 if none was", snapshot.obeyed.epoch.get())?;
        page.gauge("order_number", "The number of that order in its term", snapshot.obeyed.order.get())?;
        page.counter("calls_promised", "Calls reserved, admitted or taken over", totals.promised())?;
        page.counter("calls_taken_over", "Calls of earlier runs that went on here", totals.taken_over)?;
        page.counter("calls_handed_over", "Calls that went on in another run", totals.handed_over)?;
        page.counter("reservations_lapsed", "Reservations not assigned in time", totals.lapsed)?;
        page.counters("calls_ended", "Calls ended, by reason", "reason", &ended)?;
        page.counters("calls_declined", "Calls declined before they were promised, by reason", "reason", &declined)?;
        page.gauge(
            "previous_run_calls_dropped",
            "Calls that the forced drain of the run before cut",
            self.before.dropped,
        )?;
        page.gauge("previous_run_calls_lost", "Calls open when the run before ended without a word", self.before.lost)?;
        page.gauge(
            "journal_failing",
            "Whether the journal cannot be written, or its directory is gone",
            snapshot.journal.failing,
        )?;
        let behind =
            if snapshot.journal.kept { snapshot.seq.get().saturating_sub(snapshot.journal.written.get()) } else { 0 };
        page.gauge("journal_entries_behind", "Entries that happened and are not yet in the journal", behind)?;
        page.counter("journal_entries_missed", "Entries the journal could not take", snapshot.journal.missed)?;
        page.counter("log_lines_dropped", "Log lines that could not be written in time", log::dropped())?;
        page.audit(trail.as_ref())
    }
}

/// One metric family per call.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn audit(&mut self, trail: Option<&Trail>) -> fmt::Result {
        let extent = trail.map_or_else(Extent::default, Trail::extent);
        let Delivery { failing, refused, missing, .. } = trail.and_then(Trail::delivery).unwrap_or_default();
        let behind = trail.map_or(0, Trail::undelivered);
        self.gauge("audit_head_seq", "The last record of the audit trail", extent.records)?;
        self.counter("audit_sink_errors", "Writes that an audit sink or the trail's file failed", extent.errors)?;
        self.counter(
            "audit_file_disturbed",
            "How often somebody else moved, cut or wrote the audit file",
            extent.disturbed,
        )?;
        self.counter("audit_webhook_records_refused", "Records too large for the audit webhook's collector", refused)?;
        self.counter(
            "audit_webhook_records_missing",
            "Records taken away before the audit webhook sent them",
            missing,
        )?;
        self.gauge("audit_webhook_failing", "Whether the audit webhook did not take what it was sent last", failing)?;
        self.gauge("audit_webhook_records_behind", "Records that the audit webhook has not taken yet", behind)
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Into<u64>) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value.into())
    }

    fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (of, value) in values {
            family.encode_family(&[(label, *of)])?.encode_gauge(value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (of, value) in values {
            family.encode_family(&[(label, *of)])?.encode_counter::<NoLabelSet, _, u64>(value, None)?;
        }
        Ok(())
    }
}
