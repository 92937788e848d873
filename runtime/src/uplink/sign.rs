//! The membership tokens of one worker.

use openrtc_core::id::{Epoch, Identity};
use openrtc_core::membership::{Claims, SigningKey, sign_membership};
use openrtc_core::time::{Instant, Span};

use crate::engine::clock::Clock;

/// Signs for a worker.
pub(super) struct Signer {
    key: SigningKey,
    /// When the last token was issued: each must be later than the one before.
    issued_at: Instant,
}

impl Signer {
    pub(super) const fn new(key: SigningKey) -> Self {
        Self { key, issued_at: Instant::EPOCH }
    }

    /// A token that is good now and for this epoch, as text.
    pub(super) fn token(&mut self, identity: Identity, epoch: Epoch) -> String {
        self.issued_at = Clock::wall().max(self.issued_at + Span::from_micros(1));
        sign_membership(&self.key, &Claims { identity, epoch, issued_at: self.issued_at }).to_text()
    }
}
