//! Plain HTTP as an application sees it: requests, responses, and the handlers of a path.
//!
//! Owns these types and the choice of a handler by method. Leaves the grammar, bodies and
//! keep-alive to the core, and the choice of a path to the [router](super::route).

mod answer;
mod cookie;
mod cors;
mod date;
#[cfg(feature = "files")]
mod files;
mod into_response;
#[cfg(feature = "json")]
mod json;
mod methods;
mod param;
mod reject;
mod request;
mod response;
mod stored_request;

pub use self::answer::Reply;
pub(super) use self::answer::{Answer, Giver, Slot};
pub use self::cookie::{Cookie, CookieError, SameSite};
pub use self::cors::Cors;
pub(super) use self::date::Date;
#[cfg(feature = "files")]
pub use self::files::Files;
pub use self::into_response::IntoResponse;
#[cfg(feature = "json")]
pub use self::json::Json;
pub use self::methods::Methods;
pub(super) use self::param::Reads;
pub use self::param::{OptionalParam, Param, Parameter};
pub use self::reject::Reject;
pub use self::request::Request;
pub use self::response::HttpResponse;
pub use self::stored_request::StoredRequest;
