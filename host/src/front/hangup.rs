//! Who hung up on a WebSocket: whoever sent the first close frame. The connection says something else, because the
//! server is the one that closes it. The bytes are looked at and passed on as they are.

use crate::relay::Side;

/// The frame that begins a WebSocket's end.
const CLOSE: u8 = 0x8;
/// The longest header of a frame, in bytes.
const HEADER_MAX: usize = 14;

/// What was seen of both directions.
#[derive(Debug, Default)]
pub(crate) struct Hangup {
    caller: Frames,
    program: Frames,
    first: Option<Side>,
}

impl Hangup {
    /// Looks at bytes that came from a side.
    pub(crate) fn saw(&mut self, side: Side, bytes: &[u8]) {
        let frames = match side {
            Side::Caller => &mut self.caller,
            Side::Program => &mut self.program,
        };
        if frames.close(bytes) && self.first.is_none() {
            self.first = Some(side);
        }
    }

    /// Who hung up, if somebody did.
    pub(crate) const fn first(&self) -> Option<Side> {
        self.first
    }
}

/// One direction, between two frames or in one.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER_MAX],
    /// How much of the header is there.
    len: usize,
    /// How much of the payload is still to come.
    payload: u64,
    /// Whether the close frame has come: nothing after it is a frame.
    is_closed: bool,
}

impl Frames {
    /// Whether the close frame has come with these bytes, or before.
    fn close(&mut self, mut bytes: &[u8]) -> bool {
        while !self.is_closed && !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len() as u64);
            self.payload -= skipped;
            bytes = &bytes[usize::try_from(skipped).unwrap_or(bytes.len())..];
            let Some((first, rest)) = bytes.split_first() else { break };
            self.header[self.len] = *first;
            self.len += 1;
            bytes = rest;
            if let Some(payload) = payload(&self.header[..self.len]) {
                self.is_closed = self.header[0] & 0x0f == CLOSE;
                (self.len, self.payload) = (0, payload);
            }
        }
        self.is_closed
    }
}

/// The length of the payload behind a header, once the header is whole (RFC 6455, section 5.2).
fn payload(header: &[u8]) -> Option<u64> {
    let [_, second, rest @ ..] = header else { return None };
    let key = if second & 0x80 == 0 { 0 } else { 4 };
    let (extended, short) = match second & 0x7f {
        126 => (2, None),
        127 => (8, None),
        len => (0, Some(u64::from(len))),
    };
    if rest.len() < extended + key {
        return None;
    }
    let long = || rest[..extended].iter().fold(0, |len, byte| len << 8 | u64::from(*byte));
    Some(short.unwrap_or_else(long))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame of a caller's.
    fn frame(opcode: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match u16::try_from(payload) {
            Ok(len @ 0..=125) => frame.push(0x80 | len.to_le_bytes()[0]),
            Ok(len) => frame.extend([&[0x80 + 126][..], &len.to_be_bytes()].concat()),
            Err(_) => frame.extend([&[0x80 + 127][..], &(payload as u64).to_be_bytes()].concat()),
        }
        frame.extend([0; 4]);
        // Bytes that would pass for a close frame, if they were taken for a header.
        frame.extend(vec![0x88; payload]);
        frame
    }

    #[test]
    fn a_close_frame_is_found_behind_frames_of_every_length_however_they_arrive() {
        let talk = [frame(1, 5), frame(2, 125), frame(9, 0), frame(1, 126), frame(2, 70_000)].concat();
        let whole = [talk.clone(), frame(8, 2)].concat();
        for size in [1, 2, 7, 4_096, whole.len()] {
            let mut hangup = Hangup::default();
            talk.chunks(size).for_each(|chunk| hangup.saw(Side::Caller, chunk));
            assert_eq!(hangup.first(), None, "{size}");
            frame(8, 2).chunks(size).for_each(|chunk| hangup.saw(Side::Caller, chunk));
            assert_eq!(hangup.first(), Some(Side::Caller), "{size}");
            hangup.saw(Side::Program, &[0x88, 0]);
            assert_eq!(hangup.first(), Some(Side::Caller), "the answer to it changes nothing");
        }
    }

    #[test]
    fn whatever_comes_is_looked_at_without_a_panic() {
        let mut hangup = Hangup::default();
        for byte in 0..=u8::MAX {
            hangup.saw(Side::Program, &[byte; 31]);
            hangup.saw(Side::Caller, &[byte, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1]);
        }
    }
}
