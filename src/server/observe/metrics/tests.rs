use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString as _};

use super::*;
use crate::error::{Fault, HandshakeError, LimitError, ProtocolError, RequestError};
use crate::proto::CloseCode;

fn sample() -> Stats {
    let (first, second) = (Metrics::default(), Metrics::default());
    first.connections.set(3);
    second.connections.set(4);
    first.connections_opened.add(10);
    first.connections_opened.add(1);
    second.bytes_sent.add(u64::MAX >> 1);
    second.rate_limited.add(5);
    first.errors.add(ErrorCause::Utf8, 1);
    second.errors.add(ErrorCause::Utf8, 2);
    first.handshake_failures.add(HandshakeFailure::Tls, 9);
    let closes = CloseCounters::default();
    for code in [4711; 6] {
        closes.add(CloseCode(code), true);
    }
    for code in 4000..4040 {
        closes.add(CloseCode(code), true);
    }
    Stats {
        closes: closes.counts(),
        ..Stats::sum([&first, &second], Duration::from_millis(90_061_500))
    }
}

#[test]
fn workers_are_summed() {
    let stats = sample();
    assert_eq!((stats.connections, stats.connections_opened), (7, 11));
    assert_eq!(stats.errors.count(ErrorCause::Utf8), 3);
    assert_eq!(stats.errors.sum(), 3);
    assert_eq!(stats.closes.count(CloseCode(4711)), 6);
    assert_eq!(stats.closes.count(CloseCode(4030)), 1);
    assert_eq!(stats.closes.count(CloseCode(4999)), 9);
    let text = alloc::format!("{:?}", stats.closes);
    assert!(text.starts_with(r#"{"4xxx": 9, "4000": 1, "#), "{text}");
}

#[test]
fn every_fault_has_its_cause_and_every_code_its_label() {
    let second = Duration::from_secs(1);
    let causes: [(Fault, &str); 9] = [
        (ProtocolError::ReservedBits.into(), "frame"),
        (ProtocolError::Unmasked.into(), "unmasked"),
        (ProtocolError::CloseCode(0).into(), "close_frame"),
        (ProtocolError::Utf8.into(), "utf8"),
        (ProtocolError::Extension("x").into(), "extension"),
        (LimitError::MessageSize { limit: 1 }.into(), "too_big"),
        (LimitError::Fragments { limit: 1 }.into(), "fragments"),
        (LimitError::Pong { timeout: second }.into(), "ping_timeout"),
        (
            LimitError::Close { timeout: second }.into(),
            "close_timeout",
        ),
    ];
    for (fault, cause) in causes {
        assert_eq!(ErrorCause::from(fault).name(), cause);
    }
    for code in 0..=u16::MAX {
        let name = CloseCode::NAMES[CloseCode(code).index()];
        let expected = match code {
            1000..=1003 | 1005..=1014 => code.to_string(),
            3000..=3999 => "3xxx".into(),
            4000..=4999 => "4xxx".into(),
            _ => "other".into(),
        };
        assert_eq!(name, expected, "{code}");
    }
    for (error, reason) in [
        (HandshakeError::Request(RequestError::KeyLength), "key"),
        (HandshakeError::Request(RequestError::Method), "method"),
        (HandshakeError::Eof, "eof"),
        (HandshakeError::Timeout { timeout: second }, "timeout"),
    ] {
        assert_eq!(HandshakeFailure::from(&error).name(), reason);
    }
}

#[test]
fn no_label_needs_escaping_or_is_there_twice() {
    for names in [ErrorCause::NAMES, CloseCode::NAMES, HandshakeFailure::NAMES] {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        assert!(names.iter().all(|name| name.bytes().all(plain)));
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}

/// Parses the JSON of RFC 8259 as far as it is used: objects, plain strings, numbers. Returns
/// members by their path.
fn read_json<'a>(json: &'a str, path: &str, members: &mut BTreeMap<String, f64>) -> &'a str {
    let Some(mut rest) = json.strip_prefix('{') else {
        let end = json.find([',', '}']).unwrap_or(json.len());
        let (number, rest) = json.split_at(end);
        assert!(!number.starts_with(['+', '.', 'N', 'i']), "{number}");
        let twice = members.insert(path.into(), number.parse().unwrap());
        assert_eq!(twice, None, "{path}");
        return rest;
    };
    loop {
        let (name, value) = rest.strip_prefix('"').unwrap().split_once("\":").unwrap();
        assert!(!name.contains(['"', '\\']) && !name.is_empty());
        rest = read_json(value, &alloc::format!("{path}/{name}"), members);
        match rest.split_at(1) {
            (",", next) => rest = next,
            ("}", next) => return next,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_json_is_read_back() {
    let mut members = BTreeMap::new();
    assert_eq!(read_json(&sample().to_json(), "", &mut members), "");
    assert_eq!(members["/uptime_seconds"], 90_061.5);
    assert_eq!(members["/connections"], 7.0);
    assert_eq!(members["/errors/utf8"], 3.0);
    assert_eq!(members["/errors/idle"], 0.0);
    assert_eq!(members["/closes/4xxx"], 9.0);
    assert_eq!(members["/closes/4711"], 6.0);
    assert_eq!(members["/handshake_failures/tls"], 9.0);
    let labels = [ErrorCause::NAMES, CloseCode::NAMES, HandshakeFailure::NAMES];
    let labels: usize = labels.iter().map(|it| it.len()).sum();
    // 32 codes of the application have labels of their own.
    assert_eq!(members.len(), 19 + labels + 32);
    assert!(
        sample()
            .to_json()
            .contains("\"bytes_sent\":9223372036854775807")
    );
}

fn is_metric_name(name: &str) -> bool {
    name.bytes().enumerate().all(|(at, byte)| {
        byte.is_ascii_alphabetic() || b"_:".contains(&byte) || (at > 0 && byte.is_ascii_digit())
    }) && !name.is_empty()
}

/// Parses the exposition format 0.0.4, line by line: each family's HELP, TYPE and samples once and
/// together, names and labels of the allowed characters. Returns samples by name and labels.
fn read_prometheus(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n') && !text.contains("\n\n"));
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut helped, mut typed) = ("", "");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(is_metric_name(name) && !text.contains('\\'), "{line}");
            assert!(families.insert(name), "{name} is there twice");
            helped = name;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, helped);
            assert_eq!(
                kind,
                if name.ends_with("_total") {
                    "counter"
                } else {
                    "gauge"
                }
            );
            typed = name;
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
            assert_eq!(name, typed, "a sample outside its family");
            if labels != "}" {
                let (label, value) = labels.split_once("=\"").unwrap();
                assert!(is_metric_name(label) && !label.contains(':'));
                let value = value.strip_suffix("\"}").unwrap();
                assert!(!value.contains(['"', '\\', '\n']));
            }
            let twice = samples.insert(key.into(), value.parse().unwrap());
            assert_eq!(twice, None, "{key}");
        }
    }
    samples
}

#[test]
fn the_prometheus_text_follows_its_grammar() {
    let samples = read_prometheus(&sample().to_prometheus());
    for (sample, value) in [
        ("sockeye_uptime_seconds", 90_061.5),
        ("sockeye_connections", 7.0),
        ("sockeye_connections_opened_total", 11.0),
        ("sockeye_rate_limited_total", 5.0),
        (r#"sockeye_errors_total{cause="utf8"}"#, 3.0),
        (r#"sockeye_errors_total{cause="idle"}"#, 0.0),
        (r#"sockeye_closes_total{code="4xxx"}"#, 9.0),
        (r#"sockeye_closes_total{code="4711"}"#, 6.0),
        (r#"sockeye_handshake_failures_total{reason="tls"}"#, 9.0),
    ] {
        assert_eq!(samples[sample], value, "{sample}");
    }
    // No event adds a time series, but for the first codes of the application.
    let idle = read_prometheus(&Stats::default().to_prometheus());
    let own = |key: &&String| key.contains("code=\"4") && !key.contains("4xxx");
    assert!(idle.keys().eq(samples.keys().filter(|it| !own(it))));
    assert_eq!(samples.keys().filter(own).count(), 32);
}

fn with_topics() -> Stats {
    let topic = |namespace: &str, name: &str, subscribers, messages, bytes| TopicStats {
        namespace: namespace.into(),
        name: name.into(),
        subscribers,
        messages,
        bytes,
    };
    Stats {
        largest_topics: Vec::from([
            topic("/chat", "a \"b\"\\\n\r\u{1}é", 7, 8, u64::MAX),
            topic("/", "plain", 1, 2, 3),
        ]),
        ..sample()
    }
}

#[test]
fn both_formats_show_every_number_of_the_topics_that_they_are_given() {
    let json = with_topics().to_json();
    let (before, topics) = json.split_once(",\"largest_topics\":").unwrap();
    assert_eq!(alloc::format!("{before}}}"), sample().to_json());
    let escaped = concat!(
        r#"[{"namespace":"/chat","name":"a \"b\"\\\u000a\u000d\u0001é","subscribers":7,"#,
        r#""messages":8,"bytes":18446744073709551615},"#,
        r#"{"namespace":"/","name":"plain","subscribers":1,"messages":2,"bytes":3}]}"#,
    );
    assert_eq!(topics, escaped);

    let text = with_topics().to_prometheus();
    let topics = text.strip_prefix(&sample().to_prometheus()).unwrap();
    let name = r#"namespace="/chat",topic="a \"b\"\\\n"#;
    let name = alloc::format!("{name}\r\u{1}é\"");
    let expected = alloc::format!(
        "# HELP sockeye_topic_subscribers Subscribers of a topic now.\n\
         # TYPE sockeye_topic_subscribers gauge\n\
         sockeye_topic_subscribers{{{name}}} 7\n\
         sockeye_topic_subscribers{{namespace=\"/\",topic=\"plain\"}} 1\n\
         # HELP sockeye_topic_messages_total Messages published to a topic.\n\
         # TYPE sockeye_topic_messages_total counter\n\
         sockeye_topic_messages_total{{{name}}} 8\n\
         sockeye_topic_messages_total{{namespace=\"/\",topic=\"plain\"}} 2\n\
         # HELP sockeye_topic_bytes_total Bytes of messages published to a topic.\n\
         # TYPE sockeye_topic_bytes_total counter\n\
         sockeye_topic_bytes_total{{{name}}} 18446744073709551615\n\
         sockeye_topic_bytes_total{{namespace=\"/\",topic=\"plain\"}} 3\n",
    );
    assert_eq!(topics, expected);
}
