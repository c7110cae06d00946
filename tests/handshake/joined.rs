//! A client and a server joined agree on everything, whatever is asked for. The seed is fixed.

use std::collections::HashSet;
use std::sync::Arc;

use harness::handshake::{Seeded, *};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sockeye::proto::http::Headers;
use sockeye::proto::{Accept, ClientHandshake, ClientRequest, Config, Connection, Url};

fn runs(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x50C6_E1E5),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// What a client asks for and a server answers with.
#[derive(Clone, Debug)]
struct Case {
    host: &'static str,
    port: Option<u16>,
    path: String,
    query: Option<String>,
    subprotocols: Vec<String>,
    /// Which of them the server chooses, if it is one.
    chosen: usize,
    origin: Option<String>,
    request_headers: Vec<(String, String)>,
    response_headers: Vec<(String, String)>,
    /// Whether the client offers the extension, and the server knows it.
    extension: (bool, bool),
    message: String,
    seed: u64,
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = "[Xx]-[a-c!#$%&'*+.^_`|~0-9-]{0,3}";
    let value = "[ -~\t\u{e9}\u{20ac}]{0,30}";
    prop::collection::vec((name, value), 0..6)
}

const HOSTS: [&str; 4] = [
    "example.com",
    "my_service.local",
    "127.0.0.1",
    "[2001:db8::1]",
];

fn case() -> impl Strategy<Value = Case> {
    let target = (
        prop::sample::select(&HOSTS[..]),
        prop::option::of(1..=u16::MAX),
        "(/[!$-;=?@-\\[\\]-~]{0,12}){0,3}",
        prop::option::of("[!$-;=?-~]{0,30}"),
    );
    let asked = (
        prop::collection::vec("[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", 0..5),
        0..8usize,
        prop::option::of("[a-z]{1,5}://[a-z.]{1,20}(:[0-9]{1,4})?|null"),
        headers(),
        headers(),
    );
    let rest = (any::<(bool, bool)>(), "\\PC{0,40}", any::<u64>());
    (target, asked, rest).prop_map(|(target, asked, rest)| {
        let (host, port, path, query) = target;
        let (mut subprotocols, chosen, origin, request_headers, response_headers) = asked;
        let (extension, message, seed) = rest;
        let mut seen = HashSet::new();
        subprotocols.retain(|it| seen.insert(it.clone()));
        Case {
            host,
            port,
            // A question mark would end the path.
            path: path.replace('?', "!"),
            query,
            subprotocols,
            chosen,
            origin,
            request_headers,
            response_headers,
            extension,
            message,
            seed,
        }
    })
}

fn config_of(extension: bool) -> Arc<Config> {
    config_with(|it| {
        if extension {
            it.extensions = vec![Arc::new(Xor)];
        }
    })
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    let both = headers.iter().map(|(name, value)| (&**name, &**value));
    both.collect()
}

/// All that was sent arrived, in order, trimmed at both ends.
fn assert_headers(received: Headers<'_>, sent: &[(String, String)]) {
    let ours = received.iter().filter(|(name, _)| {
        let mut sent = sent.iter();
        sent.any(|(key, _)| key == name)
    });
    let received: Vec<_> = ours.collect();
    let sent: Vec<_> = sent
        .iter()
        .map(|(name, value)| (&**name, value.trim_matches([' ', '\t']).as_bytes()))
        .collect();
    assert_eq!(received, sent);
}

fn assert_delivered(from: &mut Connection, to: &mut Connection, case: &Case, rng: &mut Seeded) {
    let mut wire = Vec::new();
    from.send(&*case.message, &mut wire).unwrap();
    from.send(&[7; 200], &mut wire).unwrap();
    let marked = case.extension == (true, true);
    assert_eq!(wire[0], if marked { 0xC1 } else { 0x81 });
    let pieces = random_cut(&wire, rng);
    let received = messages(to, &pieces, &mut Vec::new());
    let sent = vec![case.message.clone().into_bytes(), vec![7; 200]];
    assert_eq!(received, Ok(sent));
}

fn joined(case: &Case) {
    let mut rng = Seeded(case.seed);
    let port = case.port.map(|it| format!(":{it}")).unwrap_or_default();
    let query = case.query.as_ref().map(|it| format!("?{it}"));
    let query = query.unwrap_or_default();
    let url = format!("ws://{}{port}{}{query}", case.host, case.path);
    let url = Url::parse(&url).unwrap_or_else(|error| panic!("{url}: {error}"));

    let subprotocols: Vec<&str> = case.subprotocols.iter().map(|it| &**it).collect();
    let request = ClientRequest {
        subprotocols: case.subprotocols.clone(),
        origin: case.origin.clone(),
        headers: case.request_headers.clone(),
        ..ClientRequest::default()
    };
    let source = Source::new(case.seed);
    let config = config_of(case.extension.0);
    let mut wire = Vec::new();
    let client =
        ClientHandshake::new(&url, &request, config, source.boxed(), &mut wire, START).unwrap();

    let served = serve(&config_of(case.extension.1), &random_cut(&wire, &mut rng));
    assert_eq!(served.consumed, wire.len());
    let upgrade = served.upgrade();
    let received = upgrade.request();
    assert_eq!(received.target(), url.target());
    let path = if case.path.is_empty() {
        "/"
    } else {
        &case.path
    };
    assert_eq!(received.path(), path);
    assert_eq!(received.query(), case.query.as_deref());
    assert_eq!(received.host(), Some(url.host_header()));
    assert_eq!(received.origin(), case.origin.as_deref());
    assert_eq!(received.subprotocols().collect::<Vec<_>>(), subprotocols);
    assert_eq!(received.extensions().count(), usize::from(case.extension.0));
    assert_headers(received.headers(), &case.request_headers);

    let supported: Vec<&str> = subprotocols.iter().skip(case.chosen).copied().collect();
    let chosen = received.choose_subprotocol(&supported);
    assert_eq!(chosen, supported.first().copied());
    let response_headers = borrowed(&case.response_headers);
    let accept = Accept {
        subprotocol: chosen,
        headers: &response_headers,
        config: None,
    };
    let mut wire = Vec::new();
    let mut server = upgrade.accept(&accept, &mut wire, START).unwrap();
    // The server may speak at once.
    let length = wire.len();
    server.send("first", &mut wire).unwrap();

    let judged = judge(client, &random_cut(&wire, &mut rng));
    let mut client = judged.result.unwrap().expect("a connection");
    assert_eq!(judged.consumed, length);
    let response = judged.handshake.response().unwrap();
    assert_headers(response.headers, &case.response_headers);
    assert_eq!(client.subprotocol(), chosen);
    assert_eq!(server.subprotocol(), chosen);
    let first = messages(&mut client, &[judged.rest], &mut Vec::new());
    assert_eq!(first, Ok(vec![b"first".to_vec()]));
    assert_delivered(&mut client, &mut server, case, &mut rng);
    assert_delivered(&mut server, &mut client, case, &mut rng);
}

proptest! {
    #![proptest_config(runs(400))]

    #[test]
    fn a_client_and_a_server_agree_on_all_that_was_asked_for(case in case()) {
        joined(&case);
    }
}
