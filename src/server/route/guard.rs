//! Who may connect.

use crate::server::http::{Reject, Request};

/// Looks at a request before the handler does, and refuses it or lets it pass.
///
/// Each function from a request to a `Result<(), Reject>` is one; so is
/// [`Origins`](crate::proto::Origins). Guards of the server run before those of the route, each
/// in the order they were added; the first that refuses decides.
pub trait Guard: Send + Sync + 'static {
    /// Lets the request pass, or says how it is refused.
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
