//! yawc, with the buffers of the benchmarks in its documentation, and with text checked, which it
//! leaves out unless it is asked. Batched by `feed` and `flush`, as these benchmarks are.

use futures_util::StreamExt;
use sockeye_peers::echo;
use sockeye_peers::hyper::serve_upgrades;
use yawc::{Frame, OpCode, Options, WebSocket, WebSocketError};

/// The longest message, as all others have it.
const LONGEST: usize = 64 * 1024 * 1024;

fn main() {
    serve_upgrades(|request, options| {
        let settings = Options::default()
            .with_limits(LONGEST, LONGEST)
            .with_read_buffer_capacity(128 * 1024)
            .with_backpressure_boundary(64 * 1024)
            .with_utf8();
        let (response, upgraded) = WebSocket::upgrade_with_options(request, settings)?;
        let connection = async move {
            let socket = upgraded.await?;
            let is_data = |frame: &Frame| matches!(frame.opcode(), OpCode::Text | OpCode::Binary);
            echo(socket.map(Ok::<_, WebSocketError>), options.batch, is_data).await
        };
        Ok((response, connection))
    });
}
