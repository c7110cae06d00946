//! What is put around a handler.

use std::any::Any;
use std::boxed::Box;

use super::Handler;
use crate::proto::{Message, MessagePiece};
use crate::server::end::{End, ErrorCause};
use crate::server::socket::Socket;
use crate::server::topics::SubscribeError;

/// Something around a handler: it is called in the handler's place, and calls the handler, or not.
///
/// Each method has the handler as an argument and calls its method of the same name unless it is
/// written otherwise, so that a layer has only the methods it is about. A layer for any handler is
/// generic, as here; one for handlers with a certain state names it (`H: Handler<State = Person>`)
/// and can use it.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use sockeye::proto::Message;
/// use sockeye::server::{Handler, Layer, Server, Socket};
///
/// /// Counts the messages, and refuses those that aren't text.
/// #[derive(Default)]
/// struct TextOnly(AtomicU64);
///
/// impl<H: Handler> Layer<H> for TextOnly {
///     fn on_message(&self, inner: &H, socket: &mut Socket<'_, H::State>, message: Message<'_>) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///         match message.as_text() {
///             Some(_) => inner.on_message(socket, message),
///             None => _ = socket.send("text, please"),
///         }
///     }
/// }
///
/// struct Echo;
///
/// impl Handler for Echo {
///     type State = ();
///     fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
///         socket.send(message);
///     }
/// }
///
/// let server = Server::builder().route("/echo", TextOnly::default().around(Echo));
/// # let _ = server;
/// ```
///
/// Several are put around one another: `Logged.around(TextOnly::default().around(Echo))`.
pub trait Layer<H: Handler>: Send + Sync + 'static {
    /// Returns the handler with this layer around it.
    fn around(self, handler: H) -> Layered<Self, H>
    where
        Self: Sized,
    {
        Layered {
            layer: self,
            handler,
        }
    }

    /// [`Handler::on_open`].
    #[inline]
    fn on_open(&self, inner: &H, socket: &mut Socket<'_, H::State>) {
        inner.on_open(socket);
    }

    /// [`Handler::on_message`].
    #[inline]
    fn on_message(&self, inner: &H, socket: &mut Socket<'_, H::State>, message: Message<'_>) {
        inner.on_message(socket, message);
    }

    /// [`Handler::on_piece`].
    #[inline]
    fn on_piece(&self, inner: &H, socket: &mut Socket<'_, H::State>, piece: MessagePiece<'_>) {
        inner.on_piece(socket, piece);
    }

    /// [`Handler::on_ping`].
    #[inline]
    fn on_ping(&self, inner: &H, socket: &mut Socket<'_, H::State>, payload: &[u8]) {
        inner.on_ping(socket, payload);
    }

    /// [`Handler::on_pong`].
    #[inline]
    fn on_pong(&self, inner: &H, socket: &mut Socket<'_, H::State>, payload: &[u8]) {
        inner.on_pong(socket, payload);
    }

    /// [`Handler::on_drain`].
    #[inline]
    fn on_drain(&self, inner: &H, socket: &mut Socket<'_, H::State>) {
        inner.on_drain(socket);
    }

    /// [`Handler::on_subscribe`].
    #[inline]
    fn on_subscribe(
        &self,
        inner: &H,
        socket: &mut Socket<'_, H::State>,
        topic: &str,
        count: Result<usize, SubscribeError>,
    ) {
        inner.on_subscribe(socket, topic, count);
    }

    /// [`Handler::on_unsubscribe`].
    #[inline]
    fn on_unsubscribe(
        &self,
        inner: &H,
        socket: &mut Socket<'_, H::State>,
        topic: &str,
        count: usize,
    ) {
        inner.on_unsubscribe(socket, topic, count);
    }

    /// [`Handler::on_timer`].
    #[inline]
    fn on_timer(&self, inner: &H, socket: &mut Socket<'_, H::State>, key: u64) {
        inner.on_timer(socket, key);
    }

    /// [`Handler::on_notify`].
    #[inline]
    fn on_notify(&self, inner: &H, socket: &mut Socket<'_, H::State>, notice: Box<dyn Any + Send>) {
        inner.on_notify(socket, notice);
    }

    /// [`Handler::on_error`].
    #[inline]
    fn on_error(&self, inner: &H, socket: &mut Socket<'_, H::State>, cause: ErrorCause, end: &End) {
        inner.on_error(socket, cause, end);
    }

    /// [`Handler::on_close`].
    #[inline]
    fn on_close(&self, inner: &H, socket: &mut Socket<'_, H::State>, end: &End) {
        inner.on_close(socket, end);
    }
}

/// A handler in a [`Layer`], which is a handler again: see [`Layer::around`].
#[derive(Clone, Debug)]
pub struct Layered<L, H> {
    layer: L,
    handler: H,
}

impl<L: Layer<H>, H: Handler> Handler for Layered<L, H> {
    type State = H::State;

    #[inline]
    fn on_open(&self, socket: &mut Socket<'_, H::State>) {
        self.layer.on_open(&self.handler, socket);
    }

    #[inline]
    fn on_message(&self, socket: &mut Socket<'_, H::State>, message: Message<'_>) {
        self.layer.on_message(&self.handler, socket, message);
    }

    #[inline]
    fn on_piece(&self, socket: &mut Socket<'_, H::State>, piece: MessagePiece<'_>) {
        self.layer.on_piece(&self.handler, socket, piece);
    }

    #[inline]
    fn on_ping(&self, socket: &mut Socket<'_, H::State>, payload: &[u8]) {
        self.layer.on_ping(&self.handler, socket, payload);
    }

    #[inline]
    fn on_pong(&self, socket: &mut Socket<'_, H::State>, payload: &[u8]) {
        self.layer.on_pong(&self.handler, socket, payload);
    }

    #[inline]
    fn on_drain(&self, socket: &mut Socket<'_, H::State>) {
        self.layer.on_drain(&self.handler, socket);
    }

    #[inline]
    fn on_subscribe(
        &self,
        socket: &mut Socket<'_, H::State>,
        topic: &str,
        count: Result<usize, SubscribeError>,
    ) {
        self.layer.on_subscribe(&self.handler, socket, topic, count);
    }

    #[inline]
    fn on_unsubscribe(&self, socket: &mut Socket<'_, H::State>, topic: &str, count: usize) {
        self.layer
            .on_unsubscribe(&self.handler, socket, topic, count);
    }

    #[inline]
    fn on_timer(&self, socket: &mut Socket<'_, H::State>, key: u64) {
        self.layer.on_timer(&self.handler, socket, key);
    }

    #[inline]
    fn on_notify(&self, socket: &mut Socket<'_, H::State>, notice: Box<dyn Any + Send>) {
        self.layer.on_notify(&self.handler, socket, notice);
    }

    #[inline]
    fn on_error(&self, socket: &mut Socket<'_, H::State>, cause: ErrorCause, end: &End) {
        self.layer.on_error(&self.handler, socket, cause, end);
    }

    #[inline]
    fn on_close(&self, socket: &mut Socket<'_, H::State>, end: &End) {
        self.layer.on_close(&self.handler, socket, end);
    }
}
