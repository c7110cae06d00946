//! Which web pages may connect (RFC 6455 section 10.2).

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;

use super::request::Request;

/// The origins that a server allows.
///
/// A browser sends the origin of the page that connects and no page can change it; so restricting
/// it keeps other sites' pages from using a visitor's cookies. It does not keep out other
/// programs, which send what they like, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// None allows every origin.
    allowed: Option<Vec<String>>,
    required: bool,
}

impl Origins {
    /// Every origin, and requests without one.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Allows only these origins, such as `https://example.com` or `https://example.com:8443`:
    /// scheme, host and port must all be the same; the scheme's default port may be left out.
    /// `null` allows pages that have no origin. A request without the header is allowed: it doesn't
    /// come from a browser.
    pub fn only<S: AsRef<str>>(origins: impl IntoIterator<Item = S>) -> Self {
        let allowed = origins.into_iter().map(|it| it.as_ref().to_owned());
        Self {
            allowed: Some(allowed.collect()),
            required: false,
        }
    }

    /// Also refuses requests without an origin.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Whether a request is allowed; respond to one that is not with 403.
    #[must_use]
    pub fn allow(&self, request: &Request<'_>) -> bool {
        match (request.origin(), &self.allowed) {
            (None, _) => !self.required,
            (Some(_), None) => true,
            (Some(origin), Some(allowed)) => allowed.iter().any(|it| same(it, origin)),
        }
    }
}

/// RFC 6454 section 5: the same scheme, host and port. Scheme and host compare without case.
fn same(a: &str, b: &str) -> bool {
    without_default_port(a).eq_ignore_ascii_case(without_default_port(b))
}

fn without_default_port(origin: &str) -> &str {
    let port = match origin.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => ":443",
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => ":80",
        _ => return origin,
    };
    origin.strip_suffix(port).unwrap_or(origin)
}
