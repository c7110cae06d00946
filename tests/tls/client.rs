//! The blocking client over TLS, with rustls itself or our own server at the other end:
//! docs/cases.md C7, E4.

use core::time::Duration;
use std::env;
use std::io::{ErrorKind, Read as _};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;

use harness::net::script::{Script, next_frame, served, switching};
use harness::net::{GUARD, How, Peer, Probe, Running, Watch, config, patient, serve_with};
use harness::sansio::{CLOSE, TEXT, close_payload};
use harness::tls::{Authority, Identity, TlsClient, VERSIONS, accept, server};
use sockeye::Error;
use sockeye::client::{Client, ConnectOptions, connect};
use sockeye::error::HandshakeError;
use sockeye::proto::{CloseCode, Config};
use sockeye::rustls::{self, CertificateError, ClientConfig, ServerConfig};

const SHORT: Duration = Duration::from_millis(200);

fn with(tls: ClientConfig) -> ConnectOptions {
    let mut options = ConnectOptions::default();
    options.tls = Some(Arc::new(tls));
    options
}

/// A server that has accepted the opening handshake, over TLS.
fn open(peer: Peer, config: Arc<ServerConfig>) -> TlsClient {
    let mut peer = accept(peer, config);
    let request = peer.head();
    peer.write(switching(&request));
    peer
}

/// The script's URL, over TLS.
fn secure(script: &Script) -> String {
    script.url.replace("ws:", "wss:")
}

fn echo(identity: &Identity) -> (Running, Watch) {
    let mut config = patient();
    config.max_message_size = 16 << 20;
    serve_with(
        |it| {
            it.config(config)
                .tls(server(identity))
                .max_backpressure(32 << 20)
        },
        Probe::echo(),
    )
}

/// The URL of a server by another name.
fn url(server: &Running, host: &str) -> String {
    format!("wss://{host}:{}/chat", server.address.port())
}

#[track_caller]
fn ask(client: &mut Client, text: &str) {
    client.send(text).unwrap();
    let answer = client.recv().unwrap().unwrap();
    assert!(answer.as_text() == Some(text));
}

#[test]
fn both_versions_open_echo_and_close() {
    let authority = Authority::default();
    let (server, watch) = echo(&authority.issue("localhost"));
    for version in VERSIONS {
        let options = with(authority.client_of(&[version]));
        let mut client = options.connect(&url(&server, "localhost")).unwrap();
        ask(&mut client, "hello");
        client.close(CloseCode::NORMAL, "").unwrap();
        assert!(client.closed().unwrap().clean);
        assert_eq!(watch.close(), (1000, How::Clean));
    }
}

#[test]
fn a_text_of_several_mebibytes_goes_both_ways() {
    let authority = Authority::default();
    let (server, _watch) = echo(&authority.issue("localhost"));
    let mut options = with(authority.client());
    options.config.max_message_size = 16 << 20;
    let mut client = options.connect(&url(&server, "localhost")).unwrap();
    for _ in 0..2 {
        ask(&mut client, &"käse ".repeat(1 << 20));
    }
    client.close(None, "").unwrap();
}

/// C7: nothing of the request is sent to a server that isn't who it should be.
#[test]
fn a_certificate_that_is_not_to_be_trusted_ends_it_before_anything_is_sent() {
    let authority = Authority::default();
    let expired = authority.issue_with("localhost", |it| {
        it.not_before = rcgen::date_time_ymd(2001, 1, 1);
        it.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let early = authority.issue_with("localhost", |it| {
        it.not_before = rcgen::date_time_ymd(4000, 1, 1);
        it.not_after = rcgen::date_time_ymd(4001, 1, 1);
    });
    for (identity, expected) in [
        (authority.issue("example.org"), "NotValidForName"),
        (authority.issue("127.0.0.2"), "NotValidForName"),
        (expired, "Expired"),
        (early, "NotValidYet"),
        (
            Authority::named("another").issue("localhost"),
            "UnknownIssuer",
        ),
        // One that only calls itself the authority.
        (Authority::default().issue("localhost"), "BadSignature"),
    ] {
        let config = server(&identity);
        let script = Script::new(move |peer| {
            let mut peer = accept(peer, config);
            let mut sent = Vec::new();
            let result = peer.stream().read_to_end(&mut sent);
            assert!(result.is_err() && sent.is_empty(), "{result:?}");
        });
        let url = script.url.replace("ws://127.0.0.1", "wss://localhost");
        let result = with(authority.client()).connect(&url);
        let Err(Error::Tls(error)) = result else {
            panic!("{result:?}");
        };
        let rustls::Error::InvalidCertificate(error) = error else {
            panic!("{error}");
        };
        let found = format!("{error:?}");
        assert!(found.starts_with(expected), "{expected} in {found}");
        script.end();
    }
}

/// C7.
#[test]
fn an_address_is_checked_as_an_address() {
    let authority = Authority::default();
    let options = with(authority.client());
    let (right, _watch) = echo(&authority.issue("127.0.0.1"));
    let mut client = options.connect(&url(&right, "127.0.0.1")).unwrap();
    ask(&mut client, "hello");
    let (wrong, _watch) = echo(&authority.issue("localhost"));
    let result = options.connect(&url(&wrong, "127.0.0.1"));
    assert!(matches!(result, Err(Error::Tls(_))), "{result:?}");
    // And a name is no address.
    let result = options.connect(&url(&right, "localhost"));
    assert!(matches!(result, Err(Error::Tls(_))), "{result:?}");
}

/// C7: with no configuration it is the system that has to trust it.
#[test]
fn the_systems_roots_are_the_default() {
    const URL: &str = "SOCKEYE_TEST_WSS_URL";
    if let Ok(url) = env::var(URL) {
        ask(&mut connect(&url).unwrap(), "trusted");
        return;
    }
    let authority = Authority::default();
    let (server, _watch) = echo(&authority.issue("localhost"));
    let url = url(&server, "localhost");
    let result = connect(&url);
    let Err(Error::Tls(rustls::Error::InvalidCertificate(error))) = result else {
        panic!("{result:?}");
    };
    assert_eq!(error, CertificateError::UnknownIssuer);
    // Where the roots are files, a process can be given others.
    if cfg!(target_os = "linux") {
        let directory = env!("CARGO_TARGET_TMPDIR");
        let file = format!("{directory}/client_tls_roots.pem");
        std::fs::write(&file, &authority.pem).unwrap();
        let trusting = Command::new(env::current_exe().unwrap())
            .args(["--exact", "client::the_systems_roots_are_the_default"])
            .env(URL, url)
            .env("SSL_CERT_FILE", &file)
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&trusting.stdout);
        assert!(trusting.status.success(), "{told}");
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn the_server_is_told_the_name_and_http_and_sees_the_clients_certificate() {
    let authority = Authority::default();
    let me = authority.issue("me");
    for (host, sni) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let config = authority.asking_server(&authority.issue(host));
        let (known, sni) = (me.certificate.clone(), sni.map(str::to_string));
        let script = Script::new(move |peer| {
            let mut peer = accept(peer, config);
            let request = peer.head();
            let connection = &peer.stream().conn;
            assert_eq!(connection.server_name(), sni.as_deref());
            assert_eq!(connection.peer_certificates(), Some(&[known][..]));
            peer.write(switching(&request));
            peer.write(served(TEXT, b"you are you"));
            peer.expect_end();
        });
        let url = script
            .url
            .replace("ws://127.0.0.1", &format!("wss://{host}"));
        let options = with(authority.certified_client(&me));
        let mut client = options.connect(&url).unwrap();
        let message = client.recv().unwrap().unwrap();
        assert_eq!(message.as_text(), Some("you are you"));
        drop(client);
        script.end();
    }
}

#[test]
fn the_name_of_the_certificate_may_be_another_than_the_urls() {
    let authority = Authority::default();
    let config = server(&authority.issue("localhost"));
    let script = Script::new(move |peer| {
        let mut peer = accept(peer, config);
        let request = peer.head();
        assert_eq!(peer.stream().conn.server_name(), Some("localhost"));
        peer.write(switching(&request));
        peer.expect_end();
    });
    let mut options = with(authority.client());
    options.server_name = Some("localhost".into());
    drop(options.connect(&secure(&script)).unwrap());
    script.end();
}

#[test]
fn a_close_ends_with_close_notify_of_both_sides() {
    let authority = Authority::default();
    for server_first in [false, true] {
        let config = server(&authority.issue("127.0.0.1"));
        let script = Script::new(move |peer| {
            let mut peer = open(peer, config);
            let close = served(CLOSE, &close_payload(1000, b""));
            if server_first {
                // With its answer the client has read this Close, and close_notify comes alone.
                peer.write(&close);
            }
            assert_eq!(next_frame(&mut peer).close_code(), Some(1000));
            if !server_first {
                peer.write(&close);
            }
            let stream = peer.stream();
            stream.conn.send_close_notify();
            stream.conn.complete_io(&mut stream.sock).unwrap();
            // An end without the client's would be an error.
            peer.expect_eof();
        });
        let url = secure(&script);
        let mut client = with(authority.client()).connect(&url).unwrap();
        if server_first {
            assert!(client.recv().unwrap().is_none());
        } else {
            client.close(CloseCode::NORMAL, "").unwrap();
        }
        assert!(client.closed().unwrap().clean);
        drop(client);
        script.end();
    }
}

/// E4.
#[test]
fn an_end_of_tcp_without_close_notify_is_an_error_behind_what_came() {
    let authority = Authority::default();
    let config = server(&authority.issue("127.0.0.1"));
    let script = Script::new(move |peer| {
        let mut peer = open(peer, config);
        peer.write(served(TEXT, b"last"));
    });
    let url = secure(&script);
    let mut client = with(authority.client()).connect(&url).unwrap();
    let last = client.recv().unwrap().unwrap();
    assert_eq!(last.as_text(), Some("last"));
    script.end();
    let Err(Error::Io(error)) = client.recv() else {
        panic!("a clean end");
    };
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("close_notify"));
    // C14: once, and everything knows of it.
    assert!(!client.is_open());
    assert_eq!(client.closed().unwrap().code, CloseCode::ABNORMAL);
    for _ in 0..3 {
        assert!(client.recv().unwrap().is_none());
    }
}

#[test]
fn the_deadline_of_the_connect_is_also_that_of_the_tls_handshake() {
    let authority = Authority::default();
    let mut options = with(authority.client());
    options.config = short();
    let (done, wait) = channel::<()>();
    let script = Script::new(move |_peer| _ = wait.recv_timeout(GUARD));
    let result = options.connect(&secure(&script));
    let timeout = HandshakeError::Timeout { timeout: SHORT };
    assert!(
        matches!(&result, Err(Error::Handshake(it)) if *it == timeout),
        "{result:?}"
    );
    drop(done);
    script.end();
}

fn short() -> Config {
    config(|it| it.handshake_timeout = SHORT)
}

#[test]
fn a_server_without_tls_is_an_error_of_tls() {
    let script = Script::new(|mut peer| {
        peer.write("HTTP/1.1 400 Bad Request\r\n\r\n");
        peer.expect_end();
    });
    let authority = Authority::default();
    let result = with(authority.client()).connect(&secure(&script));
    // C18.
    let Err(Error::Tls(rustls::Error::General(text))) = result else {
        panic!("{result:?}");
    };
    assert!(text.contains("ws://"), "{text}");
    script.end();
}

#[test]
fn a_server_that_takes_nothing_is_given_up_after_the_send_timeout() {
    let authority = Authority::default();
    let config = server(&authority.issue("127.0.0.1"));
    let (done, wait) = channel::<()>();
    let script = Script::new(move |peer| {
        let _peer = open(peer, config);
        let _ = wait.recv_timeout(GUARD);
    });
    let mut options = with(authority.client());
    options.send_timeout = SHORT;
    let url = secure(&script);
    let mut client = options.connect(&url).unwrap();
    let Err(Error::Io(error)) = client.send(&vec![0; 32 << 20]) else {
        panic!("sent");
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(done);
    script.end();
}
