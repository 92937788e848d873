//! What a fleet's state came to hold after its bytes were first written down.
//!
//! ```text
//!  annex = part, part, …       part = its number, its fields
//! ```
//!
//! It lies behind the rest of the state, and a part that says nothing is left out. So states that were written before
//! there was a part are read as ever, and a build that does not know a part finds bytes that it cannot read, and says
//! that a newer build wrote them.

use core::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::gate::Gates;
use crate::id::Version;

const GATES: u8 = 1;
const SCALED: u8 = 2;

/// More elements than all parts and their numbers.
const ELEMENTS_MAX: usize = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Annex {
    pub(super) gates: Gates,
    /// The version whose number of workers was set since its rollout.
    pub(super) scaled: Option<Version>,
}

impl Annex {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Serialize for Annex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_tuple(ELEMENTS_MAX)?;
        if self.gates != Gates::default() {
            parts.serialize_element(&GATES)?;
            parts.serialize_element(&self.gates)?;
        }
        if let Some(version) = &self.scaled {
            parts.serialize_element(&SCALED)?;
            parts.serialize_element(version)?;
        }
        parts.end()
    }
}

impl<'de> Deserialize<'de> for Annex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = Annex;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the parts of an annex")
            }

            /// Where no number is left to read, the state is at its end.
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Annex, A::Error> {
                let mut annex = Annex::default();
                let mut last = 0;
                while let Ok(Some(part)) = parts.next_element::<u8>() {
                    match part {
                        GATES if last < GATES => {
                            annex.gates = parts.next_element()?.ok_or_else(|| A::Error::custom("no gates"))?;
                        }
                        SCALED if last < SCALED => annex.scaled = parts.next_element()?,
                        _ => return Err(A::Error::custom("a part that this build does not know")),
                    }
                    last = part;
                }
                Ok(annex)
            }
        }

        deserializer.deserialize_tuple(ELEMENTS_MAX, Parts)
    }
}
