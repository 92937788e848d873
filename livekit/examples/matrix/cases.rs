//! The cases, each a script of what the server says and what the worker must then do.

mod connection;
mod drain;
mod job;
mod offer;
mod outage;

use std::pin::Pin;

use crate::subject::Program;
use crate::verdict::Verdict;

/// A case and its script.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) number: u32,
    pub(crate) title: &'static str,
    pub(crate) run: fn(Program) -> Pin<Box<dyn Future<Output = Verdict> + Send>>,
}

macro_rules! cases {
    ($($number:literal $title:literal |$program:ident| $body:block)*) => {
        pub(super) const CASES: &[crate::cases::Case] = &[$(crate::cases::Case {
            number: $number,
            title: $title,
            run: |$program| Box::pin(async move { $body; Ok(()) }),
        }),*];
    };
}
use cases;

/// All of them, in order.
pub(crate) fn all() -> Vec<Case> {
    let tables = [connection::CASES, drain::CASES, job::CASES, offer::CASES, outage::CASES];
    let mut cases: Vec<_> = tables.into_iter().flatten().copied().collect();
    cases.sort_by_key(|case| case.number);
    assert!(cases.iter().map(|case| case.number).eq(1..=47), "every case of the matrix has its script");
    cases
}
