//! The positions of the parts of a head in its bytes.

/// A range of the head. `u32`, because [`HeadLimits::max_head`](super::HeadLimits::max_head) is clamped to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[expect(clippy::cast_possible_truncation, reason = "max_head is clamped")]
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    pub(super) fn extend_to(&mut self, end: usize) {
        *self = Self::new(self.start as usize, end);
    }

    pub(super) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Empty, rather than a panic, if `head` is not the one that was parsed.
    pub(super) fn of(self, head: &[u8]) -> &[u8] {
        head.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// For the parts that were checked to be ASCII.
    pub(super) fn str_of(self, head: &[u8]) -> &str {
        core::str::from_utf8(self.of(head)).unwrap_or_default()
    }
}

/// The positions of a header line's name and its trimmed value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    pub(super) name: Span,
    pub(super) value: Span,
}
