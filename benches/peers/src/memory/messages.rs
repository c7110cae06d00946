//! Whole messages through each library's connection: frames to messages, with text checked, and
//! messages to frames.
//!
//! A read is a copy of at most 64 KiB for all of them, and so `copy` is these reads alone. How much
//! of it a library takes at once is its own choice.

use std::hint::black_box;
use std::io::{IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fastwebsockets::{FragmentCollector, Frame, Payload};
use futures_util::{FutureExt, SinkExt, StreamExt};
use sockeye::proto::{Config, Connection, Event, Input, MessageKind, MessageRef, Scratch};
use sockudo_ws::protocol::Protocol;
use tokio_util::compat::TokioAsyncReadCompatExt;
use wtx::web_socket::{WebSocketBuffer, WebSocketPayloadOrigin};

use crate::pipe::{Pipe, READ};
use crate::{ASCII, Group, MIXED, Row, text};

const SIZES: [usize; 5] = [16, 125, 1 << 10, 16 << 10, 1 << 20];
const NOW: Duration = Duration::ZERO;
/// The longest message, as most have it.
const LONGEST: usize = 64 << 20;

pub fn groups() -> Vec<Group> {
    let group = |name: &str, kind, words, size, read| {
        Group::new("decode", name, decode(kind, &text(words, size), read))
    };
    let (as_text, binary) = (MessageKind::Text, MessageKind::Binary);
    let decode = SIZES.map(|size| group(&size.to_string(), as_text, ASCII, size, READ));
    // Reads of the header and all of its payload, as of a peer that awaits each answer.
    let (frame, long_frame) = (8 + (16 << 10), 14 + (1 << 20));
    let others = [
        group("1024 mixed", as_text, MIXED, 1024, READ),
        group("16384 binary", binary, ASCII, 16 << 10, READ),
        group("16384 in one read", as_text, ASCII, 16 << 10, frame),
        group("16384 binary in one read", binary, ASCII, 16 << 10, frame),
        group("1048576 in one read", as_text, ASCII, 1 << 20, long_frame),
    ];
    let encode = SIZES.map(|size| Group::new("encode", size, encode(size)));
    decode.into_iter().chain(others).chain(encode).collect()
}

/// Messages for each call.
fn burst(size: usize) -> usize {
    (READ / size).clamp(2, 512)
}

/// No future here waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}

/// A client's frames.
fn frames(kind: MessageKind, text: &str, count: usize) -> Vec<u8> {
    let random = |key: &mut [u8]| key.copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
    let mut client = Connection::client(Arc::new(Config::default()), Box::new(random), NOW);
    let mut out = Vec::new();
    let message = match kind {
        MessageKind::Text => MessageRef::Text(text),
        MessageKind::Binary => MessageRef::Binary(text.as_bytes()),
    };
    for _ in 0..count {
        client.send(message, &mut out).expect("it is open");
    }
    out
}

fn decode(kind: MessageKind, text: &str, read: usize) -> Vec<Row> {
    let count = burst(text.len());
    let frames = frames(kind, text, count);
    let length = frames.len();
    let pipe = || Pipe::with_reads(&frames, read);
    let copy = |name| {
        let (mut pipe, mut buffer) = (pipe(), vec![0; read]);
        Row::new(name, count, move || {
            let mut left = length;
            while left > 0 {
                left -= pipe.read(&mut buffer).expect("it has bytes");
                black_box(&buffer);
            }
        })
    };

    let sockeye = |buffer| sockeye(pipe(), buffer, count);

    let role = tungstenite::protocol::Role::Server;
    let mut socket = tungstenite::WebSocket::from_raw_socket(pipe(), role, None);
    let tungstenite = move || {
        for _ in 0..count {
            black_box(socket.read().expect("sound"));
        }
    };

    let role = fastwebsockets::Role::Server;
    let socket = fastwebsockets::WebSocket::after_handshake(pipe(), role);
    let mut socket = FragmentCollector::new(socket);
    let fastwebsockets = move || {
        now(async {
            for _ in 0..count {
                black_box(&*socket.read_frame().await.expect("sound").payload);
            }
        });
    };

    let mut socket = tokio_websockets::ServerBuilder::new().serve(pipe());
    let tokio_websockets = move || {
        now(async {
            for _ in 0..count {
                black_box(socket.next().await.expect("endless").expect("sound"));
            }
        });
    };

    let mut source = pipe();
    let mut protocol = Protocol::new(sockudo_ws::Role::Server, LONGEST, LONGEST);
    let (mut bytes, mut messages) = (BytesMut::with_capacity(read), Vec::new());
    let sockudo = move || {
        let mut done = 0;
        while done < count {
            bytes.reserve(read);
            let read = tokio::io::AsyncReadExt::read_buf(&mut source, &mut bytes);
            assert!(now(read).expect("it has bytes") > 0);
            protocol
                .process_into(&mut bytes, &mut messages)
                .expect("sound");
            done += messages.len();
            messages
                .drain(..)
                .for_each(|message| drop(black_box(message)));
        }
    };

    let options = yawc::Options::default()
        .with_limits(LONGEST, LONGEST)
        .with_utf8();
    let options = options.with_read_buffer_capacity(128 * 1024);
    let mut socket =
        yawc::WebSocket::from_stream(pipe(), yawc::Role::Server, options).expect("options");
    let yawc = move || {
        now(async {
            for _ in 0..count {
                black_box(socket.next_frame().await.expect("sound"));
            }
        });
    };

    let builder = soketto::connection::Builder::new(pipe().compat(), soketto::Mode::Server);
    let (_sender, mut receiver) = builder.finish();
    let mut message = Vec::new();
    let soketto = move || {
        now(async {
            for _ in 0..count {
                message.clear();
                receiver.receive_data(&mut message).await.expect("sound");
                // It leaves that to its user.
                if kind == MessageKind::Text {
                    black_box(std::str::from_utf8(&message).expect("text"));
                }
            }
        });
    };

    let mut socket = wtx_socket(pipe());
    let mut buffer = wtx::collection::Vector::new();
    let wtx = move || {
        now(async {
            for _ in 0..count {
                let origin = WebSocketPayloadOrigin::Adaptive;
                let frame = socket.read_frame(&mut buffer, origin).await.expect("sound");
                black_box(frame.payload());
            }
        });
    };

    vec![
        copy("copy"),
        Row::new("sockeye", count, sockeye(read)),
        Row::new("sockeye, 16 KiB", count, sockeye(16 << 10)),
        Row::new("tungstenite", count, tungstenite),
        Row::new("fastwebsockets", count, fastwebsockets),
        Row::new("tokio-websockets", count, tokio_websockets),
        Row::new("sockudo-ws", count, sockudo),
        Row::new("yawc", count, yawc),
        Row::new("soketto", count, soketto),
        Row::new("wtx", count, wtx),
        copy("copy again"),
    ]
}

/// With a buffer of so many bytes for the reads, which is its caller's choice.
fn sockeye(mut source: Pipe, buffer: usize, count: usize) -> impl FnMut() {
    let mut buffer = vec![0; buffer];
    let mut connection = Connection::server(Arc::new(Config::default()), NOW);
    let (mut out, mut scratch) = (Vec::new(), Scratch::new());
    move || {
        let mut messages = 0;
        while messages < count {
            // Within a large message, to where it is assembled.
            let read = match connection.space() {
                Some(mut space) => {
                    let read = source.read(&mut space).expect("it has bytes");
                    space.filled(read)
                }
                None => source.read(&mut buffer).expect("it has bytes"),
            };
            let mut input = Input::new(&mut buffer[..read]);
            while let Some(event) = connection
                .recv_with(&mut input, &mut scratch, &mut out, NOW)
                .expect("sound")
            {
                if let Event::Message(message) = event {
                    messages += 1;
                    black_box(message.as_bytes());
                    scratch.recycle(message.into_payload());
                }
            }
        }
    }
}

type WtxSocket = wtx::web_socket::WebSocketOwned<(), wtx::rng::Xorshift64, Pipe, false>;

fn wtx_socket(pipe: Pipe) -> WtxSocket {
    let random = wtx::rng::Xorshift64::from(1);
    WtxSocket::new((), false, random, pipe, WebSocketBuffer::new())
}

fn encode(size: usize) -> Vec<Row> {
    let count = burst(size);
    let payload = Bytes::from(text(ASCII, size));
    let pipe = || Pipe::new(&[0]);
    let copy = |name| {
        let (payload, mut out) = (payload.clone(), Vec::new());
        Row::new(name, count, move || {
            out.clear();
            for _ in 0..count {
                out.extend_from_slice(black_box(&payload));
            }
            black_box(&out);
        })
    };

    let mut connection = Connection::server(Arc::new(Config::default()), NOW);
    let (data, mut out) = (payload.clone(), Vec::new());
    let sockeye = move || {
        out.clear();
        for _ in 0..count {
            connection
                .send(MessageRef::Binary(&data), &mut out)
                .expect("open");
        }
        black_box(&out);
    };

    // Written whenever 8 KiB are there, as fastwebsockets and tokio-websockets do by themselves, or
    // sooner.
    let mut connection = Connection::server(Arc::new(Config::default()), NOW);
    let (data, mut out, mut sink) = (payload.clone(), Vec::new(), pipe());
    let written = move || {
        for left in (0..count).rev() {
            connection
                .send(MessageRef::Binary(&data), &mut out)
                .expect("open");
            if out.len() >= 8 << 10 || left == 0 {
                sink.write_all(black_box(&out)).expect("endless");
                out.clear();
            }
        }
    };

    // The headers alone: the payloads go from where they are.
    let mut connection = Connection::server(Arc::new(Config::default()), NOW);
    let (data, mut header, mut sink) = (payload.clone(), Vec::new(), pipe());
    let vectored = move || {
        for _ in 0..count {
            header.clear();
            connection
                .send_header(MessageKind::Binary, data.len() as u64, &mut header)
                .expect("open")
                .pass(&data);
            let slices = [IoSlice::new(&header), IoSlice::new(&data)];
            let written = sink.write_vectored(black_box(&slices)).expect("endless");
            black_box(written);
        }
    };

    let role = tungstenite::protocol::Role::Server;
    let mut socket = tungstenite::WebSocket::from_raw_socket(pipe(), role, None);
    let data = payload.clone();
    let tungstenite = move || {
        for _ in 0..count {
            socket
                .write(tungstenite::Message::Binary(data.clone()))
                .expect("open");
        }
        socket.flush().expect("open");
    };

    let role = fastwebsockets::Role::Server;
    let mut socket = fastwebsockets::WebSocket::after_handshake(pipe(), role);
    // Its frames borrow for as long as its socket lives.
    let data: &'static [u8] = payload.to_vec().leak();
    let fastwebsockets = move || {
        now(async {
            for _ in 0..count {
                let frame = Frame::binary(Payload::Borrowed(data));
                socket.write_frame(frame).await.expect("open");
            }
        });
    };

    let mut socket = tokio_websockets::ServerBuilder::new()
        .config(tokio_websockets::Config::default().frame_size(usize::MAX))
        .serve(pipe());
    let data = payload.clone();
    let tokio_websockets = move || {
        now(async {
            for _ in 0..count {
                let message = tokio_websockets::Message::binary(data.clone());
                socket.feed(message).await.expect("open");
            }
            socket.flush().await.expect("open");
        });
    };

    let mut protocol = Protocol::new(sockudo_ws::Role::Server, LONGEST, LONGEST);
    let (data, mut out) = (payload.clone(), BytesMut::new());
    let sockudo = move || {
        out.clear();
        for _ in 0..count {
            let message = sockudo_ws::Message::Binary(data.clone());
            protocol.encode_message(&message, &mut out).expect("open");
        }
        black_box(&out);
    };

    let options = yawc::Options::default().with_backpressure_boundary(64 * 1024);
    let mut socket =
        yawc::WebSocket::from_stream(pipe(), yawc::Role::Server, options).expect("options");
    let data = payload.clone();
    let yawc = move || {
        now(async {
            for _ in 0..count {
                socket
                    .feed(yawc::Frame::binary(data.clone()))
                    .await
                    .expect("open");
            }
            socket.flush().await.expect("open");
        });
    };

    let builder = soketto::connection::Builder::new(pipe().compat(), soketto::Mode::Server);
    let (mut sender, _receiver) = builder.finish();
    let data = payload.clone();
    let soketto = move || {
        now(async {
            for _ in 0..count {
                sender.send_binary(&data).await.expect("open");
            }
            sender.flush().await.expect("open");
        });
    };

    vec![
        copy("copy"),
        Row::new("sockeye", count, sockeye),
        Row::new("sockeye, 8 KiB", count, written),
        Row::new("sockeye, vectored", count, vectored),
        Row::new("tungstenite", count, tungstenite),
        Row::new("fastwebsockets", count, fastwebsockets),
        Row::new("tokio-websockets", count, tokio_websockets),
        Row::new("sockudo-ws", count, sockudo),
        Row::new("yawc", count, yawc),
        Row::new("soketto", count, soketto),
        copy("copy again"),
    ]
}
