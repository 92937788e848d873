//! What the dispatcher knows: which workers take calls, how many each has, and which version gets what share.

use openrtc_core::id::Epoch;

/// What the dispatcher knows of the workers.
#[derive(Debug)]
pub(super) struct Dispatcher {
    weights: [u8; 2],
    /// The latest term it heard of.
    term: Epoch,
    open: [Vec<u32>; 2],
    place_of: Vec<Option<u32>>,
    pub(super) load: Vec<u32>,
    /// The loads it goes by: those of its last look.
    seen: Vec<u32>,
    look_every: u64,
    look_at: u64,
}

impl Dispatcher {
    pub(super) fn new(workers: u32, look_every: u64) -> Self {
        let workers = workers as usize;
        Self {
            weights: [0; 2],
            term: Epoch::default(),
            open: [Vec::new(), Vec::new()],
            place_of: vec![None; workers],
            load: vec![0; workers],
            seen: if look_every == 0 { Vec::new() } else { vec![0; workers] },
            look_every,
            look_at: 0,
        }
    }

    pub(super) const fn weight(&self, version: usize) -> u8 {
        self.weights[version]
    }

    /// A share of new calls, unless somebody of a later term has said how they are shared.
    pub(super) fn route(&mut self, version: u32, weight: u8, term: Epoch) {
        if term >= self.term {
            self.term = term;
            self.weights[version as usize] = weight;
        }
    }

    pub(super) fn set_open(&mut self, worker: u32, version: usize, open: bool) {
        let list = &mut self.open[version];
        match (self.place_of[worker as usize], open) {
            (None, true) => {
                self.place_of[worker as usize] = u32::try_from(list.len()).ok();
                list.push(worker);
            }
            (Some(place), false) => {
                list.swap_remove(place as usize);
                if let Some(moved) = list.get(place as usize) {
                    self.place_of[*moved as usize] = Some(place);
                }
                self.place_of[worker as usize] = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// A version by weight, then the less loaded of two of its workers; the other version if this one has nobody.
    pub(super) fn pick(&mut self, draw: u64, now: u64) -> Option<u32> {
        if self.look_every > 0 && now >= self.look_at {
            self.seen.copy_from_slice(&self.load);
            self.look_at = now + self.look_every;
        }
        let loads = if self.look_every > 0 { &self.seen } else { &self.load };
        let first = usize::from(draw % 100 < u64::from(self.weights[1]));
        [first, 1 - first].into_iter().find_map(|version| {
            let list = &self.open[version];
            if list.is_empty() || self.weights[version] == 0 {
                return None;
            }
            let count = list.len() as u64;
            let one = list[usize::try_from((draw >> 8) % count).unwrap_or(0)];
            let two = list[usize::try_from((draw >> 36) % count).unwrap_or(0)];
            Some(if loads[two as usize] < loads[one as usize] { two } else { one })
        })
    }
}

/// A call's label: `c` and its number, written without formatting machinery.
pub(super) struct Label {
    bytes: [u8; 11],
    from: usize,
}

impl Label {
    pub(super) fn new(call: u32) -> Self {
        let mut label = Self { bytes: [b'c'; 11], from: 11 };
        let mut rest = call;
        loop {
            label.from -= 1;
            label.bytes[label.from] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        label.from -= 1;
        label
    }

    pub(super) fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[self.from..]).unwrap_or("c")
    }
}
