use std::net::TcpListener;

use socket2::SockRef;

use super::{BoundSocket, Listener};

#[test]
fn ipv6_alone_or_not_is_as_it_is_asked_for() {
    // Where the machine has none there is nothing to test.
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    for only in [true, false] {
        let bound = Listener::tcp("[::1]:0").only_v6(only).bind(None).unwrap();
        let BoundSocket::Tcp(listener) = &bound.socket else {
            panic!("it is TCP");
        };
        assert_eq!(SockRef::from(listener).only_v6().unwrap(), only);
    }
    // Of several addresses, those of IPv4 have nothing of it.
    assert!(
        Listener::tcp("127.0.0.1:0")
            .only_v6(true)
            .bind(None)
            .is_ok()
    );
}
