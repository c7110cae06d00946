//! The grammar of Sec-WebSocket-Extensions: rows H19, C11, P1, P2, P5, P6 as far as the grammar
//! goes. Every test input is read as one line and checked to survive being written and read
//! again.

use std::borrow::Cow;

use proptest::prelude::*;
use sockeye::error::GrammarError;
use sockeye::proto::{Extension, ExtensionOffer, parse_extensions};

type Plain = (String, Vec<(String, Option<String>)>);

fn plain(offer: &ExtensionOffer<'_>) -> Plain {
    let params = offer
        .params()
        .map(|param| (param.name.to_owned(), param.value.map(Cow::into_owned)))
        .collect();
    (offer.name().to_owned(), params)
}

/// The offers before the first error, and that error.
fn read(lines: &[&[u8]]) -> (Vec<Plain>, Option<GrammarError>) {
    let mut offers = Vec::new();
    let mut items = parse_extensions(lines.iter().copied());
    for item in items.by_ref() {
        match item {
            Ok(offer) => {
                let written = offer.to_string();
                let again = parse_extensions([written.as_bytes()])
                    .next()
                    .unwrap()
                    .unwrap();
                assert_eq!(plain(&again), plain(&offer));
                assert_eq!(Extension::from(offer).to_string(), written);
                offers.push(plain(&offer));
            }
            Err(error) => {
                assert!(items.next().is_none(), "nothing follows an error");
                return (offers, Some(error));
            }
        }
    }
    assert!(items.next().is_none());
    (offers, None)
}

/// The offers, written plainly: `a; b; c=d | e`.
#[track_caller]
fn accepted(line: &str, expected: &str) {
    let (offers, error) = read(&[line.as_bytes()]);
    assert_eq!(error, None, "{line:?}");
    let offers: Vec<_> = offers.iter().map(text).collect();
    assert_eq!(offers.join(" | "), expected, "{line:?}");
}

fn text((name, params): &Plain) -> String {
    let mut text = name.clone();
    for (name, value) in params {
        text += &match value {
            Some(value) => format!("; {name}={value}"),
            None => format!("; {name}"),
        };
    }
    text
}

#[track_caller]
fn refused(line: impl AsRef<[u8]>, error: GrammarError, before: usize) {
    let line = line.as_ref();
    let (offers, found) = read(&[line]);
    let shown = String::from_utf8_lossy(line);
    assert_eq!((found, offers.len()), (Some(error), before), "{shown:?}");
}

#[test]
fn offers_and_parameters_come_in_order() {
    accepted("a", "a");
    accepted("a, b;c, d;e=f;g", "a | b; c | d; e=f; g");
    accepted(
        "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame",
        "permessage-deflate; client_max_window_bits | x-webkit-deflate-frame",
    );
}

#[test]
fn white_space_is_allowed_between_any_two_parts() {
    accepted(" \ta \t;\tb = c ; d\t=\t\"e\" ,\t f ", "a; b=c; d=e | f");
}

#[test]
fn empty_list_elements_are_ignored() {
    accepted(",,a", "a");
    accepted("a,,b, ,", "a | b");
    accepted("", "");
    accepted(" \t", "");
    accepted(",", "");
}

// P1, P2, C11: what negotiation has to see, it sees.

#[test]
fn repeated_and_unknown_parameters_are_kept() {
    accepted("a; b; b; b=1; c", "a; b; b; b=1; c");
    accepted("a, a", "a | a");
}

#[test]
fn flags_and_values_are_told_apart() {
    accepted(
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover=1",
    );
    accepted(
        "permessage-deflate; client_no_context_takeover=x",
        "permessage-deflate; client_no_context_takeover=x",
    );
    accepted(
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits",
    );
}

#[test]
fn values_are_returned_as_sent_for_negotiation_to_judge() {
    for value in ["7", "16", "08", "+9", "-1", "9.0", "10"] {
        let line = format!("permessage-deflate; server_max_window_bits={value}");
        accepted(&line, &line);
    }
}

#[test]
fn a_value_in_quotes_is_the_value_without_them() {
    accepted("a; b=\"10\"", "a; b=10");
    accepted("a; b=\"1\\0\"", "a; b=10");
    accepted("a; b=\"\\1\\0\"; c", "a; b=10; c");
}

#[test]
fn a_value_is_borrowed_unless_it_has_escapes() {
    for (line, borrowed) in [
        ("a; b=10", true),
        ("a; b=\"10\"", true),
        ("a; b=\"1\\0\"", false),
    ] {
        let offer = parse_extensions([line.as_bytes()]).next().unwrap().unwrap();
        let value = offer.params().next().unwrap().value.unwrap();
        assert_eq!(value, "10");
        assert_eq!(matches!(value, Cow::Borrowed(_)), borrowed, "{line}");
    }
}

#[test]
fn a_quoted_value_that_is_no_token_is_refused() {
    for value in [
        &b"\"\""[..],
        b"\"a b\"",
        b"\"a,b\"",
        b"\"a;b\"",
        b"\"a=b\"",
        b"\"\\\"\"",
        b"\"\\\\\"",
        b"\"a\\ \"",
        b"\"\xc3\xa9\"",
        b"\"\0\"",
        b"\"a b",
    ] {
        refused([b"a; b=", value].concat(), GrammarError::ParameterValue, 0);
    }
}

#[test]
fn an_unclosed_quote_is_refused() {
    for line in ["a; b=\"", "a; b=\"c", "a; b=\"c\\", "a; b=\"\\"] {
        refused(line, GrammarError::UnclosedQuote, 0);
    }
    // A quoted string does not go on in the next line.
    let (_, error) = read(&[b"a; b=\"c", b"d\""]);
    assert_eq!(error, Some(GrammarError::UnclosedQuote));
}

#[test]
fn malformed_elements_are_refused_where_they_stand() {
    for (line, error, before) in [
        ("a, ;b", GrammarError::Name, 1),
        (";", GrammarError::Name, 0),
        ("=", GrammarError::Name, 0),
        ("\"a\"", GrammarError::Name, 0),
        ("(a)", GrammarError::Name, 0),
        ("a;", GrammarError::ParameterName, 0),
        ("a;;b", GrammarError::ParameterName, 0),
        ("a; ,b", GrammarError::ParameterName, 0),
        ("a; b; ", GrammarError::ParameterName, 0),
        ("a; =c", GrammarError::ParameterName, 0),
        ("a; \"b\"", GrammarError::ParameterName, 0),
        ("a; b=", GrammarError::ParameterValue, 0),
        ("a; b= ;c", GrammarError::ParameterValue, 0),
        ("a; b=,c", GrammarError::ParameterValue, 0),
        ("a; b==c", GrammarError::ParameterValue, 0),
        ("a b", GrammarError::Separator, 0),
        ("a=b", GrammarError::Separator, 0),
        ("a; b c", GrammarError::Separator, 0),
        ("a; b=c d", GrammarError::Separator, 0),
        ("a; b=\"c\"d", GrammarError::Separator, 0),
        ("a; b=c\"d\"", GrammarError::Separator, 0),
        ("a; b=c=d", GrammarError::Separator, 0),
        ("x, y; z, a/b, c", GrammarError::Separator, 2),
    ] {
        refused(line, error, before);
    }
    refused(b"a; b\xff", GrammarError::Separator, 0);
    refused(b"\xff", GrammarError::Name, 0);
    refused(b"a\0", GrammarError::Separator, 0);
}

// P5, P6

#[test]
fn an_unacceptable_offer_does_not_hide_the_next() {
    accepted(
        "permessage-deflate; bogus, permessage-deflate",
        "permessage-deflate; bogus | permessage-deflate",
    );
}

#[test]
fn several_lines_are_one_list() {
    let (offers, error) = read(&[b"a; b, ", b"", b"c", b",", b"a; b=1"]);
    assert_eq!(error, None);
    let offers: Vec<_> = offers.iter().map(text).collect();
    assert_eq!(offers, ["a; b", "c", "a; b=1"]);
    let (offers, error) = read(&[b"a", b"b;", b"c"]);
    assert_eq!(
        (offers.len(), error),
        (1, Some(GrammarError::ParameterName))
    );
}

#[test]
fn ten_thousand_offers_are_read_one_by_one() {
    let line = "permessage-deflate; client_max_window_bits,".repeat(10_000);
    let offers = parse_extensions([line.as_bytes()]);
    assert_eq!(offers.filter(|offer| offer.is_ok()).count(), 10_000);
    let line = format!("a{}", "; b=\"1\"".repeat(10_000));
    let offer = parse_extensions([line.as_bytes()]).next().unwrap().unwrap();
    assert_eq!(offer.params().count(), 10_000);
}

// H19; that the work is linear is tested by counting it, in the module itself.

#[test]
fn long_runs_of_spaces_and_quotes_are_read_or_refused() {
    let spaces = " ".repeat(32 * 1024);
    accepted(
        &format!("a{spaces};{spaces}b{spaces}={spaces}c{spaces},"),
        "a; b=c",
    );
    refused(format!("b{spaces}x"), GrammarError::Separator, 0);
    refused(
        format!("a; b=\"{}", "c".repeat(32 * 1024)),
        GrammarError::UnclosedQuote,
        0,
    );
    refused(
        format!("a; b=\"{}", "\\c".repeat(32 * 1024)),
        GrammarError::UnclosedQuote,
        0,
    );
}

#[test]
fn what_is_written_is_made_of_tokens_only() {
    let written = Extension::new("a").with_flag("b").with_value("c", 10);
    assert_eq!(written.to_string(), "a; b; c=10");
    assert_eq!(written.name(), "a");
    let params: Vec<_> = written.params().collect();
    assert_eq!(params, [("b", None), ("c", Some("10"))]);
    for bad in ["", " ", "a b", "a\r\nb", "a;", "\u{e9}", "\"a\""] {
        let a = || Extension::new("a");
        assert_eq!(Extension::try_new(bad), Err(GrammarError::Name));
        assert_eq!(a().try_with_flag(bad), Err(GrammarError::ParameterName));
        let name = a().try_with_value(bad, "1");
        assert_eq!(name, Err(GrammarError::ParameterName));
        let value = a().try_with_value("b", bad);
        assert_eq!(value, Err(GrammarError::ParameterValue));
        assert!(std::panic::catch_unwind(|| Extension::new(bad)).is_err());
        assert!(std::panic::catch_unwind(|| a().with_flag(bad)).is_err());
        assert!(std::panic::catch_unwind(|| a().with_value("b", bad)).is_err());
    }
}

#[test]
fn every_error_cites_its_rfc_and_says_what_to_do() {
    for error in [
        GrammarError::Name,
        GrammarError::ParameterName,
        GrammarError::ParameterValue,
        GrammarError::UnclosedQuote,
        GrammarError::Separator,
    ] {
        let text = error.to_string();
        assert!(
            text.contains("(RFC 6455 section 9.1): ") && !text.contains("  "),
            "{text}"
        );
    }
}

/// A reader that is written for nothing but to be obvious: splits outside quotes.
fn naive(line: &str) -> Option<Vec<Plain>> {
    fn split(text: &str, separator: char) -> Option<Vec<String>> {
        let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
        for char in text.chars() {
            if char == separator && !quoted {
                parts.push(String::new());
                continue;
            }
            parts.last_mut().unwrap().push(char);
            if escaped {
                escaped = false;
            } else if char == '\\' && quoted {
                escaped = true;
            } else if char == '"' {
                quoted = !quoted;
            }
        }
        (!quoted).then_some(parts)
    }
    fn token(text: &str) -> Option<String> {
        let tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        (!text.is_empty() && text.chars().all(tchar)).then(|| text.to_owned())
    }
    let trim = |text: &str| text.trim_matches([' ', '\t']).to_owned();
    let mut offers = Vec::new();
    for element in split(line, ',')? {
        let element = trim(&element);
        if element.is_empty() {
            continue;
        }
        let mut parts = split(&element, ';')?.into_iter();
        let name = token(&trim(&parts.next()?))?;
        let mut params = Vec::new();
        for part in parts {
            let param = match part.split_once('=') {
                None => (token(&trim(&part))?, None),
                Some((name, value)) => {
                    let value = trim(value);
                    let value = match value.strip_prefix('"') {
                        Some(rest) => token(&rest.strip_suffix('"')?.replace('\\', ""))?,
                        None => token(&value)?,
                    };
                    (token(&trim(name))?, Some(value))
                }
            };
            params.push(param);
        }
        offers.push((name, params));
    }
    Some(offers)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn a_naive_reader_accepts_and_reads_the_same(line in "[ab1 \t,;=\"\\\\/-]{0,16}") {
        let (offers, error) = read(&[line.as_bytes()]);
        let read = error.is_none().then_some(offers);
        prop_assert_eq!(read, naive(&line));
    }

    #[test]
    fn splitting_a_list_into_lines_at_its_commas_changes_nothing(
        line in "([ab][ ;=]{0,2}[ab\"]{0,2},?){0,6}",
    ) {
        let lines: Vec<_> = line.split(',').map(str::as_bytes).collect();
        // But for the name of the error: a comma within quotes ends the line before the closing
        // quote, or is no byte of a token.
        let ((split, split_error), (whole, error)) = (read(&lines), read(&[line.as_bytes()]));
        prop_assert_eq!((split, split_error.is_some()), (whole, error.is_some()));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        read(&[&bytes]);
    }
}
