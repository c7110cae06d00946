//! permessage-deflate: for those whose codec takes bytes and gives bytes.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sockeye::proto::{
    Accept, ClientHandshake, ClientRequest, Config, Connection, Deflate, Event, Input, MessageRef,
    Received, Scratch, ServerHandshake, Url,
};
use sockudo_ws::deflate::{DeflateDecoder, DeflateEncoder, MAX_WINDOW_BITS};

use crate::{Group, Row};

const NOW: Duration = Duration::ZERO;
/// The fastest, of both.
const LEVEL: u32 = 1;

/// Messages that differ, together more than the window: takeover refers to their like and not to
/// themselves.
const MESSAGES: usize = 64;

pub fn groups() -> Vec<Group> {
    let texts: Vec<String> = (0..MESSAGES).map(json).collect();
    let modes = [
        ("takeover", Deflate::default()),
        ("no takeover", Deflate::shared()),
    ];
    modes
        .into_iter()
        .flat_map(|(mode, deflate)| {
            [
                Group::new("deflate", mode, compress(&texts, &deflate)),
                Group::new("inflate", mode, decompress(&texts, &deflate)),
            ]
        })
        .collect()
}

/// An array of records, less than 1 KiB.
fn json(seed: usize) -> String {
    let mut text = String::from("[");
    for id in 1000 * seed.. {
        let (name, score) = (id * 7919 % 997, id * 31 % 10_007);
        let record = format!(r#"{{"id":{id},"name":"user{name}","score":{score}}},"#);
        if text.len() + record.len() > 1023 {
            text.pop();
            return text + "]";
        }
        text += &record;
    }
    unreachable!("it has grown")
}

fn copy(name: &'static str, texts: &[String]) -> Row {
    let (texts, mut to) = (texts.to_vec(), vec![1; 1024]);
    Row::new(name, MESSAGES, move || {
        for text in &texts {
            black_box(&mut to[..text.len()]).copy_from_slice(black_box(text.as_bytes()));
        }
    })
}

fn rows(
    texts: &[String],
    sockeye: impl FnMut() + 'static,
    sockudo: impl FnMut() + 'static,
) -> Vec<Row> {
    vec![
        copy("copy", texts),
        Row::new("sockeye", MESSAGES, sockeye),
        Row::new("sockudo-ws", MESSAGES, sockudo),
        copy("copy again", texts),
    ]
}

fn compress(texts: &[String], deflate: &Deflate) -> Vec<Row> {
    let (_, mut server) = pair(deflate);
    let messages = texts.to_vec();
    let mut out = Vec::new();
    let sockeye = move || {
        for message in &messages {
            out.clear();
            server
                .send(MessageRef::Text(message), &mut out)
                .expect("it is open");
            black_box(&out);
        }
    };
    let mut encoder = DeflateEncoder::new(
        MAX_WINDOW_BITS,
        deflate.server_no_context_takeover,
        LEVEL,
        0,
    );
    let messages = texts.to_vec();
    let sockudo = move || {
        for message in &messages {
            black_box(encoder.compress(message.as_bytes()).expect("it compresses"));
        }
    };
    rows(texts, sockeye, sockudo)
}

/// Of what each one's own encoder made of the messages the second time, when it could refer to
/// those before the first as to any others; so they can be received over and over.
fn decompress(texts: &[String], deflate: &Deflate) -> Vec<Row> {
    let (mut client, mut server) = pair(deflate);
    let mut sent = || -> Vec<Vec<u8>> {
        let send = |text: &String| {
            let mut out = Vec::new();
            client
                .send(MessageRef::Text(text), &mut out)
                .expect("it is open");
            out
        };
        texts.iter().map(send).collect()
    };
    let (first, again) = (sent(), sent());
    let (mut frame, mut scratch) = (Vec::new(), Scratch::new());
    let mut receive = move |frames: &[Vec<u8>]| {
        for bytes in frames {
            // Unmasked in place.
            frame.clear();
            frame.extend_from_slice(bytes);
            let mut input = Input::new(&mut frame);
            let event = server
                .recv_with(&mut input, &mut scratch, &mut Vec::new(), NOW)
                .expect("it is sound");
            let Some(Event::Message(message)) = event else {
                panic!("not a message");
            };
            black_box(message.as_bytes());
            scratch.recycle(message.into_payload());
        }
    };
    receive(&first);
    let sockeye = move || receive(&again);

    let alone = deflate.client_no_context_takeover;
    let mut encoder = DeflateEncoder::new(MAX_WINDOW_BITS, alone, LEVEL, 0);
    let mut decoder = DeflateDecoder::new(MAX_WINDOW_BITS, alone);
    let mut compressed = || -> Vec<Bytes> {
        let compress = |text: &String| encoder.compress(text.as_bytes()).ok().flatten();
        texts.iter().filter_map(compress).collect()
    };
    let (first, again) = (compressed(), compressed());
    assert_eq!(again.len(), MESSAGES);
    let mut receive = move |messages: &[Bytes]| {
        for message in messages {
            black_box(decoder.decompress(message, 1 << 20).expect("it is sound"));
        }
    };
    receive(&first);
    rows(texts, sockeye, move || receive(&again))
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
    let server = ServerHandshake::new(config, NOW);
    let received = server.recv(&mut Input::new(&mut up), &mut down, NOW);
    let Ok(Received::Upgrade(upgrade)) = received else {
        panic!("{received:?}");
    };
    let server = upgrade
        .accept(&Accept::default(), &mut down, NOW)
        .expect("accepted");
    let client = client
        .recv(&mut Input::new(&mut down), NOW)
        .expect("accepted");
    (client.expect("it came whole"), server)
}
