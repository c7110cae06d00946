//! wtx, as the benchmark that its documentation names has it. It has no batching.

use sockeye_peers::serve;
use wtx::collection::Vector;
use wtx::web_socket::{OpCode, WebSocketAcceptor, WebSocketPayloadOrigin};

fn main() {
    serve(|stream, _| async move {
        let mut socket = WebSocketAcceptor::default().accept(stream).await?;
        let (mut common, mut reader, mut writer) = socket.split_mut();
        let mut buffer = Vector::new();
        loop {
            let origin = WebSocketPayloadOrigin::Adaptive;
            let mut frame = reader.read_frame(&mut buffer, &mut common, origin).await?;
            match frame.op_code() {
                OpCode::Binary | OpCode::Text => {
                    writer.write_frame(&mut common, &mut frame).await?
                }
                OpCode::Close => return Ok(()),
                _ => {}
            }
        }
    });
}
