//! soketto, on the buffers that its example `hyper_server` has. Batched, they are flushed when no
//! further message has arrived.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_util::io::{BufReader, BufWriter};
use sockeye_peers::serve;
use soketto::handshake::Server;
use soketto::handshake::server::Response;
use tokio_util::compat::TokioAsyncReadCompatExt;

fn main() {
    serve(|stream, options| async move {
        let mut server = Server::new(BufReader::new(BufWriter::new(stream.compat())));
        let key = server.receive_request().await?.key();
        let protocol = None;
        let accept = Response::Accept { key, protocol };
        server.send_response(&accept).await?;
        let (mut sender, mut receiver) = server.into_builder().finish();
        let mut message = Vec::new();
        loop {
            message.clear();
            let data = {
                // It must not be dropped before it is ready.
                let mut receiving = pin!(receiver.receive_data(&mut message));
                let first = poll_fn(|context| Poll::Ready(receiving.as_mut().poll(context)));
                match first.await {
                    Poll::Ready(data) => data,
                    Poll::Pending => {
                        // Nothing waits where each reply was flushed.
                        sender.flush().await?;
                        receiving.await
                    }
                }
            }?;
            match data.is_text() {
                true => sender.send_text(std::str::from_utf8(&message)?).await?,
                false => sender.send_binary_mut(&mut message).await?,
            }
            if !options.batch {
                sender.flush().await?;
            }
        }
    });
}
