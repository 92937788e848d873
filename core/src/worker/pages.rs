//! A sorted map in pages: as small as its content, and quick where keys mostly come in order.

use alloc::vec::Vec;

/// Entries a page holds: a removal moves half a page on average, a search ends in one.
const PAGE: usize = 32;

/// A map in key order, held in pages that are full unless something was removed from them. Keys that only grow, like a
/// call's number, are appended in constant time.
#[derive(Clone, Debug)]
pub(super) struct Pages<K, V> {
    pages: Vec<Vec<(K, V)>>,
    len: usize,
}

impl<K, V> Default for Pages<K, V> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<K: Copy + Ord, V> Pages<K, V> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.pages.iter().flatten()
    }

    pub(super) fn last(&self) -> Option<&(K, V)> {
        self.pages.last()?.last()
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        let (page, slot) = self.find(key).ok()?;
        Some(&self.pages[page][slot].1)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let (page, slot) = self.find(key).ok()?;
        Some(&mut self.pages[page][slot].1)
    }

    /// Puts a value in its place and returns the one it replaces.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(key) {
            Ok((page, slot)) => Some(core::mem::replace(&mut self.pages[page][slot].1, value)),
            Err((page, slot)) => {
                self.len += 1;
                self.insert_at(page, slot, (key, value));
                None
            }
        }
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let (page, slot) = self.find(key).ok()?;
        self.len -= 1;
        let (_, value) = self.pages[page].remove(slot);
        self.settle(page);
        Some(value)
    }

    /// Where the key is, or where it belongs: in the last page that begins before it.
    fn find(&self, key: K) -> Result<(usize, usize), (usize, usize)> {
        let page = self.pages.partition_point(|page| page[0].0 <= key).saturating_sub(1);
        let Some(within) = self.pages.get(page) else { return Err((0, 0)) };
        match within.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(slot) => Ok((page, slot)),
            Err(slot) => Err((page, slot)),
        }
    }

    fn insert_at(&mut self, page: usize, slot: usize, entry: (K, V)) {
        let full = self.pages.get(page).is_none_or(|page| page.len() == PAGE);
        if !full {
            return self.pages[page].insert(slot, entry);
        }
        // What does not fit goes to a page of its own; at the end that is the new entry alone, so pages stay full.
        let mut next = Vec::with_capacity(PAGE);
        if slot == PAGE || self.pages.is_empty() {
            next.push(entry);
        } else {
            let half = &mut self.pages[page];
            next.extend(half.drain(PAGE / 2..));
            if slot <= PAGE / 2 {
                half.insert(slot, entry);
            } else {
                next.insert(slot - PAGE / 2, entry);
            }
        }
        self.pages.insert((page + 1).min(self.pages.len()), next);
    }

    /// Gives an empty page back, and merges one that became sparse with the page after it, so that at worst every
    /// second page is half full.
    fn settle(&mut self, page: usize) {
        if self.pages[page].is_empty() {
            self.pages.remove(page);
            return;
        }
        let after = self.pages.get(page + 1).map_or(PAGE, Vec::len);
        if self.pages[page].len() + after <= PAGE / 2 {
            let next = self.pages.remove(page + 1);
            self.pages[page].extend(next);
        }
    }
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
                    prop_assert_eq!(pages.remove(key), model.remove(&key));
                }
                prop_assert_eq!(pages.get(key), model.get(&key));
                prop_assert_eq!((pages.len(), pages.last().map(|(key, _)| key)), (model.len(), model.keys().last()));
            }
            prop_assert!(pages.iter().map(|(key, value)| (key, value)).eq(model.iter()));
            prop_assert!(pages.pages.iter().all(|page| !page.is_empty() && page.len() <= PAGE));
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
