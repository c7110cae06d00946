//! The sessions of a worker, by token.

use alloc::vec::Vec;

use mio::Token;

/// The lower half of a token is the slot, the upper half the slot's generation: an event of a
/// closed connection never reaches the slot's next owner.
const INDEX_BITS: u32 = usize::BITS / 2;

/// The top generation is left out, so that the worker's own tokens can have it.
const GENERATIONS: usize = (1 << INDEX_BITS) - 1;

#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: usize,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    pub(super) fn insert(&mut self, value: T) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                value: None,
            });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.value = Some(value);
        Token(slot.generation << INDEX_BITS | index)
    }

    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        self.slot_mut(token)?.value.as_mut()
    }

    pub(super) fn remove(&mut self, token: Token) -> Option<T> {
        let slot = self.slot_mut(token)?;
        let value = slot.value.take()?;
        slot.generation = (slot.generation + 1) % GENERATIONS;
        self.free.push(token.0 & ((1 << INDEX_BITS) - 1));
        Some(value)
    }

    /// The tokens of all sessions there are.
    pub(super) fn tokens(&self) -> Vec<Token> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.value.is_some())
            .map(|(index, slot)| Token(slot.generation << INDEX_BITS | index))
            .collect()
    }

    fn slot_mut(&mut self, token: Token) -> Option<&mut Slot<T>> {
        let slot = self.slots.get_mut(token.0 & ((1 << INDEX_BITS) - 1))?;
        (slot.generation == token.0 >> INDEX_BITS).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_removed_value_never_reaches_the_slots_next_owner() {
        let mut slab = Slab::new();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(first.0 & 0xFFFF, second.0 & 0xFFFF, "the slot is reused");
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut 'b'));
        assert_eq!(slab.tokens(), [second]);
    }

    #[test]
    fn is_empty_once_all_are_removed() {
        let mut slab = Slab::new();
        let tokens: Vec<Token> = (0..10).map(|it| slab.insert(it)).collect();
        for token in tokens {
            assert!(!slab.is_empty());
            slab.remove(token);
        }
        assert!(slab.is_empty());
    }
}
