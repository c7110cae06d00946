//! A message that was published to several topics at once.

use std::iter::{self, Peekable};
use std::sync::Arc;
use std::vec::Vec;

use mio::Token;

use super::{Local, Position, Topic};
use crate::proto::PreparedMessage;

/// A message on its way to the subscribers of several topics, each of whom gets it once.
pub(in crate::server) struct JointMessage {
    pub(in crate::server) message: PreparedMessage,
    /// The topics, each with the message's position in it.
    pub(super) places: Vec<(Arc<Topic>, Position)>,
}

impl JointMessage {
    /// Returns the bytes that it holds.
    pub(in crate::server) fn bytes(&self) -> usize {
        self.message.payload().len() + self.places.len() * size_of::<(Arc<Topic>, Position)>()
    }

    /// Returns whether it may be replaced at some of its subscribers while it waits.
    pub(in crate::server) fn conflates(&self) -> bool {
        self.places.iter().any(|(topic, _)| topic.conflates())
    }

    /// Returns the topic as whose message a subscriber takes it, if it does: one that doesn't
    /// conflate if there is a choice. `begun` returns the offset behind which its subscription to a
    /// topic begins.
    pub(in crate::server) fn topic_for(
        &self,
        begun: impl Fn(&str) -> Option<u64>,
    ) -> Option<&Arc<Topic>> {
        let takes = |(topic, at): &&(Arc<Topic>, Position)| {
            begun(&topic.name).is_some_and(|it| it < at.offset)
        };
        let taken = self.places.iter().filter(takes).map(|(topic, _)| topic);
        taken.min_by_key(|it| it.conflates())
    }

    /// Returns the worker's subscribers behind `cursor` that it is for, in order, each once.
    pub(in crate::server) fn takers<'l>(
        &self,
        local: &'l Local,
        cursor: Option<Token>,
    ) -> impl Iterator<Item = Token> + use<'l> {
        let takers = self.places.iter().filter_map(|(topic, at)| {
            let subscribers = local.of(&topic.name)?;
            Some(subscribers.takers(at.offset, cursor).peekable())
        });
        merged(takers.collect())
    }
}

/// Merges iterators that are in order; what several of them have comes once.
fn merged<T: Ord + Copy, I: Iterator<Item = T>>(
    mut all: Vec<Peekable<I>>,
) -> impl Iterator<Item = T> {
    iter::from_fn(move || {
        let next = all.iter_mut().filter_map(|it| it.peek().copied()).min()?;
        for it in &mut all {
            it.next_if_eq(&next);
        }
        Some(next)
    })
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn what_several_have_comes_once_and_in_order() {
        let all = [vec![1, 3, 5, 9], vec![], vec![2, 3, 9, 10], vec![3]];
        let all = all.into_iter().map(|it| it.into_iter().peekable());
        assert!(merged(all.collect()).eq([1, 2, 3, 5, 9, 10]));
        assert_eq!(
            merged(Vec::<Peekable<vec::IntoIter<u8>>>::new()).next(),
            None
        );
    }
}
