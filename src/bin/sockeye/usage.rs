//! The program as somebody meets it first. That cargo builds it for this test is what the suite
//! `tools` relies on.
#![cfg(feature = "cli")]

#[test]
fn help_says_how_it_is_used() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sockeye"))
        .args(["bench", "--help"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains("Usage: sockeye bench"),
        "{text}"
    );
}
