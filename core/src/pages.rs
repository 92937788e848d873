//! A sorted map in pages: as small as its content, and quick where keys mostly come in order.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Slots of a page: a search ends in one, and one bit each tells which of them are taken.
const PAGE: usize = u32::BITS as usize;

/// Where a live key lies, until the next insertion or removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    page: usize,
    slot: usize,
}

/// A map in key order, held in pages that are full unless something was removed from them. Keys that only grow, like a
/// call's number, are appended in constant time; a removal clears a bit.
#[derive(Clone, Debug)]
pub(crate) struct Pages<K, V> {
    /// Calls mostly end oldest first, and the page they leave empty is then taken from the front.
    pages: VecDeque<Page<K, V>>,
    len: usize,
}

/// Keys in order, those removed included, and their values; at least one is live. Keys lie apart from values, so that a
/// search touches little memory.
#[derive(Clone, Debug)]
struct Page<K, V> {
    /// No key of this page is smaller, and every key of the page before it is.
    first: K,
    /// Which slots are not removed.
    live: u32,
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Default for Pages<K, V> {
    fn default() -> Self {
        Self { pages: VecDeque::new(), len: 0 }
    }
}

impl<K: Copy + Ord, V: Copy> Pages<K, V> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.pages.iter().flat_map(Page::iter)
    }

    /// The entry with the smallest key.
    pub(crate) fn first(&self) -> Option<(K, &V)> {
        let page = self.pages.front()?;
        let slot = page.live.trailing_zeros() as usize;
        Some((page.keys[slot], &page.values[slot]))
    }

    /// Where the key lies, if it is in the map.
    pub(crate) fn place(&self, key: K) -> Option<Place> {
        let (page, slot) = self.find(key).ok()?;
        self.pages[page].is_live(slot).then_some(Place { page, slot })
    }

    pub(crate) fn at(&self, Place { page, slot }: Place) -> &V {
        &self.pages[page].values[slot]
    }

    pub(crate) fn at_mut(&mut self, Place { page, slot }: Place) -> (K, &mut V) {
        let page = &mut self.pages[page];
        (page.keys[slot], &mut page.values[slot])
    }

    /// Puts a value in its place and returns the one it replaces.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.pages.back().is_none_or(|page| page.keys[page.keys.len() - 1] < key) {
            self.len += 1;
            self.push(key, value);
            return None;
        }
        let before = match self.find(key) {
            Ok((page, slot)) => self.pages[page].put(slot, value),
            Err((page, slot)) => {
                self.insert_at(page, slot, key, value);
                None
            }
        };
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes out what lies there.
    pub(crate) fn remove(&mut self, Place { page, slot }: Place) -> (K, V) {
        let removed = (self.pages[page].keys[slot], self.pages[page].values[slot]);
        self.pages[page].live &= !(1 << slot);
        self.len -= 1;
        self.settle(page);
        removed
    }

    /// The slot with the key, or the one it belongs before: in the last page that begins before it.
    fn find(&self, key: K) -> Result<(usize, usize), (usize, usize)> {
        let page = self.pages.partition_point(|page| page.first <= key).saturating_sub(1);
        let Some(within) = self.pages.get(page) else { return Err((0, 0)) };
        // By counting, not by halves: a processor guesses wrong at each half, since calls end in no order.
        let slot = within.keys.iter().filter(|before| **before < key).count();
        if within.keys.get(slot) == Some(&key) { Ok((page, slot)) } else { Err((page, slot)) }
    }

    /// Puts a key past every other: at the end of the last page, or in a page of its own.
    fn push(&mut self, key: K, value: V) {
        match self.pages.back_mut().filter(|page| page.keys.len() < PAGE) {
            Some(page) => page.push(key, value),
            None => self.pages.push_back(Page::new(key, value)),
        }
    }

    fn insert_at(&mut self, page: usize, slot: usize, key: K, value: V) {
        if self.pages[page].keys.len() < PAGE {
            return self.pages[page].insert(slot, key, value);
        }
        // Full of slots: those removed are freed, and if that is too few, half goes to a page of its own.
        self.pages[page].compact();
        let (mut page, mut slot) = (page, self.pages[page].keys.partition_point(|before| *before < key));
        if self.pages[page].keys.len() > PAGE / 2 {
            let next = self.pages[page].split();
            self.pages.insert(page + 1, next);
            if slot > self.pages[page].keys.len() {
                slot -= self.pages[page].keys.len();
                page += 1;
            }
        }
        self.pages[page].insert(slot, key, value);
    }

    /// Gives an empty page back, and merges one that became sparse with the page after it, so that at worst a page in
    /// two is half live.
    fn settle(&mut self, page: usize) {
        let live = self.pages[page].live();
        if live == 0 {
            self.pages.remove(page);
        } else if self.pages.get(page + 1).is_some_and(|next| live + next.live() <= PAGE / 2) {
            self.pages[page].compact();
            for (key, value) in self.pages.remove(page + 1).iter().flat_map(Page::iter) {
                self.pages[page].push(key, *value);
            }
        }
    }
}

impl<K: Copy, V: Copy> Page<K, V> {
    fn new(key: K, value: V) -> Self {
        let mut page = Self { first: key, live: 0, keys: Vec::with_capacity(PAGE), values: Vec::with_capacity(PAGE) };
        page.push(key, value);
        page
    }

    const fn live(&self) -> usize {
        self.live.count_ones() as usize
    }

    const fn is_live(&self, slot: usize) -> bool {
        self.live & 1 << slot != 0
    }

    fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let live = |(slot, entry)| self.is_live(slot).then_some(entry);
        self.keys.iter().copied().zip(&self.values).enumerate().filter_map(live)
    }

    fn push(&mut self, key: K, value: V) {
        self.live |= 1 << self.keys.len();
        self.keys.push(key);
        self.values.push(value);
    }

    /// Puts an entry before that of `slot`, in a page with a slot to spare.
    fn insert(&mut self, slot: usize, key: K, value: V) {
        let below = mask(slot);
        self.live = self.live & below | (self.live & !below) << 1 | 1 << slot;
        self.keys.insert(slot, key);
        self.values.insert(slot, value);
        self.first = self.keys[0];
    }

    /// Frees the slots of what was removed.
    fn compact(&mut self) {
        let mut kept = 0;
        for slot in 0..self.keys.len() {
            if self.is_live(slot) {
                self.keys[kept] = self.keys[slot];
                self.values[kept] = self.values[slot];
                kept += 1;
            }
        }
        self.truncate(kept);
        self.live = mask(kept);
        self.first = self.keys[0];
    }

    /// Keeps the first half of a compact page and returns the second.
    fn split(&mut self) -> Self {
        let half = self.keys.len() / 2;
        let mut next = Self::new(self.keys[half], self.values[half]);
        (half + 1..self.keys.len()).for_each(|slot| next.push(self.keys[slot], self.values[slot]));
        self.truncate(half);
        self.live = mask(half);
        next
    }

    fn truncate(&mut self, len: usize) {
        self.keys.truncate(len);
        self.values.truncate(len);
    }

    fn put(&mut self, slot: usize, value: V) -> Option<V> {
        let before = self.is_live(slot).then(|| self.values[slot]);
        self.live |= 1 << slot;
        self.values[slot] = value;
        before
    }
}

/// Bits for the first `slots` slots.
const fn mask(slots: usize) -> u32 {
    if slots == PAGE { u32::MAX } else { (1 << slots) - 1 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pages_are_a_sorted_map(steps in proptest::collection::vec((any::<bool>(), 0_u16..300), 0..2_000)) {
            let (mut pages, mut model) = (Pages::default(), BTreeMap::new());
            for (at, (insert, key)) in steps.into_iter().enumerate() {
                if insert {
                    prop_assert_eq!(pages.insert(key, at), model.insert(key, at));
                } else {
                    let removed = pages.place(key).map(|place| pages.remove(place));
                    prop_assert_eq!(removed, model.remove_entry(&key));
                }
                prop_assert_eq!(pages.place(key).map(|place| pages.at(place)), model.get(&key));
                prop_assert_eq!(pages.len(), model.len());
                let first = model.first_key_value().map(|(key, at)| (*key, at));
                prop_assert_eq!(pages.first(), first);
            }
            prop_assert!(pages.iter().eq(model.iter().map(|(key, value)| (*key, value))));
            let sound = |page: &Page<_, _>| page.live != 0 && page.keys.len() <= PAGE && page.first == page.keys[0];
            prop_assert!(pages.pages.iter().all(sound));
        }
    }

    #[test]
    fn keys_in_order_fill_their_pages() {
        let mut pages = Pages::default();
        for key in 0..1_000 {
            pages.insert(key, ());
        }
        assert_eq!(pages.pages.len(), 1_000_usize.div_ceil(PAGE));
    }
}
