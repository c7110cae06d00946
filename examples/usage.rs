//! The programs of the package as somebody meets them first. Cargo builds the program `sockeye`
//! with its package's tests, which those of the whole workspace rely on.

#[cfg(feature = "cli")]
#[test]
fn the_load_generator_says_how_it_is_used() {
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
