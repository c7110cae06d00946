//! tokio-websockets, as its example `echo_server` has it: frames as long as their messages. Its
//! messages are limited here, as all others' are. Batched by `feed` and `flush`.

use sockeye_peers::{Failure, Options, echo, serve_either};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_websockets::{Config, Message, ServerBuilder};

fn main() {
    serve_either(connection, connection);
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    options: Options,
) -> Result<(), Failure> {
    let (_, socket) = ServerBuilder::new()
        .config(Config::default().frame_size(usize::MAX))
        .accept(stream)
        .await?;
    let is_data = |message: &Message| message.is_text() || message.is_binary();
    echo(socket, options.batch, is_data).await
}
