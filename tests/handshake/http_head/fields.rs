//! Lines and fields: their ends, names and values.

use super::*;

// H14

#[test]
fn folded_lines_are_refused_at_their_first_byte() {
    refused_at_last("GET / HTTP/1.1\r\na: b\r\n ", HttpError::ObsFold);
    refused_at_last("GET / HTTP/1.1\r\na: b\r\n\t", HttpError::ObsFold);
    refused_at_last("GET / HTTP/1.1\r\n ", HttpError::ObsFold);
}

#[test]
fn lines_end_in_cr_lf_and_nothing_else() {
    for bytes in [
        "GET / HTTP/1.1\r\na: b\n",
        "GET / HTTP/1.1\r\na:\n",
        "GET / HTTP/1.1\r\na\n",
        "GET / HTTP/1.1\r\na: b\r\n\n",
        "GET / HTTP/1.1\r\n\n",
        "GET / HTTP/1.1\n",
    ] {
        refused_at_last(bytes, HttpError::BareLf);
    }
    for bytes in [
        "GET / HTTP/1.1\r\na: b\rc",
        "GET / HTTP/1.1\r\na: b\r\r",
        "GET / HTTP/1.1\r\n\rx",
        "GET / HTTP/1.1\r\n\r\r",
        "GET / HTTP/1.1\r\r",
        "GET / HTTP/1.1\r\na:\rb",
    ] {
        refused_at_last(bytes, HttpError::BareCr);
    }
}

#[test]
fn white_space_in_or_behind_a_name_is_refused() {
    for line in ["a ", "a\t", "Ho "] {
        let bytes = format!("GET / HTTP/1.1\r\n{line}");
        refused_at_last(bytes, HttpError::SpaceBeforeColon);
    }
}

#[test]
fn names_are_tokens_and_not_empty() {
    for line in [
        &b":"[..],
        b"a\0",
        b"a(",
        b"a\x7f",
        b"\xc3",
        b"a\xff",
        b"a/",
        b"\"",
        b"a@",
    ] {
        let bytes = [b"GET / HTTP/1.1\r\n", line].concat();
        refused_at_last(bytes, HttpError::HeaderName);
    }
    refused_at_last("GET / HTTP/1.1\r\nabc\r", HttpError::MissingColon);
    for byte in 0..=255u8 {
        let accepted = matches!(
            request(with_lines([byte, b':', b'\r', b'\n'])),
            Outcome::Request { .. }
        );
        assert_eq!(accepted, is_token(&[byte]), "{byte:#x}");
    }
    assert!(!is_token(b"") && is_token(b"a-b") && !is_token(b"a b"));
}

#[test]
fn control_bytes_in_values_are_refused_at_once() {
    for byte in (0..0x20).chain([0x7f]) {
        for start in ["a: ", "a:", "a: b", "a: 0123456789abcdef"] {
            let bytes = [b"GET / HTTP/1.1\r\n", start.as_bytes(), &[byte]].concat();
            match byte {
                b'\t' | b'\r' => assert_eq!(request(bytes), Outcome::Incomplete),
                b'\n' => refused_at_last(bytes, HttpError::BareLf),
                _ => refused_at_last(bytes, HttpError::HeaderValue),
            }
        }
    }
}

#[test]
fn a_tab_within_a_value_is_kept() {
    assert_eq!(headers_of(with_lines("a: b\tc\r\n"))[0].1, b"b\tc");
}

#[test]
fn values_are_trimmed_of_spaces_and_tabs_only() {
    for (line, value) in [
        ("a:b", &b"b"[..]),
        ("a: b", b"b"),
        ("a:\t b c \t", b"b c"),
        ("a:", b""),
        ("a: \t ", b""),
        ("a: :", b":"),
        ("a: 0123456 9abcdef         ", b"0123456 9abcdef"),
        ("a: \u{a0}b", b"\xc2\xa0b"),
    ] {
        let headers = headers_of(with_lines(format!("{line}\r\n")));
        assert_eq!(headers, [("a".to_owned(), value.to_vec())], "{line:?}");
    }
}

#[test]
fn one_empty_line_before_a_request_is_skipped_and_no_more() {
    let bytes = format!("\r\n{BROWSER}");
    assert!(matches!(request(&bytes), Outcome::Request { length, .. } if length == bytes.len()));
    refused_at_last("\r\n\r", HttpError::RequestLine);
    refused_at_last("\n", HttpError::BareLf);
    refused_at_last("\r\n\n", HttpError::BareLf);
    refused_at_last("\rG", HttpError::BareCr);
    refused_at_last("\r\n ", HttpError::RequestLine);
    assert_eq!(
        response(format!("\r\n{SWITCHING}")),
        Outcome::Failed(HttpError::Version)
    );
}

// H15

#[test]
fn bytes_above_0x7f_in_values_are_kept_as_bytes() {
    let bytes = with_lines(b"Cookie: a=\xff\x80\xc3\xa9\r\nX: \xc3\r\n");
    let headers = headers_of(bytes);
    assert_eq!(headers[0].1, b"a=\xff\x80\xc3\xa9");
    assert_eq!(headers[1].1, b"\xc3");
}
