//! Heads of responses.

use super::*;

#[test]
fn a_reason_may_be_empty_and_its_space_missing() {
    for (line, expected) in [
        ("HTTP/1.1 101 Switching", &b"Switching"[..]),
        ("HTTP/1.1 101 ", b""),
        ("HTTP/1.1 101", b""),
        ("HTTP/1.1 101  two\tspaces ", b" two\tspaces "),
        ("HTTP/1.1 101 \u{e9}", b"\xc3\xa9"),
    ] {
        let Outcome::Response { status, reason, .. } = response(format!("{line}\r\n\r\n")) else {
            panic!("{line}")
        };
        assert_eq!((status, &reason[..]), (101, expected), "{line:?}");
    }
}

#[test]
fn a_status_is_three_digits_from_100_on() {
    for status in [100u16, 101, 200, 404, 599, 999] {
        let parsed = response(format!("HTTP/1.1 {status} x\r\n\r\n"));
        assert!(matches!(parsed, Outcome::Response { status: s, .. } if s == status));
    }
    for line in [
        "HTTP/1.1 1010",
        "HTTP/1.1 10 ",
        "HTTP/1.1 10\r",
        "HTTP/1.1 0",
        "HTTP/1.1  ",
        "HTTP/1.1 1x",
        "HTTP/1.1 +",
        "HTTP/1.1 -",
        "HTTP/1.1 101x",
        "HTTP/1.1 101\t",
        "HTTP/1.1\r",
        "HTTP/1.10",
        "HTTP/1.1 200 a\0",
        "HTTP/1.1 200 \x7f",
    ] {
        let (before, _) = line.split_at(line.len() - 1);
        assert_eq!(response(before), Outcome::Incomplete, "{line:?}");
        assert_eq!(
            response(line),
            Outcome::Failed(HttpError::StatusLine),
            "{line:?}"
        );
    }
}

#[test]
fn what_is_no_http_response_fails_at_its_first_byte() {
    for line in ["\x16", "<", "h", " ", "\r"] {
        assert_eq!(response(line), Outcome::Failed(HttpError::Version));
    }
    for (line, error) in [
        ("\n", HttpError::BareLf),
        ("HTTP/1.1\n", HttpError::BareLf),
        ("HTTP/1.1 200\n", HttpError::BareLf),
        ("HTTP/1.1 200 \n", HttpError::BareLf),
        ("HTTP/1.1 200\rx", HttpError::BareCr),
        ("HTTP/1.1 200 OK\rx", HttpError::BareCr),
    ] {
        assert_eq!(response(line), Outcome::Failed(error), "{line:?}");
    }
}
