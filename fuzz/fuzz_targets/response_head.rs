//! A response's head: whole and in pieces, the parser answers the same, and what it accepts
//! comes apart the same way by a plain split. Input: limits, cuts, bytes.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use sockeye::proto::http::{HeadParser, parse_response};
use sockeye_fuzz::{Cuts, head, rest};

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let limits = head::limits(&mut u);
    let cuts = Cuts::read(&mut u);
    let bytes = rest(&mut u);

    let mut whole = HeadParser::response(limits);
    let result = whole.parse(bytes);
    let mut pieces = HeadParser::response(limits);
    let mut end_result = Ok(None);
    for end in cuts.ends(bytes.len()) {
        end_result = pieces.parse(&bytes[..end]);
        if end_result != Ok(None) {
            break;
        }
    }
    assert_eq!(result, end_result, "the cuts matter");
    // The answer stays, whatever comes behind.
    assert!(result == Ok(None) || result == pieces.parse(bytes));

    let Ok(Some(length)) = result else {
        assert!(whole.response_head(bytes).is_none());
        return;
    };
    assert!(length <= bytes.len() && length <= limits.max_head);
    assert!(whole.request_head(bytes).is_none());
    let response = whole.response_head(bytes).expect("a complete head");
    let again = pieces.response_head(&bytes[..length]).expect("the same");
    assert_eq!(
        (response.version, response.status, response.reason),
        (again.version, again.status, again.reason)
    );
    assert!(response.headers.iter().eq(again.headers.iter()));
    assert!(matches!(response.status, 100..=999));

    let split = head::split(&bytes[..length], false);
    // "HTTP/1.", a digit, a space; the space before an empty reason may be missing.
    let mut start = response.status.to_string().into_bytes();
    start.push(b' ');
    start.extend(response.reason);
    let start = match split.start.len() {
        12 => &start[..3],
        _ => &start,
    };
    assert!(split.start.starts_with(b"HTTP/1.") && split.start[8] == b' ');
    assert_eq!(split.start[9..], *start);
    head::check_headers(response.headers, &split, limits);

    // One byte less is no head, and the parser can be used again.
    pieces.reset();
    assert_eq!(pieces.parse(&bytes[..length - 1]), Ok(None));
    let (_, behind) = parse_response(&mut pieces, bytes)
        .expect("as before")
        .expect("as before");
    assert_eq!(behind, &bytes[length..]);
});
