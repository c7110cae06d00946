//! A client's connection between any stream and any application; see `sockeye_fuzz::connection`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye::proto::Role;

fuzz_target!(|data: &[u8]| sockeye_fuzz::connection::run(data, Role::Client));
