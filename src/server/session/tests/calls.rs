//! System calls: what the usual turn costs at the transport.

use super::*;

#[test]
fn a_burst_that_is_echoed_costs_one_read_and_one_write() {
    let many = |count: usize, length| (0..count).fold(Client::new(), |it, _| it.binary(length));
    let bursts = [
        ("one short message", many(1, 20)),
        ("many short ones", many(16, 20)),
        ("many of 1 KiB", many(16, 1024)),
        ("four of 16 KiB", many(4, 16 * 1024)),
        ("text, and binary", many(3, 500).text("Grüße").binary(3)),
        (
            "fragments, with pings between",
            many(1, 20).fragments(900, 100),
        ),
    ];
    for (name, client) in bursts {
        let mut rig = Rig::open(|_, _| {});
        let before = rig.wire(|wire| wire.calls);
        rig.receive(client.1);
        let calls = rig.wire(|wire| wire.calls) - before;
        assert_eq!(calls, 2, "{name}");
    }
}
