//! JSON in and out of plain requests, typed by serde.

use std::format;

use serde::{Deserialize, Serialize};

use super::into_response::IntoResponse;
use super::reject::Reject;
use super::request::Request;
use super::response::HttpResponse;

/// A value that a handler returns as JSON: 200 with `application/json`. One that can't be JSON, such
/// as a map with keys that aren't text, is a 500.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use sockeye::server::Server;
/// use sockeye::server::http::Json;
///
/// #[derive(Deserialize)]
/// struct Order {
///     fish: String,
///     count: u32,
/// }
///
/// #[derive(Serialize)]
/// struct Receipt {
///     price: u32,
/// }
///
/// let server = Server::builder().post("/orders", |request| {
///     let order: Order = request.json()?;
///     println!("{} {}", order.count, order.fish);
///     Ok(Json(Receipt { price: 3 * order.count }))
/// });
/// # let _ = server;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> HttpResponse {
        match serde_json::to_string(&self.0) {
            Ok(text) => HttpResponse::json(text),
            Err(_) => HttpResponse::text("the response can't be written as JSON").with_status(500),
        }
    }
}

impl<'a> Request<'a> {
    /// Reads the body as JSON; the value may borrow from it.
    ///
    /// # Errors
    /// 415 if the `Content-Type` is neither `application/json` nor one that ends in `+json`, 400
    /// with what is wrong if the body isn't JSON or has another shape. A body over
    /// [`max_body`](crate::server::Builder::max_body) is refused with 413 before.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T, Reject> {
        if !self.media_type().is_some_and(is_json) {
            let text = "the body must be JSON, and its Content-Type application/json";
            return Err(Reject::new(415, text));
        }
        serde_json::from_slice(self.body())
            .map_err(|error| Reject::new(400, format!("the body can't be read: {error}")))
    }
}

/// RFC 6839 section 3.1: the suffix of types that are JSON.
fn is_json(media_type: &str) -> bool {
    let suffix = media_type.get(media_type.len().saturating_sub(5)..);
    media_type.eq_ignore_ascii_case("application/json")
        || suffix.is_some_and(|it| it.eq_ignore_ascii_case("+json"))
}

impl Reject {
    /// Refuses with a status, 400 to 599 as a rule, and a value as JSON.
    ///
    /// ```
    /// use sockeye::server::Reject;
    ///
    /// let reject = Reject::json(409, &serde_json::json!({ "error": "taken", "name": "ann" }));
    /// assert_eq!(reject.status(), 409);
    /// ```
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        let response = Json(value).into_response();
        match response.status {
            200 => response.with_status(status).into(),
            _ => response.into(),
        }
    }
}
