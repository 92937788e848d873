//! A short cut for the entries that fill a busy journal: calls that begin and end. It reads them where they lie, in
//! half the time that the codec takes. It judges nothing: the codec reads whatever it does not.

use crate::codec::Reader;
use crate::id::{CallNo, Digest, Seq};
use crate::time::{Instant, Span};
use crate::worker::{Class, EndReason, Entry, Event};

/// [`Event::CallAdmitted`]'s index.
const ADMITTED: u8 = 3;
/// [`Event::CallEnded`]'s index.
const ENDED: u8 = 8;

/// The entry that a payload begins with, if it is one of these two and written as the codec writes it, and the bytes
/// after it.
#[inline]
pub(super) fn read(payload: &[u8]) -> Option<(Entry, &[u8])> {
    let mut reader = Reader::new(payload);
    let seq = Seq::new(reader.number()?);
    let at = Instant::read_micros(reader.number()?)?;
    let behind = Span::from_micros(reader.number()?);
    let event = match reader.byte()? {
        ADMITTED => {
            let id = Digest::new(reader.number()?);
            Event::CallAdmitted { id, class: Class::new(reader.byte()?)? }
        }
        ENDED => {
            let call = CallNo::new(reader.number()?);
            Event::CallEnded { call, reason: *EndReason::ALL.get(usize::from(reader.byte()?))? }
        }
        _ => return None,
    };
    Some((Entry { seq, at, behind, event }, reader.rest()))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::codec;
    use crate::journal::PAYLOAD_MAX;
    use crate::worker::CLASSES;

    fn numbers() -> impl Strategy<Value = u64> {
        let lengths = prop_oneof![Just(0..=255), Just(0..=0xffff), Just(0..=0xffff_ffff), Just(0..=u64::MAX)];
        lengths.prop_flat_map(|range: core::ops::RangeInclusive<u64>| range)
    }

    fn events() -> impl Strategy<Value = Event> {
        let ended =
            |(call, reason): (u64, usize)| Event::CallEnded { call: CallNo::new(call), reason: EndReason::ALL[reason] };
        prop_oneof![
            (numbers(), 0..CLASSES).prop_map(|(id, class)| Event::CallAdmitted {
                id: Digest::new(id),
                class: Class::new(class.to_le_bytes()[0]).expect("below the limit"),
            }),
            (numbers(), 0..EndReason::ALL.len()).prop_map(ended),
        ]
    }

    fn entries() -> impl Strategy<Value = Entry> {
        (numbers(), numbers(), numbers(), events()).prop_map(|(seq, at, behind, event)| Entry {
            seq: Seq::new(seq),
            at: Instant::from_micros(at),
            behind: Span::from_micros(behind),
            event,
        })
    }

    fn payload(entry: &Entry) -> Vec<u8> {
        let mut payload = Vec::new();
        codec::encode(entry, &mut payload);
        payload
    }

    proptest! {
        #[test]
        fn both_events_take_the_short_cut(entry in entries()) {
            let named = [&payload(&entry)[..], b"id"].concat();
            prop_assert_eq!(read(&named), Some((entry, &b"id"[..])));
        }

        #[test]
        fn the_short_cut_leads_where_the_codec_does(
            entry in entries(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            len in any::<prop::sample::Index>(),
        ) {
            let mut bytes = payload(&entry);
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes.resize(len.index(bytes.len() + 4), 0);
            if let Some(found) = read(&bytes) {
                prop_assert_eq!(codec::decode_first::<Entry, PAYLOAD_MAX>(&bytes), Ok(found));
            }
        }
    }
}
