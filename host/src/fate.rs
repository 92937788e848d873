//! Whether a program is gone, or lives on without its first process. A connection's end does not tell: when a process
//! ends, the system closes what it had open, as the process itself does when it hangs up.

use openrtc_fleet::child::Child;
use tokio::sync::watch;

/// What was seen of a program since its first process ended.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// How often it was looked.
    looks: u64,
    /// Whether nothing of it serves any more.
    is_gone: bool,
}

/// Kept by whoever looks. Dropped, the program is gone.
#[derive(Debug, Default)]
pub(crate) struct Looks(watch::Sender<Seen>);

impl Looks {
    /// Notes a look: whether something of the program still listens.
    pub(crate) fn note(&self, listens: bool) {
        self.0.send_modify(|seen| {
            seen.looks += 1;
            seen.is_gone |= !listens;
        });
    }

    /// The fate of the program whose first process is `child`.
    pub(crate) fn of(&self, child: Child) -> Fate {
        Fate { child, seen: self.0.subscribe() }
    }
}

/// What becomes of a program. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    pub(crate) child: Child,
    seen: watch::Receiver<Seen>,
}

impl Fate {
    /// Whether nothing of the program serves any more. While its first process lives it is not gone, and the answer
    /// comes at once; afterwards it comes with the next look. Cancel-safe.
    pub(crate) async fn is_gone(&self) -> bool {
        if !self.child.is_ending() {
            return false;
        }
        let mut seen = self.seen.clone();
        let before = seen.borrow().looks;
        // A look that is under way may have begun before what is asked about.
        seen.wait_for(|seen| seen.is_gone || seen.looks >= before + 2).await.map_or(true, |seen| seen.is_gone)
    }
}
