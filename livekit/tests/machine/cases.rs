//! The conformance matrix on the machine: a row for each case that a worker meets in the field. The same cases run over
//! sockets, against any worker program: `livekit/examples/matrix`.

#[cfg(feature = "worker")]
mod around;
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

#[test]
fn the_matrix() {
    #[cfg(feature = "worker")]
    let around = around::ROWS;
    #[cfg(not(feature = "worker"))]
    let around = &[];
    let tables = [around, connection::ROWS, drain::ROWS, jobs::ROWS, statuses::ROWS];
    let mut rows: Vec<_> = tables.into_iter().flatten().collect();
    rows.sort_by_key(|row| row.number);
    let mut failed = 0;
    for row in &rows {
        let right = catch_unwind(row.run).is_ok();
        failed += u32::from(!right);
        println!("{:>2}  {:<72} {}", row.number, row.title, if right { "right" } else { "WRONG" });
    }
    assert_eq!(failed, 0);
    let covered: Vec<_> = rows.iter().map(|row| row.number).collect();
    let all = covered.iter().copied().eq(1..=47);
    assert!(all || cfg!(not(feature = "worker")), "every case of the matrix has its row: {covered:?}");
}
