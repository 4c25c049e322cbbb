//! What one link has carried.

/// Messages of one link since it was opened. Ticks, definitions and the like are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Taken in: requests and casts on the answering side, answers and items on the asking one.
    pub messages_in: u64,
    /// Queued to go out: the other kind on each side.
    pub messages_out: u64,
}

impl Traffic {
    pub(super) fn came(&mut self) {
        self.messages_in += 1;
    }

    pub(super) fn goes(&mut self) {
        self.messages_out += 1;
    }

    pub(super) fn go(&mut self, messages: usize) {
        self.messages_out += messages as u64;
    }
}
