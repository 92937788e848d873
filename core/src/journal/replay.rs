//! A segment folded into the machine that wrote it.

use alloc::vec::Vec;

use super::{FORMAT, Journaled, MAGIC, Opening, Predecessor, Record, Records, Run, Torn, TornFault, format, format_1};
use crate::id::{CallId, CallNo, Ids, OpenIds, Seq};
use crate::machine::Entry;
use crate::worker::Worker;

/// A segment folded as far as it is whole.
#[derive(Clone, Debug)]
pub struct Replay<M: Journaled> {
    /// The format it is of.
    pub format: u8,
    /// What it opened with.
    pub opening: Opening<M>,
    /// The machine after the last whole entry.
    pub state: M,
    /// The ids of the calls in it.
    pub ids: OpenIds,
    /// How many entries were folded.
    pub entries: u64,
    /// How many records were stepped over because a newer build wrote them: what they say is not in the state.
    pub newer: u64,
    /// Bytes that belong to whole frames.
    pub whole: usize,
    /// Where and why reading stopped, if not at the end.
    pub torn: Option<Torn>,
}

impl<M: Journaled> Replay<M> {
    /// Whether a newer build wrote something here that is not in the state.
    #[must_use]
    pub fn has_newer(&self) -> bool {
        self.newer > 0 || self.torn.is_some_and(|torn| torn.fault.is_newer())
    }
}

impl Replay<Worker> {
    /// The calls that were open when the journal ends: those that a crash there took.
    pub fn open_calls(&self) -> impl Iterator<Item = (CallNo, CallId)> {
        self.state.calls().iter().map(|(call, live)| {
            let unnamed = || CallId::unnamed(live.id);
            (call, self.ids.get(call).cloned().unwrap_or_else(unnamed))
        })
    }

    /// What the next run writes of this one.
    #[must_use]
    pub fn as_predecessor(&self) -> Predecessor {
        let Run { identity, .. } = self.opening.about;
        Predecessor {
            incarnation: identity.incarnation,
            exited: self.state.outcome().is_some(),
            open_calls: self.state.word().in_flight(),
        }
    }
}

/// The ids of the calls of a segment as far as it was read, in the order of their calls. The text stays in the segment.
#[derive(Clone, Debug, Default)]
pub struct IdsSoFar<'a>(Vec<(CallNo, &'a str)>);

impl Ids for IdsSoFar<'_> {
    fn id(&self, call: CallNo) -> Option<CallId> {
        CallId::new(self.get(call)?).ok()
    }
}

impl<'a> IdsSoFar<'a> {
    /// The id of a call.
    #[must_use]
    pub fn get(&self, call: CallNo) -> Option<&'a str> {
        let at = self.0.binary_search_by_key(&call, |(call, _)| *call).ok()?;
        Some(self.0[at].1)
    }

    /// Notes the id of the call that the entry of this number begins, if there is one. Such calls come in order.
    #[inline]
    fn begin(&mut self, seq: Seq, id: &'a str) {
        if !id.is_empty() {
            self.0.push((CallNo::new(seq.get()), id));
        }
    }
}

/// Folds a segment, handing each entry to `each` before it is applied, with the state and the ids as they are then. An
/// error means that not even the opening is whole.
pub fn replay<M: Journaled>(
    bytes: &[u8],
    each: impl FnMut(&M, &IdsSoFar<'_>, &Entry<M::Event>),
) -> Result<Replay<M>, Torn> {
    if format(bytes) == Ok(format_1::FORMAT) {
        return M::replay_format_1(bytes, each);
    }
    let mut records = Records::new(bytes);
    let torn_at = |offset, fault| Torn { offset, lost: bytes.len() - offset, fault };
    let at_opening = |fault| torn_at(MAGIC.len() + 1, fault);
    let opening = match records.next() {
        Some(Ok(Record::Opened(opening))) => *opening,
        // A newer build may open its segments with more than this one knows.
        Some(Ok(Record::Newer { .. })) => return Err(at_opening(TornFault::Newer)),
        Some(Ok(Record::Called { .. } | Record::Entry { .. })) => return Err(at_opening(TornFault::Misplaced)),
        Some(Err(torn)) => return Err(torn),
        None => return Err(torn_at(0, TornFault::Short)),
    };
    let mut fold = Fold::open(&opening, each).map_err(at_opening)?;
    let (mut newer, mut torn, mut whole) = (0, None, records.offset());
    while let Some(next) = records.next::<M>() {
        let taken = match next {
            Ok(Record::Entry { entry, id }) => fold.follow(&entry, id),
            Ok(Record::Called { call, id }) => fold.name(call, id),
            Ok(Record::Newer { .. }) => {
                newer += 1;
                Ok(())
            }
            Ok(Record::Opened(_)) => Err(TornFault::Misplaced),
            Err(found) => Err(found.fault),
        };
        if let Err(fault) = taken {
            torn = Some(torn_at(whole, fault));
            break;
        }
        whole = records.offset();
    }
    let (ids, Fold { state, entries, .. }) = (fold.open_ids(), fold);
    Ok(Replay { format: FORMAT, opening, state, ids, entries, newer, whole, torn })
}

/// A machine on its way through a segment.
pub(super) struct Fold<'a, M, F> {
    pub(super) state: M,
    ids: IdsSoFar<'a>,
    pub(super) entries: u64,
    each: F,
}

impl<'a, M: Journaled, F: FnMut(&M, &IdsSoFar<'_>, &Entry<M::Event>)> Fold<'a, M, F> {
    pub(super) fn open(opening: &Opening<M>, each: F) -> Result<Self, TornFault> {
        if !opening.state.is_sound() {
            return Err(TornFault::Unsound);
        }
        Ok(Self { state: opening.state.clone(), ids: IdsSoFar::default(), entries: 0, each })
    }

    /// The ids of the calls in the machine. Text that is no id, which only a forger writes, is left out.
    pub(super) fn open_ids(&self) -> OpenIds {
        self.state.open_calls().filter_map(|call| Some((call, self.ids.id(call)?))).collect()
    }

    /// The id of a call that the opening holds. All of them come before the first entry.
    pub(super) fn name(&mut self, call: CallNo, id: &'a str) -> Result<(), TornFault> {
        let is_next = self.ids.0.last().is_none_or(|(last, _)| *last < call);
        if self.entries > 0 || !is_next || !self.state.has_call(call) {
            return Err(TornFault::Misplaced);
        }
        self.ids.0.push((call, id));
        Ok(())
    }

    /// Takes an entry if it fits, and the id of the call that it begins.
    #[inline]
    pub(super) fn follow(&mut self, entry: &Entry<M::Event>, id: &'a str) -> Result<(), TornFault> {
        let Self { state, ids, each, .. } = self;
        let seen = |state: &M| {
            ids.begin(entry.seq, id);
            each(state, ids, entry);
        };
        state.follow(entry, seen).map_err(M::misfit)?;
        self.entries += 1;
        Ok(())
    }

    /// Takes an entry, and the id of the call that it begins.
    #[inline]
    pub(super) fn take(&mut self, entry: &Entry<M::Event>, id: &'a str) {
        self.ids.begin(entry.seq, id);
        (self.each)(&self.state, &self.ids, entry);
        self.state.apply(entry);
        self.entries += 1;
    }
}
