//! sockudo-ws, as its example `simple_echo` has it, on mimalloc, which it recommends. Batched by
//! `feed` and `flush`.

use bytes::{Buf, BytesMut};
use sockeye_peers::{Failure, echo, serve};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::{Config, Message, WebSocketStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn main() {
    sockudo_ws::init_clock();
    serve(|mut stream, options| async move {
        let mut head = BytesMut::with_capacity(4096);
        loop {
            if stream.read_buf(&mut head).await? == 0 {
                return Err(Failure::from("no request"));
            }
            if let Some((request, length)) = parse_request(&head)? {
                let accept = generate_accept_key(request.key);
                let response = build_response(&accept, None, None);
                stream.write_all(&response).await?;
                head.advance(length);
                break;
            }
        }
        let socket = WebSocketStream::server(stream, Config::default());
        let is_data = |message: &Message| matches!(message, Message::Text(_) | Message::Binary(_));
        echo(socket, options.batch, is_data).await
    });
}
