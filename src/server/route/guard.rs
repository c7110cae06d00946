//! Who may connect.

use crate::server::http::{Reject, Request};

/// Checks a request before the handler sees it, and refuses it or lets it pass.
///
/// Every function from a request to a `Result<(), Reject>` is a guard, and so is
/// [`Origins`](crate::proto::Origins). The server's guards run before the route's, each in the
/// order in which they were added; the first refusal decides.
pub trait Guard: Send + Sync + 'static {
    /// Lets the request pass, or returns the response that refuses it.
    ///
    /// # Errors
    /// The response that refuses the request.
    fn check(&self, request: &Request<'_>) -> Result<(), Reject>;
}

impl<F> Guard for F
where
    F: Fn(&Request<'_>) -> Result<(), Reject> + Send + Sync + 'static,
{
    fn check(&self, request: &Request<'_>) -> Result<(), Reject> {
        self(request)
    }
}

impl Guard for crate::proto::Origins {
    fn check(&self, request: &Request<'_>) -> Result<(), Reject> {
        match self.allow(request.as_ref()) {
            true => Ok(()),
            false => Err(Reject::new(403, "this origin is not allowed")),
        }
    }
}
