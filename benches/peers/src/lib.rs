//! What the peers on tokio share: options, listening, a runtime of one thread, TLS. And what the
//! limits share (`bare`).
//!
//! Each peer's file in `src/bin` then holds only what is its own: the opening handshake and the
//! echo, as its documentation shows them.

pub mod bare;
pub mod corked;
pub mod hyper;
pub mod tls;

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Replies are written together up to so many.
const BATCH: usize = 32;

/// Whatever ended a connection; nobody asks.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How a peer is to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The replies to all messages that have arrived are written together, instead of one by one.
    pub batch: bool,
    /// permessage-deflate without context takeover.
    pub deflate: bool,
}

impl Options {
    /// Those of the command line.
    pub fn from_arguments() -> Self {
        let has = |name: &str| std::env::args().any(|argument| argument == name);
        Self {
            batch: has("--batch"),
            deflate: has("--deflate"),
        }
    }
}

/// [`serve`] with TLS where the command line has a certificate: `tls` is what `plain` is, of
/// another stream.
///
/// # Panics
///
/// As [`serve`] and [`tls::config`] do.
pub fn serve_either<F, R, G, Q>(plain: F, tls: G)
where
    F: Fn(TcpStream, Options) -> R,
    R: Future<Output = Result<(), Failure>> + Send + 'static,
    G: Fn(TlsStream<TcpStream>, Options) -> Q + Clone + Send + 'static,
    Q: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let Some(config) = tls::config() else {
        return serve(plain);
    };
    let acceptor = TlsAcceptor::from(config);
    serve(move |stream, options| {
        let (acceptor, connection) = (acceptor.clone(), tls.clone());
        async move {
            let stream = acceptor.accept(stream).await?;
            connection(stream, options).await
        }
    });
}

/// Accepts connections on a free port of 127.0.0.1, which it prints, and gives each to `connection`
/// as a task of a runtime of one thread.
///
/// The tasks are `unconstrained`, as the examples of fastwebsockets and tokio-websockets have it.
///
/// # Panics
///
/// Where the system has no runtime or no port.
pub fn serve<F, R>(connection: F)
where
    F: Fn(TcpStream, Options) -> R,
    R: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let options = Options::from_arguments();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("listening on {}", listener.local_addr().expect("its port"));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let _ = stream.set_nodelay(true);
            let task = connection(stream, options);
            tokio::spawn(tokio::task::unconstrained(async move {
                let _ = task.await;
            }));
        }
    });
}

/// The echo of the libraries that are a `Stream` and a `Sink`. `is_data` is false for what they
/// answer by themselves.
///
/// # Errors
///
/// What the stream or the sink says.
pub async fn echo<S, M, E>(
    mut socket: S,
    batch: bool,
    is_data: impl Fn(&M) -> bool,
) -> Result<(), Failure>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut messages = Vec::new();
    while let Some(message) = socket.next().await {
        if !batch {
            let message = message?;
            if is_data(&message) {
                socket.send(message).await?;
            }
            continue;
        }
        messages.push(message?);
        // Reading first and writing then: some flush what was fed when they are read from.
        while messages.len() < BATCH
            && let Some(Some(message)) = at_once(socket.next()).await
        {
            messages.push(message?);
        }
        for message in messages.drain(..).filter(&is_data) {
            socket.feed(message).await?;
        }
        socket.flush().await?;
    }
    Ok(())
}

/// What the future is ready with now; None, and the future dropped, where it is not.
///
/// For futures that lose nothing when they are dropped, such as `next()`.
pub async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
