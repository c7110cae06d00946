//! tokio-websockets, as its example `echo_server` has it: frames as long as their messages. Its
//! messages are limited here, as all others' are. Batched by `feed` and `flush`.

use sockeye_peers::{echo, serve};
use tokio_websockets::{Config, Message, ServerBuilder};

fn main() {
    serve(|stream, options| async move {
        let (_, socket) = ServerBuilder::new()
            .config(Config::default().frame_size(usize::MAX))
            .accept(stream)
            .await?;
        let is_data = |message: &Message| message.is_text() || message.is_binary();
        echo(socket, options.batch, is_data).await
    });
}
