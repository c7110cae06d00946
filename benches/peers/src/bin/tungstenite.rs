//! tokio-tungstenite, as its examples have it; batched by `feed` and `flush`.

use sockeye_peers::{echo, serve};
use tungstenite::Message;

fn main() {
    serve(|stream, options| async move {
        let socket = tokio_tungstenite::accept_async(stream).await?;
        let is_data = |message: &Message| message.is_text() || message.is_binary();
        echo(socket, options.batch, is_data).await
    });
}
