//! What a client is told of a server that refuses it, or is none: docs/cases.md C1, C3, C17, C18.

use harness::net::script::{Script, next_frame, served, switching};
use harness::sansio::TEXT;
use sockeye::Error;
use sockeye::client::connect;
use sockeye::error::{Foreign, HandshakeError, HttpError, ResponseError};

fn refused(answer: impl Into<Vec<u8>>) -> ResponseError {
    let server = Script::answers(answer);
    let result = connect(&server.url);
    let Err(Error::Handshake(HandshakeError::Response(error))) = result else {
        panic!("{result:?}");
    };
    server.end();
    *error
}

/// C17.
#[test]
fn a_refusal_has_its_body() {
    let json = br#"{"error":"token expired"}"#;
    let length = json.len();
    let plain = format!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    let error = refused([plain.as_bytes(), json].concat());
    assert_eq!((error.status, &*error.body), (401, &json[..]));
    assert_eq!(error.header("content-type"), Some(&b"application/json"[..]));

    let chunked = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nfirst\r\n7;x=y\r\n second\r\n0\r\n\r\n";
    assert_eq!(refused(chunked).body, b"first second");

    // Up to the end of the stream, or to what comes within a moment.
    let open = "HTTP/1.1 400 Bad Request\r\n\r\nnot to this port";
    assert_eq!(refused(open).body, b"not to this port");
    // What a body can't be is no other error.
    let broken = "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nx\r\n";
    assert_eq!(refused(broken).body, b"ok");
    for empty in [
        "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        assert_eq!(refused(empty).body, b"");
    }
}

/// C17 and C3: 64 KiB of it are kept, and no more is read.
#[test]
fn a_refusal_keeps_no_more_of_its_body_than_it_may() {
    let length = 100_000;
    let head = format!("HTTP/1.1 500 No\r\nContent-Length: {length}\r\n\r\n");
    let error = refused([head.as_bytes(), &vec![b'x'; length]].concat());
    assert_eq!(error.body.len(), 64 * 1024);
    assert!(!format!("{error:?}").contains("xxx"));
}

/// C17.
#[test]
fn every_header_of_the_101_can_be_read() {
    let server = Script::new(|mut peer| {
        let response = switching(&peer.head());
        let end = response.len() - 2;
        peer.write(&response[..end]);
        peer.write(b"Set-Cookie: a=1; HttpOnly\r\nX-Server: one\r\nset-cookie: b=\xff\r\n\r\n");
        peer.write(served(TEXT, b"behind"));
        assert_eq!(next_frame(&mut peer).payload, b"thanks");
    });
    let mut client = server.connect();
    let cookies: Vec<_> = client.header("Set-Cookie").collect();
    assert_eq!(cookies.len(), 2);
    assert_eq!(cookies[0], b"a=1; HttpOnly");
    let names: Vec<_> = client.headers().iter().map(|(name, _)| &**name).collect();
    let all = [
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Accept",
        "Set-Cookie",
        "X-Server",
        "set-cookie",
    ];
    assert_eq!(names, all);
    assert_eq!(client.recv().unwrap().unwrap().as_text(), Some("behind"));
    client.send("thanks").unwrap();
    server.end();
}

/// C18.
#[test]
fn what_answers_in_another_protocol_is_named() {
    let mail = b"220 mail.example ESMTP\r\n";
    for (answer, expected, text) in [
        (&b"SSH-2.0-OpenSSH_9.6\r\n"[..], Foreign::Ssh, "SSH"),
        // What a TLS server says to a request in plain text.
        (&[21, 3, 1, 0, 2, 2, 70], Foreign::Tls, "wss://"),
        (
            &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100],
            Foreign::Http2,
            "HTTP/2",
        ),
        (mail, Foreign::Other(mail[..].into()), "220 mail"),
    ] {
        let server = Script::answers(answer);
        let result = connect(&server.url);
        let Err(Error::Handshake(HandshakeError::Foreign(foreign))) = &result else {
            panic!("{result:?}");
        };
        assert_eq!(*foreign, expected);
        let told = result.unwrap_err().to_string();
        assert!(told.contains(text), "{told}");
        server.end();
    }
}

/// C18: it is the server that did it.
#[test]
fn a_malformed_response_is_not_laid_at_the_clients_door() {
    for (answer, error) in [
        ("HTTP/1.1 1O1 x\r\n\r\n", HttpError::StatusLine),
        ("HTTP/1.1 101 x\nUpgrade: x\r\n", HttpError::BareLf),
        (
            "HTTP/1.1 101 x\r\nno colon\r\n",
            HttpError::SpaceBeforeColon,
        ),
    ] {
        let server = Script::answers(answer);
        let result = connect(&server.url);
        let Err(Error::Handshake(HandshakeError::ResponseHead(found))) = &result else {
            panic!("{result:?}");
        };
        assert_eq!(*found, error);
        let told = result.unwrap_err().to_string();
        assert!(told.starts_with("the server"), "{told}");
        assert!(!told.contains("send "), "{told}");
        server.end();
    }
}
