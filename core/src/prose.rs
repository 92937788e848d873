//! How texts for people count: one `call`, two `calls`.

use core::fmt::{Display, Formatter, Result};

/// A number of things: `1 call`, `2 calls`.
#[must_use]
pub fn count(number: impl Into<u64>, thing: &'static str) -> impl Display {
    Count(number.into(), thing)
}

struct Count(u64, &'static str);

impl Display for Count {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self(number, thing) = self;
        write!(f, "{number} {thing}{}", if *number == 1 { "" } else { "s" })
    }
}
