//! The methods of [`Sender`](super::Sender) that change the connection and have arguments.
//!
//! Through `DerefMut` alone their arguments couldn't read the socket, as in
//! `socket.send(&socket.id().to_string())`: that borrow would begin before they are made. Each of
//! these methods has its line here.

use std::time::Duration;

use super::{Outgoing, Sent, Socket};
use crate::error::Misuse;
use crate::proto::{CloseCode, Encoding, Message, MessageRef};
use crate::server::topics::{
    Join, Joined, Position, PresenceChange, PresenceError, Publication, SubscribeError, Subscribed,
};
use crate::server::users::UserError;
use crate::server::websocket::Published;

macro_rules! forward {
    ($(
        $(#[$attribute:meta])*
        fn $method:ident$(<$lifetime:lifetime>)?($($argument:ident: $type:ty),*) $(-> $output:ty)?;
    )*) => {
        impl<S> Socket<'_, S> {$(
            #[doc = concat!("See [`Sender::", stringify!($method), "`](super::Sender::", stringify!($method), ").")]
            $(#[$attribute])*
            pub fn $method$(<$lifetime>)?(&mut self, $($argument: $type),*) $(-> $output)? {
                self.sender.$method($($argument),*)
            }
        )*}
    };
}

// Always inlined: see `Sender::send`.
forward! {
    #[inline(always)]
    fn send<'m>(message: impl Into<Outgoing<'m>>) -> Sent;
    fn send_with<'m>(message: impl Into<MessageRef<'m>>, encoding: Encoding) -> Sent;
    fn send_fragment<'m>(fragment: impl Into<MessageRef<'m>>) -> Result<Sent, Misuse>;
    fn send_last_fragment<'m>(fragment: impl Into<MessageRef<'m>>) -> Result<Sent, Misuse>;
    fn ping(payload: &[u8]) -> Result<(), Misuse>;
    fn close(code: impl Into<Option<CloseCode>>, reason: &str) -> bool;
    fn set_timer(key: u64, after: Duration);
    fn cancel_timer(key: u64) -> bool;
}

#[cfg(feature = "json")]
forward! {
    fn send_json(value: &(impl serde::Serialize + ?Sized)) -> Sent;
}

// The user.
forward! {
    fn set_user(user: &str) -> Result<(), UserError>;
    fn replace_user(user: &str, code: CloseCode, reason: &str) -> Result<usize, UserError>;
}

// Topics.
forward! {
    fn subscribe(topic: &str) -> Result<Subscribed, SubscribeError>;
    fn subscribe_since(topic: &str, since: Position) -> Result<Subscribed, SubscribeError>;
    fn join(topic: &str, join: Join<'_>) -> Result<Joined, SubscribeError>;
    fn unsubscribe(topic: &str) -> bool;
    fn publish<'m>(topic: &str, publication: impl Into<Publication<'m>>) -> Published;
    fn publish_to_all<'m>(topic: &str, publication: impl Into<Publication<'m>>) -> Published;
    fn publish_to<'m>(topics: &[&str], publication: impl Into<Publication<'m>>) -> Published;
    fn publish_with(
        topic: &str, make: impl FnOnce(Position) -> Message<'static>
    ) -> Published;
    fn join_presence(
        topic: &str,
        user: &str,
        data: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Publication<'static>>
    ) -> Result<PresenceChange, PresenceError>;
    fn update_presence(
        topic: &str,
        data: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Publication<'static>>
    ) -> PresenceChange;
    fn leave_presence(
        topic: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Publication<'static>>
    ) -> PresenceChange;
}

// Events.
#[cfg(feature = "json")]
forward! {
    fn emit(name: &str, data: &(impl serde::Serialize + ?Sized)) -> Sent;
    fn publish_json(topic: &str, value: &(impl serde::Serialize + ?Sized)) -> Published;
    fn publish_event(
        topic: &str,
        name: &str,
        data: &(impl serde::Serialize + ?Sized)
    ) -> Published;
}
