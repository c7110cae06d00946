//! permessage-deflate: for those whose codec takes bytes and gives bytes.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use sockeye::proto::{
    Accept, ClientHandshake, ClientRequest, Config, Connection, Deflate, Event, Input, MessageRef,
    ServerHandshake, Url,
};
use sockudo_ws::deflate::{DeflateDecoder, DeflateEncoder, MAX_WINDOW_BITS};

use crate::{Group, Row};

const NOW: Duration = Duration::ZERO;
/// The fastest, of both.
const LEVEL: u32 = 1;

pub fn groups() -> Vec<Group> {
    let text = json(1024);
    let modes = [
        ("takeover", Deflate::default()),
        ("no takeover", Deflate::shared()),
    ];
    modes
        .into_iter()
        .flat_map(|(mode, deflate)| {
            [
                Group::new("deflate", mode, compress(&text, &deflate)),
                Group::new("inflate", mode, decompress(&text, &deflate)),
            ]
        })
        .collect()
}

/// An array of records.
fn json(size: usize) -> String {
    let mut text = String::from("[");
    for id in 0.. {
        let record = format!(
            r#"{{"id":{id},"name":"user{}","score":{}}},"#,
            id * 7919 % 997,
            id * 31
        );
        if text.len() + record.len() > size {
            return text + "]";
        }
        text += &record;
    }
    unreachable!("it has grown")
}

fn copy(name: &'static str, text: &str) -> Row {
    let (from, mut to) = (text.as_bytes().to_vec(), vec![0; text.len()]);
    Row::new(name, 1, move || {
        black_box(&mut to[..]).copy_from_slice(black_box(&from))
    })
}

fn compress(text: &str, deflate: &Deflate) -> Vec<Row> {
    let (_, mut server) = pair(deflate);
    let message = text.to_owned();
    let mut out = Vec::new();
    let sockeye = move || {
        out.clear();
        server
            .send(MessageRef::Text(&message), &mut out)
            .expect("it is open");
        black_box(&out);
    };
    let mut encoder = DeflateEncoder::new(
        MAX_WINDOW_BITS,
        deflate.server_no_context_takeover,
        LEVEL,
        0,
    );
    let message = text.to_owned();
    let sockudo = move || {
        black_box(encoder.compress(message.as_bytes()).expect("it compresses"));
    };
    vec![
        copy("copy", text),
        Row::new("sockeye", 1, sockeye),
        Row::new("sockudo-ws", 1, sockudo),
        copy("copy again", text),
    ]
}

/// Of messages that their own encoders made, each of which refers to the ones before it where there
/// is takeover; the first is received once.
fn decompress(text: &str, deflate: &Deflate) -> Vec<Row> {
    let (mut client, mut server) = pair(deflate);
    let (mut first, mut next) = (Vec::new(), Vec::new());
    client
        .send(MessageRef::Text(text), &mut first)
        .expect("it is open");
    client
        .send(MessageRef::Text(text), &mut next)
        .expect("it is open");
    let mut frame = Vec::new();
    let mut receive = move |bytes: &[u8]| {
        // Unmasked in place.
        frame.clear();
        frame.extend_from_slice(bytes);
        let mut input = Input::new(&mut frame);
        let event = server
            .recv(&mut input, &mut Vec::new(), NOW)
            .expect("it is sound");
        let Some(Event::Message(message)) = event else {
            panic!("not a message");
        };
        black_box(message.as_bytes());
        server.recycle(message.into_payload());
    };
    receive(&first);
    let sockeye = move || receive(&next);

    let alone = deflate.client_no_context_takeover;
    let mut encoder = DeflateEncoder::new(MAX_WINDOW_BITS, alone, LEVEL, 0);
    let mut decoder = DeflateDecoder::new(MAX_WINDOW_BITS, alone);
    let mut compressed = || {
        encoder
            .compress(text.as_bytes())
            .ok()
            .flatten()
            .expect("it compresses")
    };
    let (first, next) = (compressed(), compressed());
    decoder.decompress(&first, 1 << 20).expect("it is sound");
    let sockudo = move || {
        black_box(decoder.decompress(&next, 1 << 20).expect("it is sound"));
    };
    vec![
        copy("copy", text),
        Row::new("sockeye", 1, sockeye),
        Row::new("sockudo-ws", 1, sockudo),
        copy("copy again", text),
    ]
}

/// Both ends after an opening handshake.
fn pair(deflate: &Deflate) -> (Connection, Connection) {
    let mut config = Config::default();
    config.extensions.push(Arc::new(deflate.clone()));
    let config = Arc::new(config);
    let url = Url::parse("ws://127.0.0.1/").expect("a URL");
    let random = |bytes: &mut [u8]| bytes.fill(7);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let request = ClientRequest::default();
    let mut client = ClientHandshake::new(
        &url,
        &request,
        config.clone(),
        Box::new(random),
        &mut up,
        NOW,
    )
    .expect("a request");
    let mut server = ServerHandshake::new(config, NOW);
    server
        .recv(&mut Input::new(&mut up), &mut down)
        .expect("a request");
    let server = server
        .accept(&Accept::default(), &mut down, NOW)
        .expect("accepted");
    let client = client
        .recv(&mut Input::new(&mut down), NOW)
        .expect("accepted");
    (client.expect("it came whole"), server)
}
