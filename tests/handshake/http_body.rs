//! The body of a plain request (RFC 9112 sections 6 and 7), read alone: whole, byte by byte, and
//! at random places.

use harness::handshake::{Seeded, Text, cases, cuts, plain, random_cut};
use proptest::prelude::*;
use sockeye::error::HttpError;
use sockeye::proto::Input;
use sockeye::proto::http::{
    BodyReader, HeadLimits, HeadParser, Headers, Version, expects_continue, parse_request,
};

const LIMIT: usize = 1000;

fn post() -> Text {
    plain("POST /form HTTP/1.1")
}

fn chunked() -> Text {
    post().add("Transfer-Encoding", "chunked")
}

/// Calls `look` with the headers and version of a request's head.
fn with_head<R>(text: &Text, look: impl FnOnce(Headers<'_>, Version) -> R) -> R {
    let bytes = text.head();
    let mut parser = HeadParser::request(HeadLimits::default());
    let (head, _) = parse_request(&mut parser, &bytes).unwrap().unwrap();
    look(head.headers, head.version)
}

fn reader(text: &Text, limit: usize) -> Result<Option<BodyReader>, HttpError> {
    with_head(text, |headers, version| {
        BodyReader::new(headers, version, limit)
    })
}

/// What a reader makes of these pieces: the body and how many bytes it consumed, or None while it
/// is incomplete. Consumption is counted up to the answer.
fn read(
    mut reader: BodyReader,
    pieces: &[Vec<u8>],
    limit: usize,
) -> Result<Option<(Vec<u8>, usize)>, HttpError> {
    let mut consumed = 0;
    for piece in pieces {
        let mut piece = piece.clone();
        let mut input = Input::new(&mut piece);
        let complete = reader.recv(&mut input);
        assert!(reader.body().len() <= limit);
        consumed += input.consumed();
        match complete {
            Ok(true) => {
                assert_eq!(reader.recv(&mut input), Ok(true), "it stays");
                return Ok(Some((reader.into_body(), consumed)));
            }
            Ok(false) => assert!(input.is_empty()),
            Err(error) => {
                assert_eq!(reader.recv(&mut input), Err(error), "it sticks");
                assert_eq!(reader.recv(&mut Input::new(&mut [])), Err(error));
                return Err(error);
            }
        }
    }
    Ok(None)
}

/// Proves that the body behind this head is read the same however it is cut, and that the bytes
/// behind it stay.
#[track_caller]
fn body_is(head: &Text, bytes: impl AsRef<[u8]>, body: impl AsRef<[u8]>) {
    let (bytes, body) = (bytes.as_ref(), body.as_ref());
    let whole = bytes.len();
    for behind in [&b""[..], b"\r\n", b"GET / HTTP/1.1\r\n", b"0\r\n\r\n"] {
        for pieces in cuts(&[bytes, behind].concat()) {
            let reader = reader(head, LIMIT).unwrap().expect("a body");
            let read = read(reader, &pieces, LIMIT);
            assert_eq!(read, Ok(Some((body.to_vec(), whole))));
        }
    }
    // One byte less is not all.
    let reader = reader(head, LIMIT).unwrap().unwrap();
    let cut = read(reader, &[bytes[..whole - 1].to_vec()], LIMIT);
    assert_eq!(cut, Ok(None));
}

/// Proves that the body is refused at the last of these bytes, however they are cut, whatever
/// follows.
#[track_caller]
fn refused_at_end(bytes: impl AsRef<[u8]>, error: HttpError) {
    let bytes = bytes.as_ref();
    for behind in [&b""[..], b"\r\n0\r\n\r\n"] {
        for pieces in cuts(&[bytes, behind].concat()) {
            let reader = reader(&chunked(), LIMIT).unwrap().expect("a body");
            let result = read(reader, &pieces, LIMIT);
            assert_eq!(result, Err(error), "{}", bytes.escape_ascii());
        }
    }
    let reader = reader(&chunked(), LIMIT).unwrap().unwrap();
    let before = read(reader, &[bytes[..bytes.len() - 1].to_vec()], LIMIT);
    assert_eq!(before, Ok(None), "{}", bytes.escape_ascii());
}

/// Proves that the head alone is proof.
#[track_caller]
fn announced(text: &Text, error: HttpError, status: u16) {
    assert_eq!(reader(text, LIMIT).err(), Some(error));
    assert_eq!(error.status(), status);
}

cases! {
    a_length: body_is(&post().add("Content-Length", "5"), "hello", "hello");
    a_length_with_leading_zeros: body_is(&post().add("Content-Length", "005"), "hello", "hello");
    a_length_in_http_1_0: body_is(
        &post().start("POST / HTTP/1.0").add("Content-Length", "5"), "hello", "hello");
    a_length_of_a_get: body_is(
        &plain("GET / HTTP/1.1").add("Content-Length", "5"), "hello", "hello");
    a_length_of_exactly_the_limit: body_is(
        &post().add("Content-Length", "1000"), [b'x'; LIMIT], [b'x'; LIMIT]);
    a_length_over_the_limit: announced(
        &post().add("Content-Length", "1001"), HttpError::BodyTooLarge, 413);
    a_huge_length: announced(
        &post().add("Content-Length", "9999999999999999999"), HttpError::BodyTooLarge, 413);

    one_chunk: body_is(&chunked(), "5\r\nhello\r\n0\r\n\r\n", "hello");
    two_chunks: body_is(&chunked(), "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello");
    no_chunk: body_is(&chunked(), "0\r\n\r\n", "");
    zeros_before_the_size: body_is(&chunked(), "0005\r\nhello\r\n000\r\n\r\n", "hello");
    sixteen_digits: body_is(
        &chunked(), "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello");
    capital_digits: body_is(&chunked(), "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
        "01234567890123456789");
    line_ends_in_the_data: body_is(&chunked(), "6\r\n\r\n0\r\n\r\r\n0\r\n\r\n", "\r\n0\r\n\r");
    bytes_of_any_value: body_is(
        &chunked(), [b"3\r\n".as_slice(), &[0, 0xff, 0x80], b"\r\n0\r\n\r\n"].concat(), [0, 0xff, 0x80]);
    the_coding_in_another_case: body_is(
        &post().add("transfer-encoding", " \tChUnKeD "), "1\r\nx\r\n0\r\n\r\n", "x");
    exactly_the_limit_in_chunks: body_is(&chunked(),
        [b"3e7\r\n".as_slice(), &[b'x'; 999], b"\r\n1\r\nx\r\n0\r\n\r\n"].concat(), [b'x'; LIMIT]);
    extensions_are_skipped: body_is(
        &chunked(), "1;a\r\nx\r\n1;b=c;d=\"e; f\\\"\"\r\ny\r\n0;\u{e9} =\t1\r\n\r\n", "xy");
    trailers_are_skipped: body_is(
        &chunked(), "1\r\nx\r\n0\r\nContent-Length: 7\r\nX:\r\nY: \t\r\n\r\n", "x");

    the_limit_over_chunks: refused_at_end(
        [b"3e8\r\n".as_slice(), &[b'x'; 1000], b"\r\n1"].concat(), HttpError::BodyTooLarge);
    a_size_over_the_limit: refused_at_end("3e9", HttpError::BodyTooLarge);
    a_size_over_64_bits: refused_at_end("FFF", HttpError::BodyTooLarge);
    seventeen_digits: refused_at_end("00000000000000005", HttpError::ChunkSize);
    zeros_without_end: refused_at_end("00000000000000000", HttpError::ChunkSize);
    a_prefix: refused_at_end("0x", HttpError::ChunkSize);
    a_plus: refused_at_end("+", HttpError::ChunkSize);
    a_minus: refused_at_end("-", HttpError::ChunkSize);
    an_underscore: refused_at_end("1_", HttpError::ChunkSize);
    a_space_before_the_size: refused_at_end(" ", HttpError::ChunkSize);
    a_space_behind_the_size: refused_at_end("5 ", HttpError::ChunkSize);
    a_tab_behind_the_size: refused_at_end("5\t", HttpError::ChunkSize);
    a_letter: refused_at_end("5g", HttpError::ChunkSize);
    no_size: refused_at_end("\r", HttpError::ChunkSize);
    an_extension_without_size: refused_at_end(";", HttpError::ChunkSize);
    a_nul_in_an_extension: refused_at_end("5;a\0", HttpError::ChunkSize);
    a_bare_lf_behind_the_size: refused_at_end("5\n", HttpError::BareLf);
    a_bare_lf_in_an_extension: refused_at_end("5;a\n", HttpError::BareLf);
    a_bare_cr_behind_the_size: refused_at_end("5\rh", HttpError::BareCr);
    a_bare_cr_in_an_extension: refused_at_end("5;a\r ", HttpError::BareCr);
    a_second_cr_behind_the_size: refused_at_end("5\r\r", HttpError::BareCr);
    a_bare_lf_behind_the_data: refused_at_end("1\r\nx\n", HttpError::BareLf);
    a_bare_cr_behind_the_data: refused_at_end("1\r\nx\r1", HttpError::BareCr);
    more_data_than_its_size: refused_at_end("1\r\nxy", HttpError::ChunkEnd);
    a_bare_lf_at_the_end: refused_at_end("0\r\n\n", HttpError::BareLf);
    a_bare_cr_at_the_end: refused_at_end("0\r\n\r0", HttpError::BareCr);
    a_folded_trailer: refused_at_end("0\r\nA: b\r\n ", HttpError::ObsFold);
    a_trailer_without_colon: refused_at_end("0\r\nGET\r", HttpError::MissingColon);
    a_request_line_for_a_trailer: refused_at_end("0\r\nGET ", HttpError::SpaceBeforeColon);
    a_trailer_without_name: refused_at_end("0\r\n:", HttpError::HeaderName);
    a_bad_name_of_a_trailer: refused_at_end(b"0\r\nA\xc3", HttpError::HeaderName);
    a_nul_in_a_trailer: refused_at_end("0\r\nA: \0", HttpError::HeaderValue);
    a_bare_lf_in_a_trailer: refused_at_end("0\r\nA: b\n", HttpError::BareLf);
    a_bare_cr_in_a_trailer: refused_at_end("0\r\nA: b\rc", HttpError::BareCr);

    cl_te: announced(&chunked().add("Content-Length", "5"), HttpError::BodyLength, 400);
    cl_0_te: announced(&chunked().add("Content-Length", "0"), HttpError::BodyLength, 400);
    te_in_http_1_0: announced(
        &chunked().start("POST / HTTP/1.0"), HttpError::BodyLength, 400);
    another_coding: announced(
        &post().add("Transfer-Encoding", "gzip, chunked"), HttpError::TransferCoding, 501);
    another_coding_on_another_line: announced(
        &chunked().add("Transfer-Encoding", "chunked"), HttpError::TransferCoding, 501);
    chunked_twice: announced(
        &post().add("Transfer-Encoding", "chunked, chunked"), HttpError::TransferCoding, 501);
    chunked_in_a_list: announced(
        &post().add("Transfer-Encoding", "chunked,"), HttpError::TransferCoding, 501);
    // RFC 9112 section 6.3: 400 where chunked is not the final coding.
    chunked_is_not_last: announced(
        &post().add("Transfer-Encoding", "chunked, gzip"), HttpError::BodyLength, 400);
    gzip_alone: announced(&post().add("Transfer-Encoding", "gzip"), HttpError::BodyLength, 400);
    identity: announced(&post().add("Transfer-Encoding", "identity"), HttpError::BodyLength, 400);
    not_quite_chunked: announced(
        &post().add("Transfer-Encoding", "xchunked"), HttpError::BodyLength, 400);
    a_parameter_of_chunked: announced(
        &post().add("Transfer-Encoding", "chunked;q=1"), HttpError::BodyLength, 400);
    chunked_in_quotes: announced(
        &post().add("Transfer-Encoding", "\"chunked\""), HttpError::BodyLength, 400);
    chunked_behind_a_vertical_tab_like_byte: announced(
        &post().add("Transfer-Encoding", b"\x85chunked"), HttpError::BodyLength, 400);
    an_empty_coding: announced(&post().add("Transfer-Encoding", ""), HttpError::BodyLength, 400);
}

#[test]
fn requests_without_a_body_have_none() {
    for text in [
        plain("GET / HTTP/1.1"),
        post(),
        post().add("Content-Length", "0"),
        post().add("Content-Length", "000"),
        post().start("POST / HTTP/1.0"),
    ] {
        assert!(reader(&text, 0).unwrap().is_none());
    }
}

#[test]
fn a_malformed_content_length_is_refused_before_anything_else() {
    let text = chunked().add("Content-Length", "+5");
    assert_eq!(reader(&text, 0).err(), Some(HttpError::ContentLength));
}

#[test]
fn a_limit_of_zero_takes_the_empty_body_only() {
    let one = reader(&post().add("Content-Length", "1"), 0);
    assert_eq!(one.err(), Some(HttpError::BodyTooLarge));
    let empty = reader(&chunked(), 0).unwrap().unwrap();
    let bytes = b"0\r\n\r\n".to_vec();
    assert_eq!(read(empty, &[bytes], 0), Ok(Some((Vec::new(), 5))));
    let one = reader(&chunked(), 0).unwrap().unwrap();
    let result = read(one, &[b"1".to_vec()], 0);
    assert_eq!(result, Err(HttpError::BodyTooLarge));
}

#[test]
fn the_largest_limit_does_not_overflow() {
    let reader = reader(&chunked(), usize::MAX).unwrap().unwrap();
    let result = read(reader.clone(), &[b"ffffffffffffffff\r\nx".to_vec()], 1);
    assert_eq!(result, Ok(None));
    let bytes = b"1\r\nx\r\nffffffffffffffff".to_vec();
    let result = read(reader, &[bytes], 1);
    assert_eq!(result, Err(HttpError::BodyTooLarge));
}

/// 4 KiB of extensions in one body pass, over one chunk or many; a byte more does not.
#[test]
fn chunk_extensions_are_bounded_over_the_whole_body() {
    let one = |length: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(length - 1));
    let many = |count| format!("{}0\r\n\r\n", "1;ext\r\nx\r\n".repeat(count));
    body_is(&chunked(), one(4096), "x");
    body_is(&chunked(), many(1000), [b'x'; 1000]);
    let ended = format!(
        "{}0;{}\r\n\r\n",
        "1;ext\r\nx\r\n".repeat(999),
        "e".repeat(99)
    );
    body_is(&chunked(), ended, [b'x'; 999]);
    refused_at_end(
        format!("1;{}", "e".repeat(4096)),
        HttpError::ChunkExtensionsTooLarge,
    );
    refused_at_end(
        format!("{}0;{}", "1;ext\r\nx\r\n".repeat(999), "e".repeat(100)),
        HttpError::ChunkExtensionsTooLarge,
    );
    assert_eq!(HttpError::ChunkExtensionsTooLarge.status(), 413);
}

/// 4 KiB and 32 lines, the final CR LF counted.
#[test]
fn trailers_are_bounded_in_bytes_and_lines() {
    let lines = |count: usize| format!("0\r\n{}", "A: b\r\n".repeat(count));
    body_is(&chunked(), lines(32) + "\r\n", "");
    refused_at_end(lines(32) + "A", HttpError::TrailersTooLarge);
    let line = |length: usize| format!("0\r\nA:{}", "b".repeat(length - 2));
    body_is(&chunked(), line(4092) + "\r\n\r\n", "");
    refused_at_end(line(4092) + "b\r\n\r\n", HttpError::TrailersTooLarge);
    refused_at_end(line(4097), HttpError::TrailersTooLarge);
    assert_eq!(HttpError::TrailersTooLarge.status(), 431);
}

#[test]
fn expectations_are_judged_by_version_and_value() {
    let expects = |text: &Text| with_head(text, expects_continue);
    for (value, result) in [
        ("100-continue", Ok(true)),
        ("100-Continue", Ok(true)),
        ("100-continue, ,100-CONTINUE", Ok(true)),
        ("", Ok(false)),
        ("100-continue;x", Err(HttpError::Expectation)),
        ("200-ok", Err(HttpError::Expectation)),
        ("100-continue=", Err(HttpError::Expectation)),
    ] {
        assert_eq!(expects(&post().add("Expect", value)), result, "{value}");
        // RFC 9110 section 10.1.1: HTTP/1.0 has no expectations.
        let old = post().start("POST / HTTP/1.0").add("Expect", value);
        assert_eq!(expects(&old), Ok(false));
    }
    assert_eq!(expects(&post()), Ok(false));
}

#[test]
fn a_body_in_single_bytes_takes_memory_in_the_order_of_its_length() {
    let text = post().add("Content-Length", "1000");
    let mut reader = reader(&text, usize::MAX).unwrap().unwrap();
    assert_eq!(reader.body().len(), 0);
    let body = vec![b'x'; 999];
    for byte in body {
        assert_eq!(reader.recv(&mut Input::new(&mut [byte])), Ok(false));
    }
    assert!(reader.into_body().capacity() < 4096);
    // Nothing is reserved for what is only announced.
    let text = post().add("Content-Length", "9223372036854775807");
    let reader = self::reader(&text, usize::MAX).unwrap().unwrap();
    assert_eq!(reader.into_body().capacity(), 0);
}

proptest! {
    /// Chunks of any sizes, with anything to skip between them, come out joined.
    #[test]
    fn chunks_are_joined_however_they_and_the_pieces_are_cut(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8),
        extension in "(;[a-z]{0,3})?",
        trailers in proptest::collection::vec("[A-Za-z-]{1,8}: ?[ -~]{0,10}", 0..3),
        behind in proptest::collection::vec(any::<u8>(), 0..20),
        seed in any::<u64>(),
    ) {
        let mut bytes = Vec::new();
        for chunk in &chunks {
            bytes.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(format!("0{extension}\r\n").bytes());
        for trailer in trailers {
            bytes.extend(format!("{trailer}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        let length = bytes.len();
        bytes.extend(behind);
        let pieces = random_cut(&bytes, &mut Seeded(seed));
        let reader = reader(&chunked(), LIMIT).unwrap().unwrap();
        prop_assert_eq!(read(reader, &pieces, LIMIT), Ok(Some((chunks.concat(), length))));
    }

    /// Whatever comes, the answer depends on the bytes and not on the cuts.
    #[test]
    fn any_bytes_are_read_alike_however_they_are_cut(
        bytes in proptest::collection::vec(
            prop_oneof![
                4 => proptest::sample::select(&b"0123;:aA\r\nx "[..]),
                3 => Just(b'\r'), 3 => Just(b'\n'), 1 => any::<u8>(),
            ],
            0..40,
        ),
        seed in any::<u64>(),
    ) {
        let fresh = || reader(&chunked(), 64).unwrap().unwrap();
        let whole = read(fresh(), core::slice::from_ref(&bytes), 64);
        prop_assert_eq!(&whole, &read(fresh(), &random_cut(&bytes, &mut Seeded(seed)), 64));
    }
}
