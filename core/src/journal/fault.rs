//! Where and why reading a segment stopped.

use core::error::Error;
use core::fmt;

use super::{FORMAT, PAYLOAD_MAX};
use crate::{fleet, worker};

/// Where a segment stops making sense. Everything before `offset` is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The first byte that is not part of a whole frame.
    pub offset: usize,
    /// Bytes from there to the end.
    pub lost: usize,
    /// What is wrong there.
    pub fault: TornFault,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TornFault {
    /// The file ends inside the frame: an append that a crash cut short.
    Short,
    /// A checksum does not match: bytes were altered.
    Checksum,
    /// The segment is of another format, which this build does not read.
    Format(u8),
    /// It claims more bytes than a frame may have.
    Huge(u32),
    /// The frame is whole, and this build does not know its record.
    Newer,
    /// The file does not start as a segment.
    NotASegment,
    /// An opening where an entry belongs, or the other way round, or a record of another machine.
    Misplaced,
    /// The opening holds a state that its machine cannot be in.
    Unsound,
    /// A worker's entry cannot follow the ones before it.
    Misfit(worker::Misfit),
    /// A fleet's entry cannot follow the ones before it.
    FleetMisfit(fleet::Misfit),
}

impl TornFault {
    /// Whether a newer build than this one wrote what cannot be read.
    #[must_use]
    pub const fn is_newer(self) -> bool {
        match self {
            Self::Format(format) => format > FORMAT,
            Self::Newer => true,
            Self::Short
            | Self::Checksum
            | Self::Huge(_)
            | Self::NotASegment
            | Self::Misplaced
            | Self::Unsound
            | Self::Misfit(_)
            | Self::FleetMisfit(_) => false,
        }
    }

    /// Whether it is the end that a crash leaves: an append that it cut short, and that was answered to nobody.
    #[must_use]
    pub const fn is_cut_short(self) -> bool {
        matches!(self, Self::Short)
    }

    /// Whether what was written is not there any more, wherever in the segment. A crash does not do that.
    #[must_use]
    pub const fn is_damage(self) -> bool {
        !self.is_cut_short() && !self.is_newer()
    }
}

impl fmt::Display for TornFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "the frame is cut short (an append that a crash interrupted)",
            Self::Checksum => "a checksum does not match (bytes were altered)",
            Self::Format(found) if *found > FORMAT => {
                return write!(f, "format {found} is of a newer build; this one reads up to format {FORMAT}");
            }
            Self::Format(found) => return write!(f, "there is no format {found}"),
            Self::Huge(len) => return write!(f, "the frame claims {len} bytes, at most {PAYLOAD_MAX} are allowed"),
            Self::Newer => "the record was written by a newer build",
            Self::NotASegment => "this is not a journal segment",
            Self::Misplaced => "a record is of another machine, or where it does not belong",
            Self::Unsound => "the opening state is not one that its machine can be in",
            Self::Misfit(misfit) => return misfit.fmt(f),
            Self::FleetMisfit(misfit) => return misfit.fmt(f),
        })
    }
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, lost, fault } = self;
        write!(f, "at byte {offset}: {fault}; {lost} bytes from there on are not used")
    }
}

impl Error for Torn {}
