//! The opening handshake (RFC 6455 section 4), both roles, on byte slices.
//!
//! [`ServerHandshake`] and [`ClientHandshake`] own the bytes of a head that is not complete and end
//! in a [`Connection`](super::Connection). HTTP's own grammar is in [`http`](super::http).

mod check;
mod client;
mod confirm;
mod error;
mod foreign;
mod head;
mod header;
mod origin;
mod partial;
mod refusal;
mod refused;
mod request;
mod response;
mod server;
mod upgrade;

pub use check::RequestError;
pub use client::{ClientHandshake, ClientRequest};
pub use confirm::{ResponseError, ResponseFault};
pub use error::HandshakeError;
pub use foreign::Foreign;
pub use header::accept_key;
pub use origin::Origins;
pub use partial::PartialRequest;
pub use refused::{Refused, Unanswered};
pub use request::{Request, percent_decode, query_params};
pub use response::Response;
pub use server::{PlainRequest, ReadBody, Received, Responded, ServerHandshake};
pub use upgrade::{Accept, Upgrade};
