//! What a handler of plain requests may return.

use alloc::string::String;

use super::reject::Reject;
use super::response::HttpResponse;

/// A value that is a response: what a handler of plain requests returns.
///
/// A [`HttpResponse`] is one, and so are a text, a status alone (`404`), `()` for 204, a [`Reject`],
/// `Json` with the feature `json`, and a `Result` of any of these with a [`Reject`], so that a
/// handler uses `?`: on whatever converts into a `Reject`, an application's own error included.
///
/// ```
/// use sockeye::server::http::Methods;
/// use sockeye::server::{Reject, Server};
///
/// struct Unknown;
///
/// impl From<Unknown> for Reject {
///     fn from(_: Unknown) -> Self {
///         Reject::new(404, "nobody has this name")
///     }
/// }
///
/// fn greeting(name: &str) -> Result<String, Unknown> {
///     match name {
///         "ann" => Ok("Good morning".into()),
///         _ => Err(Unknown),
///     }
/// }
///
/// let server = Server::builder()
///     .get("/health", |_| "ok")
///     .get("/users/{name}", |request| {
///         let name: String = request.param_as("name")?;
///         Ok(greeting(&name)?)
///     });
/// # let _ = server;
/// ```
pub trait IntoResponse {
    /// Converts it into the response.
    fn into_response(self) -> HttpResponse;
}

impl IntoResponse for HttpResponse {
    fn into_response(self) -> HttpResponse {
        self
    }
}

/// The response of the refusal.
impl IntoResponse for Reject {
    fn into_response(self) -> HttpResponse {
        *self.response
    }
}

impl<T: IntoResponse> IntoResponse for Result<T, Reject> {
    fn into_response(self) -> HttpResponse {
        match self {
            Ok(value) => value.into_response(),
            Err(reject) => reject.into_response(),
        }
    }
}

/// 200 with plain text in UTF-8.
impl IntoResponse for String {
    fn into_response(self) -> HttpResponse {
        HttpResponse::text(self)
    }
}

/// 200 with plain text in UTF-8.
impl IntoResponse for &'static str {
    fn into_response(self) -> HttpResponse {
        HttpResponse::text(self)
    }
}

/// An empty response with this status.
impl IntoResponse for u16 {
    fn into_response(self) -> HttpResponse {
        HttpResponse::status(self)
    }
}

/// 204.
impl IntoResponse for () {
    fn into_response(self) -> HttpResponse {
        HttpResponse::status(204)
    }
}
