//! The programs of the package, as processes.
#![cfg(unix)]

mod bench;
