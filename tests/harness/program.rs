//! Where the programs that the tests run are: cargo builds them with the tests of the whole
//! workspace, into the directory of the tests.

use std::path::PathBuf;

/// `target/…/deps`, which holds the test that is running, and what lies beside it.
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

/// Returns the path of an example.
pub fn example(name: &str) -> PathBuf {
    beside(&format!("examples/{name}"))
}

/// Returns the path of the program `sockeye`, if the feature `cli` is on.
pub fn sockeye() -> PathBuf {
    beside("sockeye")
}
