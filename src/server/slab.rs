//! The sessions of a worker, by token.

use std::vec::Vec;

use mio::Token;

/// The low bits of a token are the slot, the rest the slot's generation: an event of a closed
/// connection never reaches the slot's next owner.
const INDEX_BITS: u32 = usize::BITS / 2;

/// Together with the index this leaves the top eighth of a token free: for the worker in a
/// [`ConnectionId`](super::ConnectionId), and for the worker's own tokens.
const GENERATION_BITS: u32 = usize::BITS * 3 / 8;

#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: usize,
    /// None when the slot is free, and while its value is lent.
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many slots are taken, by values that are there or lent.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a slot; the value is made with its token.
    pub(super) fn insert(&mut self, make: impl FnOnce(Token) -> T) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                value: None,
            });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        let token = Token(slot.generation << INDEX_BITS | index);
        slot.value = Some(make(token));
        token
    }

    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        self.slot_mut(token)?.value.as_mut()
    }

    /// Takes the value out of its slot, which stays taken: [`give_back`](Self::give_back) or
    /// [`free`](Self::free) follows.
    pub(super) fn lend(&mut self, token: Token) -> Option<T> {
        self.slot_mut(token)?.value.take()
    }

    pub(super) fn give_back(&mut self, token: Token, value: T) {
        if let Some(slot) = self.slot_mut(token) {
            slot.value = Some(value);
        }
    }

    /// Frees a slot whose value was lent.
    pub(super) fn free(&mut self, token: Token) {
        if let Some(slot) = self.slot_mut(token) {
            slot.generation = (slot.generation + 1) % (1 << GENERATION_BITS);
            self.free.push(token.0 & ((1 << INDEX_BITS) - 1));
        }
    }

    /// The tokens of all values that are there.
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
    fn a_token_of_a_freed_slot_never_reaches_the_slots_next_owner() {
        let mut slab = Slab::new();
        let first = slab.insert(|_| 'a');
        assert_eq!(slab.lend(first), Some('a'));
        slab.free(first);
        let second = slab.insert(|_| 'b');
        assert_eq!(first.0 & 0xFFFF, second.0 & 0xFFFF, "the slot is reused");
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.lend(first), None);
        slab.free(first);
        slab.give_back(first, 'c');
        assert_eq!(slab.get_mut(second), Some(&mut 'b'));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn a_lent_slot_is_not_given_to_another() {
        let mut slab = Slab::new();
        let first = slab.insert(|_| 'a');
        let value = slab.lend(first).unwrap();
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.tokens(), []);
        assert_eq!(slab.len(), 1);
        assert_ne!(slab.insert(|_| 'b'), first);
        slab.give_back(first, value);
        assert_eq!(slab.get_mut(first), Some(&mut 'a'));
    }

    #[test]
    fn tokens_leave_their_top_bits_free_whatever_the_generation() {
        let mut slab = Slab::new();
        let mut token = slab.insert(|_| ());
        slab.slots[0].generation = (1 << GENERATION_BITS) - 1;
        token.0 = slab.slots[0].generation << INDEX_BITS;
        assert!(token.0 < 1 << (usize::BITS - 8));
        slab.lend(token).unwrap();
        slab.free(token);
        assert_eq!(slab.insert(|_| ()), Token(0));
    }
}
