//! The metrics as JSON, and in the format of Prometheus.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write as _};

use super::Stats;
use crate::server::topics::TopicStats;

/// The Prometheus type of a metric.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

use Kind::{Counter, Gauge};

/// Writing to a String doesn't fail. No name here, of a number or a label, has a character that
/// JSON or Prometheus would have escaped; a test holds them to it. Only topics have others.
macro_rules! push {
    ($to:expr, $($format:tt)*) => {
        write!($to, $($format)*).unwrap_or_default()
    };
}

impl Stats {
    /// The metrics without labels: name in JSON, kind, help, value.
    fn numbers(&self) -> [(&'static str, Kind, &'static str, u64); 18] {
        [
            (
                "connections",
                Gauge,
                "Connections open now.",
                self.connections,
            ),
            (
                "connections_opened",
                Counter,
                "Connections that ever opened.",
                self.connections_opened,
            ),
            (
                "connections_unused",
                Counter,
                "Connections that ended without having sent a byte.",
                self.connections_unused,
            ),
            (
                "messages_received",
                Counter,
                "Data messages received.",
                self.messages_received,
            ),
            (
                "messages_sent",
                Counter,
                "Data messages sent.",
                self.messages_sent,
            ),
            (
                "bytes_received",
                Counter,
                "Bytes read from transports.",
                self.bytes_received,
            ),
            (
                "bytes_sent",
                Counter,
                "Bytes written to transports.",
                self.bytes_sent,
            ),
            (
                "messages_published",
                Counter,
                "Messages published to topics.",
                self.messages_published,
            ),
            (
                "bytes_published",
                Counter,
                "Bytes of messages published to topics.",
                self.bytes_published,
            ),
            (
                "topics",
                Gauge,
                "Topics with a subscriber now.",
                self.topics,
            ),
            (
                "subscriptions",
                Gauge,
                "Subscriptions now.",
                self.subscriptions,
            ),
            (
                "queued_bytes",
                Gauge,
                "Bytes that wait to be written now.",
                self.queued_bytes,
            ),
            (
                "published_bytes",
                Gauge,
                "Bytes of published messages that are kept for slow subscribers.",
                self.published_bytes,
            ),
            (
                "inbox_bytes",
                Gauge,
                "Bytes that wait for the workers.",
                self.inbox_bytes,
            ),
            (
                "dropped",
                Counter,
                "Messages not sent because of a backlog.",
                self.dropped,
            ),
            (
                "conflated",
                Counter,
                "Messages that were replaced by later ones of their topic.",
                self.conflated,
            ),
            (
                "rate_limited",
                Counter,
                "Messages over a rate limit.",
                self.rate_limited,
            ),
            (
                "reconnections",
                Counter,
                "Connections of clients that came back.",
                self.reconnections,
            ),
        ]
    }

    /// As one JSON object, without white space:
    /// `{"uptime_seconds":3.5,"connections":2,…,"errors":{"frame":0,…},"closes":{"1000":1,…},
    /// "handshake_failures":{…}}`.
    ///
    /// [`largest_topics`](Self::largest_topics), if there are any, is an array of objects with
    /// `namespace`, `name`, `subscribers`, `messages` and `bytes`.
    ///
    /// Names are those of the fields. Integers above 2^53, which byte counts may reach, are exact;
    /// a reader with floating point numbers (JavaScript) rounds them.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(2048);
        json.push('{');
        json_member(&mut json, "uptime_seconds", self.uptime.as_secs_f64());
        for (name, _, _, value) in self.numbers() {
            json_member(&mut json, name, value);
        }
        json_counts(&mut json, "errors", self.errors.iter());
        json_counts(&mut json, "closes", self.closes.iter());
        json_counts(
            &mut json,
            "handshake_failures",
            self.handshake_failures.iter(),
        );
        if !self.largest_topics.is_empty() {
            self.topics_as_json(&mut json);
        }
        json.push('}');
        json
    }

    /// In the text format of Prometheus, version 0.0.4, to be served as
    /// [`PROMETHEUS_CONTENT_TYPE`](Self::PROMETHEUS_CONTENT_TYPE).
    ///
    /// Names begin with `sockeye_`, those of counters end in `_total`. Errors have the label
    /// `cause`, closes `code`, handshake failures `reason`; each value is always present, so that
    /// the first occurrence shows as an increase, except for the codes of applications, of which
    /// each is there from its first end on. Those of [`largest_topics`](Self::largest_topics) are
    /// `sockeye_topic_subscribers`, `sockeye_topic_messages_total` and `sockeye_topic_bytes_total`,
    /// with the labels `namespace` and `topic`.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let mut text = String::with_capacity(8192);
        family(
            &mut text,
            "uptime_seconds",
            Gauge,
            "Since the server began to run.",
        );
        sample(&mut text, "uptime_seconds", self.uptime.as_secs_f64());
        for (name, kind, help, value) in self.numbers() {
            let suffix = match kind {
                Counter => "_total",
                Gauge => "",
            };
            let mut full = String::from(name);
            full.push_str(suffix);
            family(&mut text, &full, kind, help);
            sample(&mut text, &full, value);
        }
        labelled(
            &mut text,
            "errors_total",
            "What connections failed of.",
            "cause",
            self.errors.iter(),
        );
        labelled(
            &mut text,
            "closes_total",
            "Connections ended, by close code.",
            "code",
            self.closes.iter(),
        );
        labelled(
            &mut text,
            "handshake_failures_total",
            "Why opening handshakes failed.",
            "reason",
            self.handshake_failures.iter(),
        );
        if !self.largest_topics.is_empty() {
            self.topics_as_samples(&mut text);
        }
        text
    }

    fn topics_as_json(&self, json: &mut String) {
        json.push_str(",\"largest_topics\":[");
        for (at, topic) in self.largest_topics.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let (namespace, name) = (JsonText(&topic.namespace), JsonText(&topic.name));
            push!(
                json,
                "{comma}{{\"namespace\":\"{namespace}\",\"name\":\"{name}\""
            );
            for (number, _, _, value) in topic_numbers() {
                json_member(json, number, value(topic));
            }
            json.push('}');
        }
        json.push(']');
    }

    fn topics_as_samples(&self, text: &mut String) {
        for (number, kind, help, value) in topic_numbers() {
            let suffix = match kind {
                Counter => "_total",
                Gauge => "",
            };
            let full = format!("topic_{number}{suffix}");
            family(text, &full, kind, help);
            for topic in &self.largest_topics {
                let (namespace, name) = (LabelText(&topic.namespace), LabelText(&topic.name));
                let value = value(topic);
                push!(
                    text,
                    "sockeye_{full}{{namespace=\"{namespace}\",topic=\"{name}\"}} {value}\n"
                );
            }
        }
    }
}

type TopicNumber = (&'static str, Kind, &'static str, fn(&TopicStats) -> u64);

/// The metrics of a topic, as [`Stats::numbers`] has those of the server.
fn topic_numbers() -> [TopicNumber; 3] {
    [
        ("subscribers", Gauge, "Subscribers of a topic now.", |it| {
            it.subscribers as u64
        }),
        (
            "messages",
            Counter,
            "Messages published to a topic.",
            |it| it.messages,
        ),
        (
            "bytes",
            Counter,
            "Bytes of messages published to a topic.",
            |it| it.bytes,
        ),
    ]
}

/// A text within a string of JSON (RFC 8259 section 7).
struct JsonText<'a>(&'a str);

impl fmt::Display for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|it| match it {
            '"' | '\\' => write!(f, "\\{it}"),
            '\0'..' ' => write!(f, "\\u{:04x}", it as u32),
            _ => f.write_char(it),
        })
    }
}

/// A text as the value of a label, as Prometheus' text format has it.
struct LabelText<'a>(&'a str);

impl fmt::Display for LabelText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|it| match it {
            '"' | '\\' => write!(f, "\\{it}"),
            '\n' => f.write_str("\\n"),
            _ => f.write_char(it),
        })
    }
}

fn json_member(json: &mut String, name: &str, value: impl fmt::Display) {
    if !json.ends_with('{') {
        json.push(',');
    }
    push!(json, "\"{name}\":{value}");
}

fn json_counts(
    json: &mut String,
    name: &str,
    counts: impl Iterator<Item = (impl AsRef<str>, u64)>,
) {
    push!(json, ",\"{name}\":{{");
    for (label, count) in counts {
        json_member(json, label.as_ref(), count);
    }
    json.push('}');
}

fn family(text: &mut String, name: &str, kind: Kind, help: &str) {
    let kind = match kind {
        Counter => "counter",
        Gauge => "gauge",
    };
    push!(
        text,
        "# HELP sockeye_{name} {help}\n# TYPE sockeye_{name} {kind}\n"
    );
}

fn sample(text: &mut String, name: &str, value: impl fmt::Display) {
    push!(text, "sockeye_{name} {value}\n");
}

fn labelled(
    text: &mut String,
    name: &str,
    help: &str,
    key: &str,
    counts: impl Iterator<Item = (impl fmt::Display, u64)>,
) {
    family(text, name, Counter, help);
    for (label, count) in counts {
        push!(text, "sockeye_{name}{{{key}=\"{label}\"}} {count}\n");
    }
}
