//! The chat as a process; its rooms are tested in simulation (`simulated/rooms.rs`).

use super::{Example, assert_starts_and_stops};

#[test]
fn it_starts_and_stops() {
    assert_starts_and_stops("chat", "/rooms/a?name=ann");
}

#[test]
fn the_page_is_served_for_the_entrance_and_for_rooms() {
    let example = Example::start("chat", &[]);
    for path in ["/", "/chat", "/chat/blue", "/chat/blue?name=ann"] {
        example.get(path).assert_page("<title>Sockeye chat</title>");
    }
}
