//! Workers, calls and whatever else is counted in a run, each by a type of its own.

use core::fmt;
use core::ops::{Deref, Index, IndexMut};

use openrtc_core::id::{CallId, Digest, DigestKey, Version};

/// A number that tells one of a kind from the others and is its place in a list.
macro_rules! index {
    ($(#[$doc:meta])* $name:ident: $number:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($number);

        impl $name {
            /// The one with this number, counted from 0.
            #[must_use]
            pub const fn new(number: $number) -> Self {
                Self(number)
            }

            /// The one at this place of a list.
            #[must_use]
            pub fn at(place: usize) -> Self {
                Self(<$number>::try_from(place).expect("no list of these is longer than its numbers reach"))
            }

            /// Its number, counted from 0.
            #[must_use]
            pub const fn get(self) -> $number {
                self.0
            }

            /// Its place in a list.
            #[must_use]
            pub const fn place(self) -> usize {
                self.0 as usize
            }
        }

        impl<T> core::ops::Index<$name> for Vec<T> {
            type Output = T;

            fn index(&self, index: $name) -> &T {
                &self[index.place()]
            }
        }

        impl<T> core::ops::IndexMut<$name> for Vec<T> {
            fn index_mut(&mut self, index: $name) -> &mut T {
                &mut self[index.place()]
            }
        }
    };
}

pub(crate) use index;

index! {
    /// A worker: blue ones first, then green ones.
    WorkerIndex: u32
}
index! {
    /// A call, in the order of its plan.
    CallIndex: u32
}
index! {
    /// A try to place a call with a worker, in the order in which they are made.
    AttemptIndex: u32
}
index! {
    /// A coordinator, in the order in which they take office.
    CoordinatorIndex: u32
}

impl fmt::Display for CallIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What call ids are digested with, in every run alike.
pub(crate) const KEY: DigestKey = DigestKey([0x6f70_656e_7274_635f, 0x7369_6d75_6c61_746f]);

impl CallIndex {
    /// What the dispatcher calls it.
    #[must_use]
    pub fn id(self) -> CallId {
        CallId::new(&self.name()).expect("a letter and digits make a name")
    }

    /// What a worker's machine knows it by.
    #[must_use]
    pub fn digest(self) -> Digest {
        KEY.digest(&self.name())
    }

    /// `c` and its number, written without formatting machinery.
    fn name(self) -> impl Deref<Target = str> {
        let mut bytes = [b'c'; 11];
        let mut from = bytes.len();
        let mut rest = self.0;
        loop {
            from -= 1;
            bytes[from] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        Name { bytes, from: from - 1 }
    }
}

/// A call's name, inline.
struct Name {
    bytes: [u8; 11],
    from: usize,
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        core::str::from_utf8(&self.bytes[self.from..]).expect("digits are text")
    }
}

/// Which version a worker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colour {
    /// The old one.
    Blue,
    /// The new one.
    Green,
}

impl Colour {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Blue, Self::Green];

    /// The name of the version.
    #[must_use]
    pub const fn version(self) -> Version {
        match self {
            Self::Blue => const { Version::from_static("v1") },
            Self::Green => const { Version::from_static("v2") },
        }
    }

    /// The colour that runs a version.
    #[must_use]
    pub fn of(version: Version) -> Option<Self> {
        Self::ALL.into_iter().find(|colour| colour.version() == version)
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }
}

/// Something for each colour.
impl<T> Index<Colour> for [T; 2] {
    type Output = T;

    fn index(&self, colour: Colour) -> &T {
        &self[colour as usize]
    }
}

impl<T> IndexMut<Colour> for [T; 2] {
    fn index_mut(&mut self, colour: Colour) -> &mut T {
        &mut self[colour as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_called_by_its_number() {
        for number in [0, 7, 10, 4_294_967_295] {
            assert_eq!(CallIndex::new(number).id().as_str(), format!("c{number}"));
        }
    }
}
