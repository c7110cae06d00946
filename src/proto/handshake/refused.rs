//! A request that was refused, by the handshake itself or because the response can't be sent.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::check::RequestError;
use super::error::HandshakeError;
use super::head::HeadReader;
use super::partial::PartialRequest;
use super::response::Response;
use crate::proto::config::Config;
use crate::proto::misuse::Misuse;
use crate::proto::teardown::{Linger, Teardown};

/// The handshake refused a request: it was malformed, over a limit or late. The response is in the
/// `out` of the call that failed: write it, then follow [`into_linger`](Self::into_linger).
///
/// `Display` and `source` are those of its [error](Self::error).
pub struct Refused(Box<Inner>);

struct Inner {
    error: HandshakeError,
    head: HeadReader,
    linger: Linger,
}

impl Refused {
    /// The only place that responds to a malformed request.
    #[cold]
    pub(super) fn new(
        error: HandshakeError,
        head: HeadReader,
        config: &Config,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Self {
        let silent = matches!(error, HandshakeError::Timeout { .. }) && head.is_empty();
        if !silent {
            let text = error.to_string();
            let allow = [("Allow", "GET")];
            let response = Response {
                status: error.status().unwrap_or(400),
                // RFC 9110 section 15.5.6: 405 requires Allow.
                headers: match error {
                    HandshakeError::Request(RequestError::Method) => &allow,
                    _ => &[],
                },
                body: text.as_bytes(),
            };
            let head_only = head.request().is_some_and(|it| it.method == "HEAD");
            response.write(false, head_only, out);
        }
        let linger = Linger::new(Teardown::HalfClose, now, config.close_timeout);
        Self(Box::new(Inner {
            error,
            head,
            linger,
        }))
    }

    /// Why it was refused.
    #[must_use]
    pub fn error(&self) -> &HandshakeError {
        &self.0.error
    }

    /// The request, as far as it was read.
    #[must_use]
    pub fn request(&self) -> PartialRequest<'_> {
        PartialRequest::of(&self.0.head)
    }

    /// What remains to be done with the transport: [`Teardown::HalfClose`].
    #[must_use]
    pub fn teardown(&self) -> Teardown {
        self.0.linger.teardown()
    }

    /// Follows the transport to its end.
    #[must_use]
    pub fn into_linger(self) -> Linger {
        self.0.linger
    }

    /// The error alone, if the transport is dropped.
    #[must_use]
    pub fn into_error(self) -> HandshakeError {
        self.0.error
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("error", &self.0.error)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl core::error::Error for Refused {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.0.error.source()
    }
}

impl From<Refused> for HandshakeError {
    fn from(refused: Refused) -> Self {
        refused.into_error()
    }
}

/// A request whose response can't be sent. Nothing was appended: another response can still be
/// sent.
///
/// `Display` and `source` are those of its [misuse](Self::misuse).
pub struct Unanswered<R>(Box<(R, Misuse)>);

impl<R> Unanswered<R> {
    #[cold]
    pub(super) fn new(request: R, misuse: Misuse) -> Self {
        Self(Box::new((request, misuse)))
    }

    /// What is wrong with the response.
    #[must_use]
    pub fn misuse(&self) -> &Misuse {
        &self.0.1
    }

    /// The request, to send another response.
    #[must_use]
    pub fn into_request(self) -> R {
        self.0.0
    }

    /// What is wrong with the response; drops the request.
    #[must_use]
    pub fn into_misuse(self) -> Misuse {
        self.0.1
    }
}

impl<R> fmt::Debug for Unanswered<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unanswered")
            .field("misuse", self.misuse())
            .finish_non_exhaustive()
    }
}

impl<R> fmt::Display for Unanswered<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.misuse().fmt(f)
    }
}

impl<R> core::error::Error for Unanswered<R> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.misuse().source()
    }
}

impl<R> From<Unanswered<R>> for Misuse {
    fn from(unanswered: Unanswered<R>) -> Self {
        unanswered.into_misuse()
    }
}
