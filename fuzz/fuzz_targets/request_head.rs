//! A request's head: whole and in pieces, the parser answers the same, and what it accepts comes
//! apart the same way by a plain split. Input: limits, cuts, bytes.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use sockeye::proto::http::{HeadParser, is_token, parse_request};
use sockeye_fuzz::{Cuts, head, rest};

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let limits = head::limits(&mut u);
    let cuts = Cuts::read(&mut u);
    let bytes = rest(&mut u);

    let mut whole = HeadParser::request(limits);
    let result = whole.parse(bytes);
    let mut pieces = HeadParser::request(limits);
    let mut end_result = Ok(None);
    for end in cuts.ends(bytes.len()) {
        assert_eq!(end_result, Ok(None));
        end_result = pieces.parse(&bytes[..end]);
        if end_result != Ok(None) {
            break;
        }
    }
    assert_eq!(result, end_result, "the cuts matter");
    // The answer stays, whatever comes behind.
    assert!(result == Ok(None) || result == pieces.parse(bytes));

    let Ok(Some(length)) = result else {
        assert!(whole.request_head(bytes).is_none());
        return;
    };
    assert!(length <= bytes.len() && length <= limits.max_head);
    assert!(whole.response_head(bytes).is_none());
    let request = whole.request_head(bytes).expect("a complete head");
    let again = pieces.request_head(&bytes[..length]).expect("the same");
    assert_eq!(
        (request.method, request.target, request.version),
        (again.method, again.target, again.version)
    );
    assert!(request.headers.iter().eq(again.headers.iter()));
    assert!(request.target.len() <= limits.max_target);
    assert!(is_token(request.method.as_bytes()));
    head::check_target(request.target);

    let split = head::split(&bytes[..length], true);
    let start = format!("{} {} HTTP/1.", request.method, request.target);
    assert_eq!(split.start[..split.start.len() - 1], *start.as_bytes());
    head::check_headers(request.headers, &split, limits);

    // One byte less is no head, and the parser can be used again.
    pieces.reset();
    assert_eq!(pieces.parse(&bytes[..length - 1]), Ok(None));
    let (_, behind) = parse_request(&mut pieces, bytes)
        .expect("as before")
        .expect("as before");
    assert_eq!(behind, &bytes[length..]);
});
