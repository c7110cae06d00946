//! The request line: method, target and version.

use super::*;

// H2

#[test]
fn a_method_is_any_token_and_keeps_its_case() {
    for name in ["GET", "get", "POST", "HEAD", "M-SEARCH", "!#$%&'*+-.^_`|~"] {
        let Outcome::Request { method, .. } = request(format!("{name} / HTTP/1.1\r\n\r\n")) else {
            panic!("{name}")
        };
        assert_eq!(method, name);
    }
}

#[test]
fn a_method_that_is_no_token_fails_at_its_first_bad_byte() {
    for bytes in [
        &b"\0"[..],
        b"GE\x7f",
        b"G(",
        b"G\xc3",
        b"\t",
        b"{",
        b"GET\t",
    ] {
        refused_at_last(bytes, HttpError::Method);
    }
    refused_at_last(b" ", HttpError::RequestLine);
    refused_at_last(b"\n", HttpError::BareLf);
    refused_at_last(b"GET\n", HttpError::BareLf);
}

#[test]
fn a_tls_client_hello_fails_at_its_first_byte() {
    refused_at_last(b"\x16", HttpError::Method);
    refused(
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        HttpError::Method,
        400,
    );
}

#[test]
fn a_major_version_other_than_1_is_505() {
    for version in ["2.0", "3.0", "0.9", "9.9", "0.0"] {
        let line = format!("GET / HTTP/{version}");
        refused_at_last(&line, HttpError::UnsupportedVersion);
        refused(line, HttpError::UnsupportedVersion, 505);
    }
    refused(
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        HttpError::UnsupportedVersion,
        505,
    );
    assert_eq!(
        response("HTTP/2.0 200 OK\r\n\r\n"),
        Outcome::Failed(HttpError::UnsupportedVersion)
    );
}

#[test]
fn a_malformed_version_is_400_at_the_byte_that_shows_it() {
    for line in [
        "GET / h",
        "GET / HTTP/1,",
        "GET / HTTP/11",
        "GET / HTTP/x",
        "GET / HTTP/1.x",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.10",
        "GET / HTTP/2\r",
        "GET / HTTPS",
        "GET / x",
    ] {
        refused_at_last(line, HttpError::Version);
        refused(line, HttpError::Version, 400);
    }
}

#[test]
fn minor_versions_of_1_above_1_are_treated_as_1_1() {
    for (minor, version) in [
        ('0', Version::Http10),
        ('1', Version::Http11),
        ('2', Version::Http11),
        ('9', Version::Http11),
    ] {
        assert_eq!(version_of(format!("GET / HTTP/1.{minor}\r\n\r\n")), version);
    }
    assert!(Version::Http10 < Version::Http11);
}

#[test]
fn a_request_line_is_three_parts_with_single_spaces() {
    for line in [
        "GET\r",
        "GET  ",
        "GET \r",
        "GET /\r",
        "GET /  ",
        "GET / \r",
        "GET / \rx",
    ] {
        refused(line, HttpError::RequestLine, 400);
    }
    refused_at_last("GET / HTTP/1.1\n", HttpError::BareLf);
    refused_at_last("GET / HTTP/1.1\rx", HttpError::BareCr);
    refused_at_last("GET /\n", HttpError::BareLf);
    refused_at_last("GET / \n", HttpError::BareLf);
}

// H3, H4

#[test]
fn every_form_of_target_is_returned_as_sent() {
    for target in [
        "/",
        "/chat",
        "http://host/chat",
        "http://host?x",
        "*",
        "host:80",
        "//x",
        "?",
        "/%00%zz",
    ] {
        assert_eq!(target_of(format!("GET {target} HTTP/1.1\r\n\r\n")), target);
        assert!(is_request_target(target.as_bytes()));
    }
}

#[test]
fn what_browsers_send_raw_in_path_and_query_is_accepted() {
    for target in ["/a[1]|b", "/?q={a}[b]|c^d`e'f\\g", "/?a?b", "/{x}^`'"] {
        assert_eq!(target_of(format!("GET {target} HTTP/1.1\r\n\r\n")), target);
    }
}

#[test]
fn bytes_that_no_target_has_fail_at_once() {
    for target in [
        &b"/\0"[..],
        b"/\x01",
        b"/a\x7f",
        b"/\x80",
        b"/\xc3",
        b"/#",
        b"/chat#",
        b"/?a#",
        b"/\"",
        b"/<",
        b"/?>",
        b"/\t",
        b"/a\\",
        b"#",
    ] {
        refused_at_last([b"GET ", target].concat(), HttpError::Target);
        assert!(!is_request_target(target));
    }
    assert!(!is_request_target(b"") && !is_request_target(b"/ "));
}

#[test]
fn every_byte_is_in_or_out_of_targets_alike_in_both_checks() {
    for prefix in ["/", "/?"] {
        for byte in 0..=255u8 {
            let target = [prefix.as_bytes(), &[byte]].concat();
            let bytes = [b"GET ", &target[..], b" HTTP/1.1\r\n\r\n"].concat();
            let accepted = matches!(request(bytes), Outcome::Request { .. });
            assert_eq!(accepted, is_request_target(&target), "{prefix} {byte:#x}");
        }
    }
}

#[test]
fn a_target_over_its_limit_is_414_at_the_byte_over_it() {
    for start in ["/", "/?"] {
        let longest = format!("{start:x<8192}");
        assert_eq!(
            target_of(format!("GET {longest} HTTP/1.1\r\n\r\n")),
            longest
        );
        refused_at_last(format!("GET {longest}x"), HttpError::TargetTooLong);
        refused(
            format!("GET {longest}? HTTP/1.1\r\n\r\n"),
            HttpError::TargetTooLong,
            414,
        );
        // What stands at the limit is judged first.
        refused_at_last(format!("GET {longest}#"), HttpError::Target);
    }
    let limits = HeadLimits {
        max_target: 0,
        ..HeadLimits::default()
    };
    assert_eq!(
        parsed_with(HeadParser::request, limits, b"GET /"),
        Outcome::Failed(HttpError::TargetTooLong)
    );
}
