//! What handlers of plain requests take and return, and what pages of other origins may read, over
//! real sockets.

use core::time::Duration;

use harness::handshake::{Answer, Text, plain, upgrade};
use harness::net::{Probe, Running, Told, patient};
use sockeye::Error;
use sockeye::server::http::{Cookie, Cors, OptionalParam, Param, SameSite};
use sockeye::server::route::Accepted;
use sockeye::server::{
    BuildError, Builder, CorsFault, HttpResponse, Reject, Request, Route, RouteFault, Server,
};

fn get(path: &str) -> Text {
    plain(&format!("GET {path} HTTP/1.1"))
}

fn ask(server: &Running, request: Text) -> Answer {
    let mut peer = server.connect();
    peer.write(request.bytes());
    peer.response()
}

fn text(answer: &Answer) -> (u16, &str) {
    (answer.status, str::from_utf8(&answer.body).unwrap())
}

#[test]
fn each_kind_of_value_is_its_response() {
    struct Own;

    impl From<Own> for Reject {
        fn from(_: Own) -> Self {
            Reject::new(402, "own")
        }
    }

    fn fails() -> Result<String, Own> {
        Err(Own)
    }

    let builder = Server::builder()
        .get("/text", |_| "a text")
        .get("/string", |_| String::from("a string"))
        .get("/status", |_| 404)
        .get("/unit", |_| ())
        .get("/reject", |_| Reject::new(403, "no"))
        .get("/question", |_| Ok(fails()?))
        .get("/nothing", |request| -> Result<(), Reject> {
            request.query_as::<u8>("n").map(drop)
        })
        .methods("/later", |it| {
            it.defer("GET", |_, reply| {
                std::thread::spawn(|| reply.send("later"));
            })
        })
        .get("/image", |_| HttpResponse::new("image/png", [0, 255]));
    let server = Running::start(builder);
    for (path, expected) in [
        ("/text", (200, "a text")),
        ("/string", (200, "a string")),
        ("/status", (404, "")),
        ("/unit", (204, "")),
        ("/reject", (403, "no")),
        ("/question", (402, "own")),
        ("/nothing?n=1", (204, "")),
        ("/nothing", (400, "the parameter \"n\" is missing")),
        ("/later", (200, "later")),
    ] {
        assert_eq!(text(&ask(&server, get(path))), expected, "{path}");
    }
    let image = ask(&server, get("/image"));
    assert_eq!(image.header("Content-Type"), Some("image/png"));
    assert_eq!(image.body, [0, 255]);
}

#[cfg(feature = "json")]
#[test]
fn json_is_read_and_written_and_what_is_none_is_refused() {
    use sockeye::server::http::Json;
    use std::collections::BTreeMap;

    let builder = Server::builder()
        .max_body(64)
        .post("/double", |request| {
            let numbers: Vec<u32> = request.json()?;
            let doubled: Vec<u32> = numbers.iter().map(|it| it * 2).collect();
            Ok(Json(doubled))
        })
        .get("/taken", |_| {
            Reject::json(409, &BTreeMap::from([("error", "taken")]))
        })
        .get("/cannot", |_| Json(BTreeMap::from([((1, 2), 3)])))
        .get("/rejects", |_| {
            Reject::json(409, &BTreeMap::from([((1, 2), 3)]))
        });
    let server = Running::start(builder);
    let post = |media_type: Option<&str>, body: &str| {
        let request = plain("POST /double HTTP/1.1").add("Content-Length", body.len().to_string());
        let request = match media_type {
            Some(it) => request.add("Content-Type", it),
            None => request,
        };
        ask(&server, request.behind(body))
    };
    for media_type in [
        "application/json",
        "Application/JSON ; charset=utf-8",
        "application/vnd.api+json",
    ] {
        let answer = post(Some(media_type), "[1, 2]");
        assert_eq!(text(&answer), (200, "[2,4]"), "{media_type}");
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
    }
    for media_type in [None, Some("text/plain"), Some("json"), Some("é"), Some("")] {
        assert_eq!(post(media_type, "[1]").status, 415, "{media_type:?}");
    }
    for body in ["", "[1", "{}", "[-1]", "[1] 2"] {
        let answer = post(Some("application/json"), body);
        let (status, reason) = text(&answer);
        assert_eq!(status, 400, "{body}");
        assert!(reason.starts_with("the body can't be read: "), "{reason}");
    }
    let long = format!("[{}]", " ".repeat(64));
    assert_eq!(post(Some("application/json"), &long).status, 413);
    let taken = ask(&server, get("/taken"));
    assert_eq!(text(&taken), (409, r#"{"error":"taken"}"#));
    assert_eq!(ask(&server, get("/cannot")).status, 500);
    assert_eq!(ask(&server, get("/rejects")).status, 500);
}

#[test]
fn a_cookie_is_set_by_a_page_and_by_an_upgrade() {
    let cookie = |value: &str| -> Result<Cookie, Reject> {
        Ok(Cookie::new("id", value)?
            .path("/")?
            .http_only()
            .same_site(SameSite::Lax)
            .max_age(Duration::from_secs(60)))
    };
    let route = Route::accepting("/chat", Probe::echo().0, move |request| {
        let id = request.query_param("id").unwrap_or_default();
        Ok(Accepted::new(()).with_cookie(&cookie(&id)?))
    });
    let builder = Server::builder()
        .config(patient())
        .add_route(route)
        .get("/", move |request| {
            let id = request.query_param("id").unwrap_or_default();
            Ok(HttpResponse::text("in").with_cookie(&cookie(&id)?))
        });
    let server = Running::start(builder);
    let set = "id=7; Path=/; Max-Age=60; HttpOnly; SameSite=Lax";
    let answer = ask(&server, get("/?id=7"));
    assert_eq!(answer.header("Set-Cookie"), Some(set));
    let mut peer = server.connect();
    peer.write(upgrade().target("/chat?id=7").bytes());
    let answer = Answer::read(&peer.head());
    assert_eq!(
        (answer.status, answer.header("Set-Cookie")),
        (101, Some(set))
    );
    // A value that would add an attribute.
    for request in [get("/?id=7%3B"), upgrade().target("/chat?id=7%3B")] {
        let answer = ask(&server, request);
        assert_eq!((answer.status, answer.header("Set-Cookie")), (500, None));
    }
}

const ROOM: Param<u32> = Param::new("room");
const NAME: OptionalParam<String> = OptionalParam::new("name");

#[test]
fn parameters_are_read_as_their_types_or_refused_by_name() {
    let (probe, _) = Probe::echo();
    let route = Route::with("/rooms/{room}/{name?}", probe, |request| {
        let (room, name) = (request.read(ROOM)?, request.read(NAME)?);
        Err::<(), _>(Reject::new(403, format!("{room} {name:?}")))
    });
    let builder = Server::builder()
        .config(patient())
        .add_route(route.reads(ROOM).reads(NAME))
        .methods("/sum/{a}", |it| {
            it.reads(Param::<u8>::new("a")).get(|request| {
                let a: u8 = request.param_as("a")?;
                let b: u8 = request.query_as("b")?;
                let c: Option<u8> = request.optional_query_as("c")?;
                Ok((a + b + c.unwrap_or(0)).to_string())
            })
        });
    let server = Running::start(builder);
    let invalid = "the parameter \"room\" is not valid: invalid digit found in string";
    for (path, expected) in [
        ("/rooms/7", (403, "7 None")),
        ("/rooms/7/a%20b", (403, "7 Some(\"a b\")")),
        ("/rooms/x/y", (400, invalid)),
    ] {
        let answer = ask(&server, upgrade().target(path));
        assert_eq!(text(&answer), expected, "{path}");
    }
    let too_large = "the parameter \"c\" is not valid: number too large to fit in target type";
    for (path, expected) in [
        ("/sum/1?b=2", (200, "3")),
        ("/sum/1?b=2&c=3", (200, "6")),
        ("/sum/1?c=3", (400, "the parameter \"b\" is missing")),
        ("/sum/1?b=2&c=256", (400, too_large)),
    ] {
        assert_eq!(text(&ask(&server, get(path))), expected, "{path}");
    }
}

#[test]
fn a_parameter_that_is_not_in_the_path_is_told_by_listen() {
    let fault = |builder: Builder| match builder.listen("127.0.0.1:0") {
        Err(Error::Build(BuildError::Route { fault, .. })) => fault,
        other => panic!("{other:?}"),
    };
    let route = |path| Route::new(path, Probe::echo().0);
    let unknown = RouteFault::Unknown("room".into());
    let builder = Server::builder().add_route(route("/{rom}").reads(ROOM));
    assert_eq!(fault(builder), unknown);
    let builder = Server::builder().methods("/", |it| it.get(|_| "").reads(ROOM));
    assert_eq!(fault(builder), unknown);
    let builder = Server::builder().add_route(route("/{room?}").reads(ROOM));
    assert_eq!(fault(builder), RouteFault::Absent("room".into()));
}

#[test]
fn the_request_that_is_kept_has_its_parameters() {
    let (probe, watch) = Probe::new(|socket, _, told| {
        let request = socket.request().unwrap();
        let (room, name) = (request.param("room"), request.query_param("name"));
        let other = (request.param("name"), request.query_param("room"));
        told.send(Told::Note(format!("{room:?} {name:?} {other:?}")))
            .unwrap();
    });
    let route = Route::new("/rooms/{room}", probe).keep_request();
    let server = Running::start(Server::builder().config(patient()).add_route(route));
    let mut peer = server.connect();
    peer.upgrade(&upgrade().target("/rooms/a%2Fb+c?x&name=J+D"));
    peer.say("");
    assert_eq!(watch.next(), Told::Open);
    assert_eq!(watch.next(), Told::Message(Vec::new()));
    let note = "Some(\"a/b+c\") Some(\"J D\") (None, None)";
    assert_eq!(watch.next(), Told::Note(note.into()));
}

// ---- pages of other origins -----------------------------------------------------------------

const A: &str = "https://a.example";

/// The headers of a response that CORS is about, in the order of their names.
fn cors(answer: &Answer) -> Vec<String> {
    let names = [
        "Access-Control-Allow-Credentials",
        "Access-Control-Allow-Headers",
        "Access-Control-Allow-Methods",
        "Access-Control-Allow-Origin",
        "Access-Control-Expose-Headers",
        "Access-Control-Max-Age",
        "Vary",
    ];
    let all = names.iter().filter_map(|name| {
        let value = answer.header(name)?;
        let name = name.trim_start_matches("Access-Control-");
        Some(format!("{name}: {value}"))
    });
    all.collect()
}

fn site() -> Running {
    let listed = Cors::only([A, "https://b.example"])
        .headers(["Content-Type", "X-Key"])
        .expose(["X-Count"])
        .credentials()
        .max_age(Duration::from_millis(600_999));
    let guard = |request: &Request<'_>| match request.header("x-key") {
        Some(_) => Ok(()),
        None => Err(Reject::new(401, "no key")),
    };
    let builder = Server::builder()
        .cors(listed)
        .guard(guard)
        .methods("/listed", |it| it.get(|_| "listed").post(|_| 201))
        .methods("/later", |it| {
            it.defer("GET", |_, reply| {
                std::thread::spawn(|| reply.send("later"));
            })
        })
        .methods("/any", |it| it.public().cors(Cors::any()).put(|_| 201));
    Running::start(builder)
}

fn preflight(path: &str, origin: &str) -> Text {
    plain(&format!("OPTIONS {path} HTTP/1.1"))
        .add("Origin", origin)
        .add("Access-Control-Request-Method", "POST")
}

#[test]
fn a_preflight_request_is_answered_before_the_guards() {
    let server = site();
    let answer = ask(&server, preflight("/listed", A));
    assert_eq!(answer.status, 204);
    let expected = [
        "Allow-Credentials: true",
        "Allow-Headers: Content-Type, X-Key",
        "Allow-Methods: GET, HEAD, POST, OPTIONS",
        "Allow-Origin: https://a.example",
        "Expose-Headers: X-Count",
        "Max-Age: 600",
        "Vary: Origin",
    ];
    assert_eq!(cors(&answer), expected);
    for origin in [
        "https://c.example",
        "null",
        "https://a.example.evil",
        "http://a.example",
    ] {
        let answer = ask(&server, preflight("/listed", origin));
        assert_eq!(answer.status, 204);
        assert_eq!(cors(&answer), ["Vary: Origin"], "{origin}");
    }
    let answer = ask(&server, preflight("/any", "null"));
    assert_eq!(
        cors(&answer),
        ["Allow-Methods: PUT, OPTIONS", "Allow-Origin: *"]
    );
    // Without the method it asks for, it is none.
    let options = plain("OPTIONS /listed HTTP/1.1").add("Origin", A);
    assert_eq!(ask(&server, options).status, 401);
}

#[test]
fn every_response_says_which_origin_may_read_it() {
    let server = site();
    let expected = [
        "Allow-Credentials: true",
        "Allow-Origin: https://b.example",
        "Expose-Headers: X-Count",
        "Vary: Origin",
    ];
    let of = |path: &str, key: bool, origin: Option<&str>| {
        let request = match origin {
            Some(origin) => get(path).add("Origin", origin),
            None => get(path),
        };
        let request = if key {
            request.add("X-Key", "1")
        } else {
            request
        };
        ask(&server, request)
    };
    let b = Some("https://b.example");
    for (path, key, status) in [
        ("/listed", true, 200),
        ("/later", true, 200),
        ("/listed", false, 401),
        ("/none", true, 404),
    ] {
        let answer = of(path, key, b);
        assert_eq!(answer.status, status);
        assert_eq!(cors(&answer), expected, "{path}");
        // A cache has to know even of those that nobody may read.
        assert_eq!(cors(&of(path, key, None)), ["Vary: Origin"]);
        assert_eq!(cors(&of(path, key, Some("null"))), ["Vary: Origin"]);
    }
    assert_eq!(cors(&of("/any", false, b)), ["Allow-Origin: *"]);
    assert_eq!(cors(&of("/any", false, None)), [""; 0]);
}

#[test]
fn credentials_of_any_origin_and_names_that_are_none_are_told_by_listen() {
    let fault = |builder: Builder| match builder.listen("127.0.0.1:0") {
        Err(Error::Build(BuildError::Cors(fault))) => fault,
        other => panic!("{other:?}"),
    };
    let any = || Cors::any().credentials();
    let builder = Server::builder().cors(any());
    assert_eq!(fault(builder), CorsFault::CredentialsOfAny);
    let builder = Server::builder().methods("/", |it| it.cors(any()));
    assert_eq!(fault(builder), CorsFault::CredentialsOfAny);
    for name in ["*", "a b", "", "a\r\nb"] {
        let expected = CorsFault::Header(name.into());
        let builder = Server::builder().cors(Cors::any().headers([name]));
        assert_eq!(fault(builder), expected);
        let builder = Server::builder().cors(Cors::only([A]).expose(["X", name]));
        assert_eq!(fault(builder), expected);
    }
}
