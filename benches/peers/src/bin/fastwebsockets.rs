//! fastwebsockets, as its example `echo_server` has it. It has no batching of its own; batched, its
//! stream is buffered, which its `flush` is documented for.

use fastwebsockets::upgrade::upgrade;
use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket};
use sockeye_peers::Failure;
use sockeye_peers::corked::Corked;
use sockeye_peers::hyper::serve_upgrades;
use tokio::io::{AsyncRead, AsyncWrite};

fn main() {
    serve_upgrades(|mut request, options| {
        let (response, upgraded) = upgrade(&mut request)?;
        let connection = async move {
            let socket = upgraded.await?;
            match options.batch {
                true => {
                    let corked = Corked::new(socket.into_inner());
                    echo(WebSocket::after_handshake(corked, Role::Server)).await
                }
                false => echo(socket).await,
            }
        };
        Ok((response, connection))
    });
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(socket: WebSocket<S>) -> Result<(), Failure> {
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}
