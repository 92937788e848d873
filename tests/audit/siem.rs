//! The guide's queries, as it prints them, over the trails of the stories, with the `sqlite3` command line.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What each query must answer, by its first line.
const ANSWERS: &[(&str, &str)] = &[
    (
        "-- Who drained what, how many calls were in flight, and how it ended.",
        "busy|v1|SIGTERM|signal|1|clean|0\n\
         failing|v1|audited|api|1|clean|0\n\
         killed|v1|SIGTERM|signal|0|clean|0\n\
         operated|v1|alice|api|1|forced|1\n\
         operated|v1|alice|api|1|forced|1\n\
         quiet|v1|SIGTERM|signal|1|clean|0\n\
         rotated|v1|SIGTERM|signal|1|clean|0\n\
         waiting|v1|SIGTERM|signal|0|clean|0\n",
    ),
    (
        "-- Every dropped call, and who or what dropped it.",
        "taken|call.platform_forced|runtime|unclosed|killed|v1\n\
         silent|call.drain_forced|carol|drain_forced|operated|v1\n",
    ),
    (
        "-- What was done to drains that ran.",
        "failing|worker.drain_sealed|runtime|0\n\
         operated|worker.drain_extended|bob|1\n\
         operated|worker.drain_tightened|dave|1\n\
         operated|deployment.rolled_back|bob|1\n\
         operated|worker.drain_overdue|runtime|1\n\
         operated|worker.drain_sealed|SIGTERM|1\n\
         operated|worker.drain_forced|carol|1\n",
    ),
    ("-- Workers that ended without a word, and what was open then.", "killed|v1|1\n"),
    (
        "-- Trails whose last record does not close them: the worker runs, or was killed and has not come back.",
        "gone|deployment.started\n",
    ),
    ("-- Workers that were not admitted.", "unwanted|v1\n"),
    ("-- Offers declined, by version and reason.", "v1|draining|1\n"),
    ("-- Trouble with calls, by version.", "v1|call.failed|1\nv1|call.lapsed|1\nv1|call.stalled|1\n"),
    ("-- Records that did not arrive: the numbers before and after the gap.", ""),
];

/// Loads the trails as the guide says and asks what it asks.
pub(crate) fn check(trails: &Path, guide: &str) {
    let load = blocks(guide, "sh").into_iter().find(|block| block.contains("siem.db")).expect("how to load");
    let loaded = Command::new("sh").args(["-euc", load]).current_dir(trails).output().unwrap();
    let problem = String::from_utf8_lossy(&loaded.stderr);
    assert!(loaded.status.success() && problem.is_empty(), "{problem}\n(sqlite3 is needed: apt-get install sqlite3)");

    let queries = blocks(guide, "sql");
    let (view, queries) = queries.split_first().expect("the guide has queries");
    ask(trails, view);
    assert_eq!(queries.len(), ANSWERS.len(), "each query has its answer here");
    for (query, (title, answer)) in queries.iter().zip(ANSWERS) {
        assert!(query.starts_with(title), "{title}\n{query}");
        // Hundreds of drains of the busy worker, begun by alice and taken back, are all alike.
        let told = ask(trails, query);
        let told: String =
            told.split_inclusive('\n').filter(|row| !(row.starts_with("busy|") && row.contains("alice"))).collect();
        assert_eq!(told, *answer, "{query}");
    }
    let gaps = queries.last().expect("the last asks for gaps");
    ask(trails, "DELETE FROM lines WHERE line ->> 'worker' = 'operated' AND line ->> 'seq' IN (4, 5)");
    assert_eq!(ask(trails, gaps), "operated|3|6\n");
}

fn ask(trails: &Path, query: &str) -> String {
    let mut sqlite = Command::new("sqlite3");
    sqlite.args(["-batch", "siem.db"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut sqlite = sqlite.current_dir(trails).spawn().unwrap();
    sqlite.stdin.take().unwrap().write_all(query.as_bytes()).unwrap();
    let answered = sqlite.wait_with_output().unwrap();
    let problem = String::from_utf8_lossy(&answered.stderr);
    assert!(answered.status.success() && problem.is_empty(), "{query}\n{problem}");
    String::from_utf8(answered.stdout).unwrap()
}

fn blocks<'a>(guide: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    guide.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}
