//! Where the programs are that the tests run: cargo builds them with the tests of the whole
//! workspace, into the directory that has the tests.

use std::path::PathBuf;

/// `target/…/deps`, which has the test that asks, and what is beside it.
fn beside(path: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let directory = test
        .ancestors()
        .nth(2)
        .expect("it is in a directory's deps");
    let program = directory.join(path);
    assert!(program.exists(), "{program:?}: test the whole workspace");
    program
}

/// An example.
pub fn example(name: &str) -> PathBuf {
    beside(&format!("examples/{name}"))
}

/// The program `sockeye`, if the feature `cli` is on.
pub fn sockeye() -> PathBuf {
    beside("sockeye")
}
