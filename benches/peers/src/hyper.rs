//! The server of hyper, for those whose opening handshake goes through it.

use std::future::Future;
use std::io;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Failure, Options, serve_either};

/// Serves with `upgrade`, which answers the request and returns what then runs on the connection.
///
/// # Panics
///
/// As [`serve_either`] does.
pub fn serve_upgrades<U, R>(upgrade: U)
where
    U: Fn(Request<Incoming>, Options) -> Result<(Response<Empty<Bytes>>, R), Failure>
        + Clone
        + Send
        + 'static,
    R: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let tls = upgrade.clone();
    serve_either(
        move |stream, options| connection(stream, options, upgrade.clone()),
        move |stream, options| connection(stream, options, tls.clone()),
    );
}

async fn connection<S, U, R>(stream: S, options: Options, upgrade: U) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    U: Fn(Request<Incoming>, Options) -> Result<(Response<Empty<Bytes>>, R), Failure>,
    R: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let upgraded = upgrade(request, options).map(|(response, connection)| {
            tokio::spawn(tokio::task::unconstrained(async move {
                let _ = connection.await;
            }));
            response
        });
        std::future::ready(upgraded.map_err(io::Error::other))
    });
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await?;
    Ok(())
}
