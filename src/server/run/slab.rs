//! The sessions of a worker, by token.

use std::vec::Vec;

use mio::Token;

/// The low bits of a token are the slot, the rest the slot's generation, so that an event of a
/// closed connection never reaches the slot's next owner.
const INDEX_BITS: u32 = usize::BITS / 2;

/// Together with the index this leaves the top eighth of a token free: for the worker's number in a
/// [`ConnectionId`](crate::server::ConnectionId), and for the worker's own tokens.
const GENERATION_BITS: u32 = usize::BITS * 3 / 8;

#[derive(Debug)]
pub(in crate::server) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// None when the slot is free.
    value: Option<T>,
}

/// The values of a slab except the one that is lent. They stay in their slots, since they are
/// large.
pub(in crate::server) struct Rest<'s, T> {
    before: &'s mut [Slot<T>],
    /// The slots behind the lent one.
    behind: &'s mut [Slot<T>],
}

impl<T> Slab<T> {
    pub(in crate::server) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Returns the number of values.
    pub(in crate::server) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Stores a value in a free slot; returns its token.
    pub(in crate::server) fn insert(&mut self, value: T) -> Token {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None => {
                self.slots.push(Slot {
                    generation: 0,
                    value: None,
                });
                self.slots.len() - 1
            }
        };
        let slot = &mut self.slots[index];
        slot.value = Some(value);
        slot.token(index)
    }

    #[inline]
    pub(in crate::server) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        self.slots.get_mut(index(token))?.value_mut(token)
    }

    /// Returns the token of the value in the slot `place`.
    pub(in crate::server) fn token_at(&self, place: u32) -> Option<Token> {
        let slot = self.slots.get(place as usize)?;
        slot.value.as_ref().map(|_| slot.token(place as usize))
    }

    /// Lends a value, and all others beside it.
    #[inline]
    pub(in crate::server) fn lend(&mut self, token: Token) -> Option<(&mut T, Rest<'_, T>)> {
        let (before, rest) = self.slots.split_at_mut_checked(index(token))?;
        let (slot, behind) = rest.split_first_mut()?;
        Some((slot.value_mut(token)?, Rest { before, behind }))
    }

    /// Returns all values, with none lent.
    pub(in crate::server) fn all(&mut self) -> Rest<'_, T> {
        Rest {
            before: &mut self.slots,
            behind: &mut [],
        }
    }

    /// Removes a value and frees its slot.
    pub(in crate::server) fn remove(&mut self, token: Token) -> Option<T> {
        let slot = self.slots.get_mut(index(token))?;
        slot.value_mut(token)?;
        slot.generation = (slot.generation + 1) % (1 << GENERATION_BITS);
        self.free.push(index(token) as u32);
        slot.value.take()
    }

    /// Returns the tokens of all values.
    pub(in crate::server) fn tokens(&self) -> Vec<Token> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.value.is_some())
            .map(|(index, slot)| slot.token(index))
            .collect()
    }
}

impl<T> Rest<'_, T> {
    #[inline]
    pub(in crate::server) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let slot = match index(token).checked_sub(self.before.len()) {
            None => self.before.get_mut(index(token)),
            // The lent slot lies between the two parts.
            Some(behind) => self.behind.get_mut(behind.checked_sub(1)?),
        };
        slot?.value_mut(token)
    }
}

impl<T> Slot<T> {
    fn token(&self, index: usize) -> Token {
        Token((self.generation as usize) << INDEX_BITS | index)
    }

    #[inline]
    fn value_mut(&mut self, token: Token) -> Option<&mut T> {
        let same = self.generation as usize == token.0 >> INDEX_BITS;
        self.value.as_mut().filter(|_| same)
    }
}

/// Returns the slot of a token.
pub(in crate::server) fn place(token: Token) -> u32 {
    index(token) as u32
}

/// Returns the generation of a token.
pub(in crate::server) fn generation(token: Token) -> u32 {
    (token.0 >> INDEX_BITS) as u32
}

#[inline]
fn index(token: Token) -> usize {
    token.0 & ((1 << INDEX_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_freed_slot_never_reaches_the_slots_next_owner() {
        let mut slab = Slab::new();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(first.0 & 0xFFFF, second.0 & 0xFFFF, "the slot is reused");
        assert_eq!(slab.get_mut(first), None);
        assert!(slab.lend(first).is_none());
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut 'b'));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn beside_a_lent_value_all_others_are_reached() {
        let mut slab = Slab::new();
        let tokens: Vec<Token> = "abcde".chars().map(|value| slab.insert(value)).collect();
        slab.remove(tokens[3]).unwrap();
        for (lent, value) in tokens.iter().zip("abcde".chars()) {
            let Some((taken, mut others)) = slab.lend(*lent) else {
                assert_eq!(value, 'd');
                continue;
            };
            assert_eq!(*taken, value);
            for (token, other) in tokens.iter().zip("abcde".chars()) {
                let there = token != lent && other != 'd';
                assert_eq!(
                    others.get_mut(*token),
                    Some(&mut other.clone()).filter(|_| there)
                );
            }
            assert_eq!(others.get_mut(Token(7)), None);
        }
        assert_eq!(slab.all().get_mut(tokens[4]), Some(&mut 'e'));
        assert_eq!(slab.all().get_mut(tokens[3]), None);
        assert_eq!((slab.len(), slab.tokens().len()), (4, 4));
        assert!(slab.lend(Token(7)).is_none());
    }

    #[test]
    fn tokens_leave_their_top_bits_free_whatever_the_generation() {
        let mut slab = Slab::new();
        slab.insert(());
        slab.slots[0].generation = (1 << GENERATION_BITS) - 1;
        let token = slab.slots[0].token(0);
        assert!(token.0 < 1 << (usize::BITS - 8));
        slab.remove(token).unwrap();
        assert_eq!(slab.insert(()), Token(0));
    }
}
