//! What a worker counts.

use serde::{Deserialize, Serialize};

use super::reason::{Decline, EndReason};
use crate::id::Seq;

/// Totals over one incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Calls taken without an offer.
    pub admitted: u64,
    /// Commands whose clock stood behind the entry before them.
    pub clock_steps: u64,
    /// Calls declined, by [`Decline`].
    #[serde(serialize_with = "counts::serialize::<Decline, _, _>")]
    #[serde(deserialize_with = "counts::deserialize::<Decline, _, _>")]
    pub declined: [u64; Decline::ALL.len()],
    /// Calls ended, by [`EndReason`].
    #[serde(serialize_with = "counts::serialize::<EndReason, _, _>")]
    #[serde(deserialize_with = "counts::deserialize::<EndReason, _, _>")]
    pub ended: [u64; EndReason::ALL.len()],
    /// Reservations that lapsed.
    pub lapsed: u64,
    /// Offers answered with yes.
    pub reserved: u64,
    /// Times a call was flagged as stalled.
    pub stalled: u64,
    /// Calls of earlier runs that went on here.
    pub taken_over: u64,
    /// Calls that went on in another run.
    pub handed_over: u64,
}

impl Tally {
    /// Calls that were this worker's to keep so far: reserved, admitted or taken over.
    #[must_use]
    pub const fn promised(&self) -> u64 {
        self.reserved.saturating_add(self.admitted).saturating_add(self.taken_over)
    }

    /// Calls ended for `reason`.
    #[must_use]
    pub const fn ended_by(&self, reason: EndReason) -> u64 {
        self.ended[reason as usize]
    }

    /// Calls over here, for whatever reason; lapsed reservations and calls that went on elsewhere included.
    #[must_use]
    pub fn over(&self) -> u64 {
        self.ended.iter().fold(self.lapsed.saturating_add(self.handed_over), |sum, ended| sum.saturating_add(*ended))
    }

    /// Whether `seq` entries can have added up to this with so many calls left. Each entry promises, ends or flags one
    /// call at most, so no total can overflow as long as sequence numbers do not.
    pub(super) fn is_sound(&self, in_flight: u32, seq: Seq) -> bool {
        let told = self.promised().saturating_add(self.over()).saturating_add(self.stalled);
        told <= seq.get()
            && self.clock_steps <= seq.get()
            && self.promised().checked_sub(self.over()) == Some(u64::from(in_flight))
    }
}

/// One count for each reason. In a journal they are stored in order, with how many there are: a build with more reasons
/// reads what one with fewer wrote, and one with fewer refuses what it would have to leave out. Counts of reasons that
/// came after the format are stored once they are not zero, so a build without them reads what never met them. For
/// people and their scripts each count goes by the name of its reason, and one whose name is not known here is left
/// out.
mod counts {
    use core::fmt;
    use core::marker::PhantomData;

    use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    use super::{Decline, EndReason};

    /// Whose counts these are.
    pub(super) trait Reason<const N: usize> {
        /// How many there were when the format was made.
        const FIRST: usize;

        fn names() -> [&'static str; N];
    }

    impl Reason<{ Self::ALL.len() }> for Decline {
        const FIRST: usize = 3;

        fn names() -> [&'static str; Self::ALL.len()] {
            Self::ALL.map(Self::as_str)
        }
    }

    impl Reason<{ Self::ALL.len() }> for EndReason {
        const FIRST: usize = 10;

        fn names() -> [&'static str; Self::ALL.len()] {
            Self::ALL.map(Self::as_str)
        }
    }

    pub(super) fn serialize<R: Reason<N>, S: Serializer, const N: usize>(
        counts: &[u64; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_map(R::names().into_iter().zip(counts))
        } else {
            let met = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
            serializer.collect_seq(&counts[..met.max(R::FIRST)])
        }
    }

    pub(super) fn deserialize<'de, R: Reason<N>, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u64; N], D::Error> {
        struct Counts<R, const N: usize>(PhantomData<R>);

        impl<'de, R: Reason<N>, const N: usize> Visitor<'de> for Counts<R, N> {
            type Value = [u64; N];

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {N} counts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<[u64; N], A::Error> {
                let (mut counts, mut found) = ([0; N], 0);
                while let Some(count) = list.next_element()? {
                    *counts.get_mut(found).ok_or_else(|| A::Error::invalid_length(found + 1, &self))? = count;
                    found += 1;
                }
                Ok(counts)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<[u64; N], A::Error> {
                let mut counts = [0; N];
                while let Some(name) = map.next_key::<alloc::string::String>()? {
                    match R::names().into_iter().zip(&mut counts).find(|(known, _)| *known == name) {
                        Some((_, count)) => *count = map.next_value()?,
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(counts)
            }
        }

        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Counts::<R, N>(PhantomData))
        } else {
            deserializer.deserialize_seq(Counts::<R, N>(PhantomData))
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use serde_json::{Value, json};

    use super::*;
    use crate::codec;

    #[test]
    fn people_read_names_and_journals_hold_positions() {
        let mut tally = Tally { lapsed: 3, ..Tally::default() };
        tally.declined[Decline::Full as usize] = 1;
        tally.ended[EndReason::DrainForced as usize] = 2;
        let mut told: Value = serde_json::to_value(tally).unwrap();
        assert_eq!(told["declined"], json!({"not_serving": 0, "full": 1, "draining": 0, "invalid": 0, "duplicate": 0}));
        assert_eq!((&told["ended"]["drain_forced"], &told["ended"]["failed"]), (&json!(2), &json!(0)));
        assert_eq!(serde_json::from_value::<Tally>(told.clone()).unwrap(), tally);
        // A build after this one may know more reasons, one before it wrote a list.
        told["ended"]["abducted"] = json!(7);
        assert_eq!(serde_json::from_value::<Tally>(told.clone()).unwrap(), tally);
        told["declined"] = json!([0, 1]);
        assert_eq!(serde_json::from_value::<Tally>(told.clone()).unwrap(), tally);
        told["declined"] = json!([0, 1, 0, 0, 0, 0]);
        assert!(serde_json::from_value::<Tally>(told).is_err(), "what it would have to leave out");
        let mut bytes = Vec::new();
        codec::encode(&tally, &mut bytes);
        assert!(bytes.len() < 40, "no name is in a journal: {bytes:?}");
        assert_eq!(codec::decode::<Tally, 1_024>(&bytes), Ok(tally));
    }
}
