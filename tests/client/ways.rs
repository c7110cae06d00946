//! Ways to a server: proxies, redirects, streams of the application's, and what the request says then.
//! docs/cases.md C6.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use harness::net::Peer;
use harness::net::script::{Script, next_frame, served, switching};
use harness::sansio::TEXT;
use sockeye::Error;
use sockeye::client::{ConnectOptions, Proxy, ProxyError, Received, Resolver, Stream};
use sockeye::error::{HandshakeError, Misuse, UrlError};

/// A server that expects a line of its request, and echoes one message.
fn expecting(line: &'static str) -> Script {
    Script::new(move |mut peer| {
        let head = peer.head();
        let text = core::str::from_utf8(&head).unwrap();
        assert!(text.lines().any(|it| it == line), "{line:?} in {text}");
        peer.write(switching(&head));
        let message = next_frame(&mut peer);
        peer.write(served(TEXT, &message.payload));
        peer.expect_end();
    })
}

#[track_caller]
fn echoes(options: &ConnectOptions, url: &str) {
    let mut client = options.connect(url).unwrap();
    client.send("through").unwrap();
    assert_eq!(client.recv().unwrap().unwrap().as_text(), Some("through"));
}

fn relay(one: TcpStream, other: TcpStream) {
    let (mut from, mut to) = (one.try_clone().unwrap(), other.try_clone().unwrap());
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let (mut from, mut to) = (other, one);
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
    back.join().unwrap();
}

/// A proxy for one connection; `play` does its handshake and returns where to connect.
fn proxy(play: impl FnOnce(&mut Peer) -> Option<String> + Send + 'static) -> (String, Script) {
    let script = Script::new(move |mut peer| {
        if let Some(target) = play(&mut peer) {
            relay(peer.into_inner(), TcpStream::connect(target).unwrap());
        } else {
            peer.expect_end();
        }
    });
    (script.address().to_string(), script)
}

fn through(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::default();
    options.proxy = Some(Proxy::parse(url).unwrap());
    options
}

// ---- proxies --------------------------------------------------------------------------------

#[test]
fn an_http_proxy_connects_to_the_name_and_is_told_the_credentials() {
    let server = expecting("Host: chat.example");
    let target = server.address().to_string();
    let (address, proxy) = proxy(|peer| {
        let head = peer.head();
        let text = core::str::from_utf8(&head).unwrap();
        assert!(
            text.starts_with("CONNECT chat.example:80 HTTP/1.1\r\n"),
            "{text}"
        );
        // me:secret.
        assert!(
            text.contains("\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n"),
            "{text}"
        );
        peer.write("HTTP/1.1 200 OK\r\n\r\n");
        Some(target)
    });
    let options = through(&format!("http://me:secret@{address}"));
    echoes(&options, "ws://chat.example/");
    server.end();
    proxy.end();
}

#[test]
fn a_proxy_that_refuses_is_told_apart_from_a_server_that_does() {
    let (address, proxy) = proxy(|peer| {
        peer.head();
        peer.write("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        None
    });
    let result = through(&address).connect("ws://chat.example/");
    assert!(
        matches!(result, Err(Error::Proxy(ProxyError::Status(407)))),
        "{result:?}"
    );
    proxy.end();
    // And one that is gone.
    let (address, proxy) = self::proxy(|peer| {
        peer.head();
        peer.shut_write();
        None
    });
    let result = through(&address).connect("ws://chat.example/");
    assert!(
        matches!(result, Err(Error::Proxy(ProxyError::Eof))),
        "{result:?}"
    );
    proxy.end();
}

#[test]
fn a_proxy_that_never_answers_ends_it_at_the_deadline() {
    let (address, proxy) = proxy(|peer| {
        peer.head();
        None
    });
    let mut options = through(&address);
    options.config.handshake_timeout = core::time::Duration::from_millis(100);
    let result = options.connect("ws://chat.example/");
    assert!(
        matches!(result, Err(Error::Proxy(ProxyError::Timeout))),
        "{result:?}"
    );
    proxy.end();
}

#[test]
fn a_socks_proxy_is_given_the_name_or_the_address_as_its_scheme_says() {
    for (scheme, request) in [
        ("socks5h", &b"\x05\x01\x00\x03\x0cchat.example\x00\x50"[..]),
        ("socks5", b"\x05\x01\x00\x01\xc0\x00\x02\x09\x00\x50"),
    ] {
        let server = expecting("Host: chat.example");
        let target = server.address().to_string();
        let (address, proxy) = proxy(move |peer| {
            assert_eq!(peer.read(4), [5, 2, 0, 2]);
            peer.write([5, 2]);
            assert_eq!(peer.read(13), b"\x01\x02me\x08s:ecret!");
            peer.write([1, 0]);
            assert_eq!(peer.read(request.len()), request);
            peer.write([5, 0, 0, 1, 127, 0, 0, 1, 0, 80]);
            Some(target)
        });
        let mut options = through(&format!("{scheme}://me:s%3Aecret!@{address}"));
        options.resolver = Some(Resolver::new(|host, port| {
            Ok(match host {
                "chat.example" => vec![format!("192.0.2.9:{port}").parse().unwrap()],
                host => vec![format!("{host}:{port}").parse().unwrap()],
            })
        }));
        echoes(&options, "ws://chat.example/");
        server.end();
        proxy.end();
    }
}

// ---- the request ----------------------------------------------------------------------------

#[test]
fn user_info_is_sent_as_authorization_where_that_is_wanted() {
    // me:s:ecret.
    let server = expecting("Authorization: Basic bWU6czplY3JldA==");
    let url = server.url.replace("ws://", "ws://me:s%3Aecret@");
    let mut options = ConnectOptions::default();
    let result = options.connect(&url);
    assert!(
        matches!(result, Err(Error::Misuse(Misuse::Url(UrlError::UserInfo)))),
        "{result:?}"
    );
    options.user_info = true;
    echoes(&options, &url);
    server.end();
    // The application's own comes first.
    let server = expecting("authorization: Bearer token");
    let header = ("authorization".to_string(), "Bearer token".to_string());
    options.request.headers.push(header);
    echoes(&options, &server.url.replace("ws://", "ws://me@"));
    server.end();
}

#[test]
fn the_host_may_be_another_than_the_urls() {
    let server = expecting("Host: chat.example:81");
    let mut options = ConnectOptions::default();
    options.request.host = Some("chat.example:81".into());
    echoes(&options, &server.url);
    server.end();
    for bad in ["", "a b", "a\r\nX: y"] {
        options.request.host = Some(bad.into());
        let result = options.connect("ws://127.0.0.1:1/");
        assert!(
            matches!(result, Err(Error::Misuse(Misuse::Header(_)))),
            "{result:?}"
        );
    }
}

// ---- redirects ------------------------------------------------------------------------------

fn moved(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

fn with_credentials() -> ConnectOptions {
    let mut options = ConnectOptions::default();
    for name in ["Authorization", "Cookie", "X-Kept"] {
        options.request.headers.push((name.into(), "value".into()));
    }
    options
}

/// C6.
#[test]
fn a_redirect_is_followed_where_that_is_wanted_and_credentials_stay_with_their_origin() {
    let server = Script::new(|mut peer| {
        let head = peer.head();
        let text = core::str::from_utf8(&head).unwrap();
        assert!(text.starts_with("GET /new?x=y "), "{text}");
        assert!(text.contains("\r\nX-Kept: value\r\n"), "{text}");
        for name in ["Authorization", "Cookie"] {
            assert!(!text.contains(name), "{text}");
        }
        peer.write(switching(&head));
        let message = next_frame(&mut peer);
        peer.write(served(TEXT, &message.payload));
        peer.expect_end();
    });
    let location = format!("http://{}/new?x=y", server.address());
    let first = Script::answers(moved(308, &location));
    let mut options = with_credentials();
    options.max_redirects = 1;
    echoes(&options, &first.url);
    first.end();
    server.end();
}

/// C6: the same origin gets them again.
#[test]
fn a_redirect_within_the_origin_keeps_everything() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/old/a", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let mut first = Peer::new(listener.accept().unwrap().0);
        first.head();
        first.write(moved(302, "../new"));
        first.expect_end();
        let mut second = Peer::new(listener.accept().unwrap().0);
        let head = second.head();
        let text = core::str::from_utf8(&head).unwrap();
        assert!(text.starts_with("GET /new "), "{text}");
        assert!(text.contains("\r\nAuthorization: value\r\n"), "{text}");
        second.write(switching(&head));
        second.expect_end();
    });
    let mut options = with_credentials();
    options.max_redirects = 5;
    drop(options.connect(&url).unwrap());
    server.join().unwrap();
}

/// C6.
#[test]
fn a_redirect_that_is_not_followed_is_a_refusal_with_its_location() {
    for (status, allowed, location) in [
        (302, 0, "ws://127.0.0.1:1/"),
        (301, 1, "ftp://127.0.0.1/"),
        (301, 1, "ws://me:secret@127.0.0.1:1/"),
        (300, 1, "ws://127.0.0.1:1/"),
    ] {
        let server = Script::answers(moved(status, location));
        let mut options = ConnectOptions::default();
        options.max_redirects = allowed;
        let result = options.connect(&server.url);
        let Err(Error::Handshake(HandshakeError::Response(error))) = result else {
            panic!("{result:?}");
        };
        assert_eq!(error.status, status);
        assert_eq!(error.header("location"), Some(location.as_bytes()));
        server.end();
    }
    // One after the other, until there are too many.
    let last = Script::answers(moved(307, "ws://127.0.0.1:1/"));
    let first = Script::answers(moved(307, &last.url));
    let mut options = ConnectOptions::default();
    options.max_redirects = 1;
    let result = options.connect(&first.url);
    assert!(
        matches!(&result, Err(Error::Handshake(HandshakeError::Response(it))) if it.status == 307),
        "{result:?}"
    );
    first.end();
    last.end();
}

// ---- streams of the application's -----------------------------------------------------------

/// A stream in memory, which knows nothing of waiting.
#[derive(Clone, Default)]
struct Pipe {
    read: Arc<Mutex<VecDeque<u8>>>,
    written: Arc<Mutex<VecDeque<u8>>>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.read.lock().unwrap();
        match bytes.is_empty() {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => bytes.read(buffer),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn any_stream_carries_a_connection_and_its_time_limits() {
    let near = Pipe::default();
    let far = Pipe {
        read: Arc::clone(&near.written),
        written: Arc::clone(&near.read),
    };
    let server = thread::spawn(move || {
        let mut far = far;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match far.read(&mut byte) {
                Ok(count) => head.extend(&byte[..count]),
                Err(_) => thread::yield_now(),
            }
        }
        far.write_all(&switching(&head)).unwrap();
        far.write_all(&served(TEXT, b"over anything")).unwrap();
    });
    let options = ConnectOptions::default();
    let mut client = options
        .connect_over("ws://chat.example/", Stream::new(near))
        .unwrap();
    let message = client.recv().unwrap().unwrap();
    assert_eq!(message.as_text(), Some("over anything"));
    let nothing = client.recv_timeout(core::time::Duration::from_millis(20));
    assert!(matches!(nothing, Ok(Received::TimedOut)), "{nothing:?}");
    assert!(client.peer_addr().is_err());
    server.join().unwrap();
}
