//! The conformance matrix: a row for each case that a worker meets in the field. `matrix` prints it:
//!
//! ```sh
//! cargo test -p openrtc-livekit --test machine the_matrix -- --nocapture
//! ```

mod connection;
mod drain;
mod jobs;
mod statuses;

use std::panic::catch_unwind;

/// A case that is a test of the machine.
pub(crate) struct Row {
    number: u32,
    title: &'static str,
    run: fn(),
}

/// Cases as rows and as tests.
macro_rules! cases {
    ($($number:literal $name:ident: $title:literal $body:block)*) => {
        pub(super) const ROWS: &[crate::cases::Row] =
            &[$(crate::cases::Row::new($number, $title, $name)),*];
        $(#[test] fn $name() $body)*
    };
}
pub(crate) use cases;

impl Row {
    pub(crate) const fn new(number: u32, title: &'static str, run: fn()) -> Self {
        Self { number, title, run }
    }
}

/// Cases that are not the machine's: who shows them.
const ELSEWHERE: &[(u32, &str, &str)] = &[
    (4, "401, 404, 503, TLS and DNS failure at the upgrade", "the socket around the machine; the waits are c04"),
    (5, "clock off by 50 s and by 90 s", "the socket around the machine"),
    (6, "reconnect after 7 h: a new token", "the socket around the machine makes a token for each connection"),
    (40, "a child that exits 0, 1, by signal, or never starts", "no children here: a handler's end maps to a status"),
    (45, "deployments that differ, and none", "the dispatcher"),
    (46, "no worker of a name is left", "the rollout's gate requires the new version registered: docs/livekit.md"),
    (47, "secrets in logs", "src/proto.rs: what holds a token does not show it"),
];

#[test]
fn the_matrix() {
    let tables = [connection::ROWS, drain::ROWS, jobs::ROWS, statuses::ROWS];
    let mut rows: Vec<_> = tables.into_iter().flatten().collect();
    rows.sort_by_key(|row| row.number);
    let mut failed = 0;
    for row in &rows {
        let right = catch_unwind(row.run).is_ok();
        failed += u32::from(!right);
        println!("{:>2}  {:<72} {}", row.number, row.title, if right { "right" } else { "WRONG" });
    }
    for (number, title, place) in ELSEWHERE {
        println!("{number:>2}  {title:<72} {place}");
    }
    let mut covered: Vec<_> = rows.iter().map(|row| row.number).chain(ELSEWHERE.iter().map(|row| row.0)).collect();
    covered.sort_unstable();
    covered.dedup();
    assert_eq!(covered, (1..=47).collect::<Vec<_>>(), "every case of the matrix has its row");
    assert_eq!(failed, 0);
}
