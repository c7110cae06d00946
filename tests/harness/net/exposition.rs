//! A reader of Prometheus' text format for tests.

use std::collections::BTreeMap;

/// Reads the text format, version 0.0.4, as strictly as its definition allows; returns the samples
/// by name and labels.
pub fn exposition(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'));
    let (mut samples, mut families) = (BTreeMap::new(), BTreeMap::new());
    let mut family = "";
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help text");
            assert!(is_name(name) && !help.contains('\\'), "{line}");
            family = name;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert_eq!(name, family, "HELP and TYPE stand together");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(kind == "counter" || kind == "gauge", "{line}");
            assert!(families.insert(name, kind).is_none(), "{name} twice");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            assert_eq!(name, family, "a sample of another family");
            assert!(is_label(labels.strip_suffix('}').unwrap()), "{line}");
            let value = value.parse().expect("a number");
            assert!(samples.insert(series.into(), value).is_none(), "{series}");
        }
    }
    assert!(families.len() > 10);
    samples
}

fn is_name(name: &str) -> bool {
    let rest = |it: char| it.is_ascii_alphanumeric() || it == '_';
    name.starts_with(|it: char| it.is_ascii_alphabetic()) && name.chars().all(rest)
}

/// No label, or one whose value needs no escaping.
fn is_label(label: &str) -> bool {
    label.is_empty()
        || label.split_once('=').is_some_and(|(name, value)| {
            let value = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
            is_name(name) && value.is_some_and(|it| !it.contains(['"', '\\', '\n']))
        })
}
