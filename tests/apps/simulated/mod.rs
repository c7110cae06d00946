//! The applications in simulation: what neither a socket nor the program around counts for.

#[path = "../../../examples/common/mod.rs"]
mod common;
mod rooms;
mod sessions;
mod topics;

use serde_json::Value;
use sockeye::server::testing::{Client, Request, Response, Simulation};

use super::Peer;

#[track_caller]
fn connect(server: &Simulation, target: &str) -> Peer<Client> {
    open(server.request(target))
}

#[track_caller]
fn open(request: Request) -> Peer<Client> {
    let client = request.connect();
    let client = client.unwrap_or_else(|error| panic!("{error}"));
    Peer { client }
}

fn json_of(response: &Response) -> Value {
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    response.json()
}

impl Peer<Client> {
    /// The data of the next message, which acknowledges this id.
    #[track_caller]
    fn expect_ack(&mut self, id: u64) -> Value {
        let mut message = self.next();
        assert_eq!(message["ack"], id, "{message}");
        assert_eq!(message.get("error"), None, "{message}");
        message["data"].take()
    }

    /// The code and reason of the Close, before which nothing comes.
    #[track_caller]
    fn refused(&mut self) -> (u16, String) {
        self.client.expect_nothing();
        self.closed()
    }
}
