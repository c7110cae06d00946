//! Plain HTTP as an application sees it: requests, responses, and the handlers of a path.
//!
//! Owns these types and the choice of a handler by method. Leaves the grammar, bodies and
//! keep-alive to the core, and the choice of a path to the [router](super::route).

mod answer;
mod methods;
mod reject;
mod request;
mod response;
mod stored_request;

pub use self::answer::Reply;
pub(super) use self::answer::{Answer, Giver, Slot};
pub use self::methods::{HttpHandler, Methods};
pub use self::reject::Reject;
pub use self::request::Request;
pub use self::response::HttpResponse;
pub use self::stored_request::StoredRequest;
