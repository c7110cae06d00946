//! `Sec-WebSocket-Extensions`: what is read, written and read again is the same, and several
//! lines are one list. Input: the lines, separated by LF.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye::proto::http::is_token;
use sockeye::proto::{Extension, parse_extensions};

/// The extensions before the first error, and whether there was one.
fn read<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Extension>, bool) {
    let mut offers = parse_extensions(lines);
    let mut read = Vec::new();
    let mut failed = false;
    while let Some(offer) = offers.next() {
        let Ok(offer) = offer else {
            assert!(offers.next().is_none(), "items behind an error");
            failed = true;
            break;
        };
        assert!(is_token(offer.name().as_bytes()));
        for param in offer.params() {
            assert!(is_token(param.name.as_bytes()));
            assert!(param.value.is_none_or(|value| is_token(value.as_bytes())));
        }
        let owned = Extension::from(offer);
        assert_eq!(owned.name(), offer.name());
        assert_eq!(owned.to_string(), offer.to_string());
        let _ = format!("{offer:?}");
        read.push(owned);
    }
    assert!(offers.next().is_none());
    (read, failed)
}

fuzz_target!(|data: &[u8]| {
    let lines: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
    let (extensions, failed) = read(lines.iter().copied());

    let joined = lines.join(b", ".as_slice());
    assert_eq!((extensions.clone(), failed), read([joined.as_slice()]));

    let text: Vec<String> = extensions.iter().map(ToString::to_string).collect();
    let each = read(text.iter().map(|line| line.as_bytes()));
    assert_eq!((&each.0, each.1), (&extensions, false));
    let list = text.join(",");
    let once = read([list.as_bytes()]);
    assert_eq!((&once.0, once.1), (&extensions, false));
    for extension in &extensions {
        // The builder takes what the parser took.
        let mut built = Extension::try_new(extension.name()).expect("a token");
        for (name, value) in extension.params() {
            built = match value {
                Some(value) => built.try_with_value(name, value),
                None => built.try_with_flag(name),
            }
            .expect("tokens");
        }
        assert_eq!(&built, extension);
    }
});
