//! Who may connect, and whose requests are answered.

use std::boxed::Box;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use crate::server::end::HandshakeFailure;
use crate::server::http::{Reject, Request};

/// Checks a request before the handler sees it, and refuses it or lets it pass.
///
/// Every function from a request to a `Result<(), Reject>` is a guard, and so is
/// [`Origins`](crate::proto::Origins). One guard serves WebSocket routes and plain requests;
/// [`Request::is_upgrade`] tells them apart. A guard of a plain request runs before the body is
/// read, which is empty for it.
///
/// Those of the [server](crate::server::Builder::guard) and of
/// [a part of its paths](crate::server::Builder::guard_under) run before those of the
/// [route](crate::server::Route::guard) or of the [methods](crate::server::http::Methods::guard),
/// each in the order in which they were added; the first refusal decides.
///
/// ```
/// use sockeye::server::{HttpResponse, Reject, Request, Server};
///
/// fn signed_in(request: &Request<'_>) -> Result<(), Reject> {
///     match request.cookie("session") {
///         Some("s3cret") => Ok(()),
///         _ => Err(Reject::new(401, "sign in first")),
///     }
/// }
///
/// let server = Server::builder()
///     .guard(signed_in)
///     .get("/rooms", |_| HttpResponse::json("[]"))
///     .methods("/health", |it| it.public().get(|_| HttpResponse::text("ok")));
/// # let _ = server;
/// ```
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
            false => {
                Err(Reject::new(403, "this origin is not allowed")
                    .counted_as(HandshakeFailure::Origin))
            }
        }
    }
}

/// The guards of one path.
#[derive(Default)]
pub(in crate::server) struct Guards {
    list: Vec<Arc<dyn Guard>>,
    /// Whether those of the server are left out.
    public: bool,
}

impl Guards {
    pub(in crate::server) fn add(&mut self, guard: impl Guard) {
        self.list.push(Arc::new(guard));
    }

    pub(in crate::server) fn set_public(&mut self) {
        self.public = true;
    }

    /// # Errors
    /// The first refusal.
    pub(in crate::server) fn check(&self, request: &Request<'_>) -> Result<(), Reject> {
        self.list.iter().try_for_each(|it| it.check(request))
    }
}

/// The guards of a server, in front of those of its paths.
#[derive(Default)]
pub(in crate::server) struct ServerGuards(Vec<ServerGuard>);

struct ServerGuard {
    /// The path that it is for, with all below it; empty for all paths.
    under: Box<str>,
    guard: Arc<dyn Guard>,
}

impl ServerGuards {
    pub(in crate::server) fn add(&mut self, under: &str, guard: impl Guard) {
        self.0.push(ServerGuard {
            under: under.into(),
            guard: Arc::new(guard),
        });
    }

    /// Puts those that are for this path in front of its own.
    pub(in crate::server) fn put_before(&self, own: &mut Guards, path: &str) {
        if !own.public {
            let mine = self.0.iter().filter(|it| it.is_for(path));
            own.list.splice(..0, mine.map(|it| Arc::clone(&it.guard)));
        }
    }

    /// Returns a path that a guard is for, although none of these is it or below it.
    pub(in crate::server) fn without_path<'p>(
        &self,
        paths: impl Iterator<Item = &'p String> + Clone,
    ) -> Option<&str> {
        let mut guards = self.0.iter().filter(|it| !it.under.is_empty());
        let idle = guards.find(|guard| !paths.clone().any(|it| guard.is_for(it)));
        idle.map(|it| &*it.under)
    }
}

impl ServerGuard {
    fn is_for(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&*self.under);
        rest.is_some_and(|it| it.is_empty() || it.starts_with('/') || self.under.ends_with('/'))
    }
}
