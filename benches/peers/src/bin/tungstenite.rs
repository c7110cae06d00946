//! tokio-tungstenite, as its examples have it; batched by `feed` and `flush`.

use sockeye_peers::{Failure, Options, echo, serve_either};
use tokio::io::{AsyncRead, AsyncWrite};
use tungstenite::Message;

fn main() {
    serve_either(connection, connection);
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    options: Options,
) -> Result<(), Failure> {
    let socket = tokio_tungstenite::accept_async(stream).await?;
    let is_data = |message: &Message| message.is_text() || message.is_binary();
    echo(socket, options.batch, is_data).await
}
