//! The page of metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;

use super::*;

const OPEN: (&str, &str) = ("accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5");

#[tokio::test(start_paused = true)]
async fn metrics_come_in_the_format_that_is_asked_for_and_counters_have_their_type_in_both() {
    let client = Client::new();
    client.worker.gate().reserve(client.worker.now(), &CALL, Class::default()).expect("serving");
    let (_, open) = client.send("GET", "/metrics", &[OPEN], "").await;
    let labels = r#"deployment="default",version="v1",worker="w1""#;
    for line in [
        format!(r#"openrtc_calls_active{{{labels},state="reserved"}} 1"#),
        format!(r"openrtc_calls_promised_total{{{labels}}} 1"),
        format!(r#"openrtc_worker_phase{{{labels},phase="serving"}} 1"#),
        format!(r#"openrtc_calls_ended_total{{{labels},reason="drain_forced"}} 0"#),
        "# TYPE openrtc_calls_promised counter".into(),
        "# EOF".into(),
    ] {
        assert!(open.lines().any(|found| found == line), "{line} is missing in\n{open}");
    }
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    for headers in [&[][..], &[("accept", "*/*")], &[("accept", "text/plain, application/openmetrics-text;q=0")]] {
        let (_, classic) = client.send("GET", "/metrics", headers, "").await;
        assert_eq!(samples(&classic), samples(&open));
        assert!(!classic.contains("# EOF"), "that is not known there");
        for name in samples(&classic).iter().filter_map(|line| line.split_once('{')).map(|(name, _)| name) {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            for head in [format!("\n# TYPE {name} {kind}\n"), format!("# HELP {name} ")] {
                assert!(format!("\n{classic}").contains(&head), "{head} is missing in\n{classic}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_length_of_a_quiet_drain_grows() {
    let client = Client::new();
    client.admit();
    client.post("/drain", "").await;
    sleep(Duration::from_secs(90)).await;
    let (_, text) = client.get("/metrics").await;
    let seconds = text.lines().find(|line| line.starts_with("openrtc_drain_seconds{")).expect("the metric");
    assert!(seconds.ends_with(" 90"), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let (_, text) = Client::new().get("/metrics").await;
    let there: BTreeSet<_> = text.lines().filter_map(|line| line.split_once('{')).map(|(name, _)| name).collect();
    let page = include_str!("../../../../docs/monitoring.md");
    let words = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named: BTreeSet<_> = words.filter(|word| word.starts_with("openrtc_")).collect();
    assert_eq!(named, there);
    let rows: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| `openrtc_")).collect();
    assert_eq!(rows.len(), there.len(), "each has its row: {rows:?}");
}
