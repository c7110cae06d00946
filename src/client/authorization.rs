//! User info in URLs, as credentials (RFC 3986 section 3.2.1, RFC 7617).

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::proto::percent_decode;

/// A user's name and password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl Credentials {
    /// RFC 7617 section 2.
    pub(super) fn basic(&self) -> String {
        let Self { user, password } = self;
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Takes the user info out of a URL; returns the URL without it. None if it has none.
pub(super) fn take_user_info(url: &str) -> (Cow<'_, str>, Option<Credentials>) {
    let none = (Cow::Borrowed(url), None);
    let Some(start) = url.find("://").map(|at| at + "://".len()) else {
        return none;
    };
    let rest = &url[start..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some(at) = rest[..end].rfind('@') else {
        return none;
    };
    let (user, password) = rest[..at].split_once(':').unwrap_or((&rest[..at], ""));
    let credentials = Credentials {
        user: percent_decode(user).into_owned(),
        password: percent_decode(password).into_owned(),
    };
    let without = format!("{}{}", &url[..start], &rest[at + 1..]);
    (without.into(), Some(credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_is_taken_out_of_the_authority_and_of_nothing_else() {
        for (url, without, user, password) in [
            ("ws://me:secret@host/a", "ws://host/a", "me", "secret"),
            ("ws://me@[::1]:80?b", "ws://[::1]:80?b", "me", ""),
            ("ws://a%40b:c%3Ad@host", "ws://host", "a@b", "c:d"),
            ("ws://a@b:c@host/", "ws://host/", "a@b", "c"),
            ("ws://:only@host/@x", "ws://host/@x", "", "only"),
        ] {
            let (rest, credentials) = take_user_info(url);
            let credentials = credentials.unwrap();
            assert_eq!(rest, without);
            assert_eq!(
                (&*credentials.user, &*credentials.password),
                (user, password)
            );
        }
        for url in ["ws://host/a@b", "ws://host?a@b", "host"] {
            assert_eq!(take_user_info(url), (url.into(), None));
        }
    }

    #[test]
    fn they_are_sent_as_rfc_7617_says() {
        let credentials = Credentials {
            user: "Aladdin".into(),
            password: "open sesame".into(),
        };
        assert_eq!(credentials.basic(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{credentials:?}").contains("sesame"));
    }
}
