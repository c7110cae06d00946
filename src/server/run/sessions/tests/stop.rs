//! Ends that a worker causes: of a server that stops (from when its deadline counts, and which
//! client gets which response), and of a session that has paused. docs/cases.md E7, O8, O9.

use super::single::{UPGRADE, give, ms, sessions};
use super::*;
use crate::server::route::Deferred;
use crate::server::{HttpResponse, Route};

/// Stores the end that it is given.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<String>>>);

impl Handler for Ends {
    type State = ();

    fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}

    fn on_close(&self, _: &mut Socket<'_, ()>, end: &End) {
        let sent = end.sent().map(|(code, reason)| format!("{code} {reason}"));
        let told = format!("{} {:?}", end.code(), sent);
        self.0.lock().unwrap().push(told);
    }
}

fn open() -> (Sessions<Sim>, Sim, Ends) {
    let ends = Ends::default();
    let (mut sessions, sim, token) = sessions(Server::builder().route("/q", ends.clone()));
    give(&mut sessions, &sim, token, UPGRADE, ms(0));
    sim.0.borrow_mut().output.clear();
    (sessions, sim, ends)
}

const DROPPED: &str = "1006 Some(\"1001 the server stops\")";

#[test]
fn the_deadline_of_a_stop_is_the_callers_also_where_the_worker_is_late() {
    let (mut sessions, sim, ends) = open();
    // Requested at 1 s with 2 s left, and carried out at 2.5 s.
    sessions.at(ms(2500)).tell(Command::ShutDown(ms(3000)));
    assert_eq!(sim.0.borrow().output[2..4], 1001_u16.to_be_bytes());
    assert_eq!(sessions.patience(), Some(ms(500)));
    sessions.at(ms(2999)).expire();
    assert!(!sessions.is_empty());
    sessions.at(ms(3000)).expire();
    assert!(sessions.is_empty() && sessions.stops());
    assert_eq!(*ends.0.lock().unwrap(), [DROPPED]);
    // Later than that, all sessions are dropped in the same turn, and the end is still reported.
    let (mut sessions, sim, ends) = open();
    sessions.at(ms(9000)).tell(Command::ShutDown(ms(3000)));
    assert_eq!(sim.0.borrow().output[2..4], 1001_u16.to_be_bytes());
    assert_eq!(sessions.patience(), Some(ms(0)));
    sessions.expire();
    assert!(sessions.is_empty());
    assert_eq!(*ends.0.lock().unwrap(), [DROPPED]);
}

#[test]
fn a_second_stop_shortens_the_deadline_and_never_puts_it_off() {
    let (mut sessions, sim, ends) = open();
    sessions.at(ms(0)).tell(Command::ShutDown(ms(9_000)));
    let told = sim.0.borrow().output.len();
    sessions.at(ms(1000)).tell(Command::ShutDown(ms(4_000)));
    sessions.at(ms(1500)).tell(Command::ShutDown(ms(60_000)));
    assert_eq!(sessions.patience(), Some(ms(2500)));
    assert_eq!(sim.0.borrow().output.len(), told, "one Close");
    sessions.at(ms(3999)).expire();
    assert!(!sessions.is_empty());
    sessions.at(ms(4000)).expire();
    assert!(sessions.is_empty());
    assert_eq!(*ends.0.lock().unwrap(), [DROPPED]);
}

/// docs/cases.md O8, with the deadlines of a worker.
#[test]
fn a_paused_session_is_driven_when_the_time_of_its_end_has_come() {
    struct Pauses(Ends);
    impl Handler for Pauses {
        type State = ();
        fn on_open(&self, socket: &mut Socket<'_, ()>) {
            socket.pause();
        }
        fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {
            panic!("it has paused");
        }
        fn on_close(&self, socket: &mut Socket<'_, ()>, end: &End) {
            self.0.on_close(socket, end);
        }
    }
    let ends = Ends::default();
    let builder = Server::builder().route("/q", Pauses(ends.clone()));
    let (mut sessions, sim, token) = sessions(builder);
    give(&mut sessions, &sim, token, UPGRADE, ms(0));
    sessions.at(ms(100_000)).expire();
    // A message, a Close with 4001 and the end.
    let bytes = [
        0x81, 0x81, 0, 0, 0, 0, b'x', 0x88, 0x82, 0, 0, 0, 0, 0x0F, 0xA1,
    ];
    sim.0.borrow_mut().input.extend_from_slice(&bytes);
    sim.0.borrow_mut().arrive(bytes.len());
    sim.0.borrow_mut().end();
    sessions.at(ms(100_000)).ready(token, true, true);
    sessions.at(ms(109_500)).expire();
    assert!(!sessions.is_empty());
    sessions.at(ms(111_000)).expire();
    sessions.drive_again();
    assert!(sessions.is_empty());
    let end = "4001 Some(\"1001 the stream ended while reading was paused\")";
    assert_eq!(*ends.0.lock().unwrap(), [end]);
}

// ---- requests -------------------------------------------------------------------------------

const UPLOAD: &[u8] = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf ";

fn site() -> crate::server::Builder {
    Server::builder()
        .route("/q", Ends::default())
        .methods("/upload", |methods| {
            methods.post(|_| HttpResponse::text("got it"))
        })
        .page("/page", "text/plain", "a page")
}

fn output(sim: &Sim) -> String {
    String::from_utf8(mem::take(&mut sim.0.borrow_mut().output)).unwrap()
}

#[track_caller]
fn is_refused(sim: &Sim) {
    let answer = output(sim);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
    for header in ["Connection: close\r\n", "Retry-After: 5\r\n"] {
        assert!(answer.contains(header), "{answer:?}");
    }
    assert!(answer.ends_with("\r\n\r\nthe server stops"), "{answer:?}");
}

/// What the peer still sends is read, so that no reset destroys the response.
#[test]
fn a_request_under_way_is_refused_and_its_connection_lingers() {
    let head = &UPLOAD[..20];
    let chunked = b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab";
    let second = [b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n", head].concat();
    for bytes in [
        head,
        UPLOAD,
        chunked,
        &UPGRADE[..UPGRADE.len() - 1],
        &second,
    ] {
        let (mut sessions, sim, token) = sessions(site());
        give(&mut sessions, &sim, token, bytes, ms(0));
        output(&sim);
        sessions.at(ms(10)).tell(Command::ShutDown(ms(5_000)));
        is_refused(&sim);
        assert!(sim.0.borrow().half_closed && !sessions.is_empty());
        give(&mut sessions, &sim, token, &[b'x'; 100_000], ms(20));
        assert!(!sessions.is_empty() && output(&sim).is_empty());
        sim.0.borrow_mut().end();
        sessions.at(ms(30)).ready(token, true, true);
        assert!(sessions.is_empty());
    }
}

#[test]
fn the_rest_of_a_stops_time_is_all_that_a_refused_request_has() {
    let (mut sessions, sim, token) = sessions(site());
    give(&mut sessions, &sim, token, UPLOAD, ms(0));
    sessions.at(ms(10)).tell(Command::ShutDown(ms(300)));
    sessions.at(ms(299)).expire();
    assert!(!sessions.is_empty());
    sessions.at(ms(300)).expire();
    assert!(sessions.is_empty());
}

#[test]
fn a_request_that_has_come_and_was_not_looked_at_is_answered() {
    for (bytes, expected) in [
        (
            &b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            "HTTP/1.1 200 ",
        ),
        (UPLOAD, "HTTP/1.1 503 "),
        (UPGRADE, "HTTP/1.1 101 "),
    ] {
        let (mut sessions, sim, _) = sessions(site());
        {
            let mut wire = sim.0.borrow_mut();
            wire.input.extend_from_slice(bytes);
            wire.arrive(bytes.len());
        }
        sessions.at(ms(10)).tell(Command::ShutDown(ms(5_000)));
        let output = sim.0.borrow();
        let output = output.output.escape_ascii().to_string();
        assert!(output.starts_with(expected), "{output}");
    }
}

#[test]
fn a_connection_without_a_request_is_dropped() {
    let page = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n";
    for bytes in [&b""[..], page] {
        let (mut sessions, sim, token) = sessions(site());
        give(&mut sessions, &sim, token, bytes, ms(0));
        output(&sim);
        sessions.at(ms(10)).tell(Command::ShutDown(ms(5_000)));
        assert!(sessions.is_empty() && output(&sim).is_empty());
    }
}

#[test]
fn an_upgrade_that_waits_for_its_decision_is_refused_at_once() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let route = Route::deferred("/q", Ends::default(), move |_, it: Deferred<()>| {
        keep.lock().unwrap().push(it);
    });
    let (mut sessions, sim, token) = sessions(Server::builder().add_route(route));
    give(&mut sessions, &sim, token, UPGRADE, ms(0));
    sessions.at(ms(10)).tell(Command::ShutDown(ms(5_000)));
    is_refused(&sim);
    assert!(!sessions.is_empty(), "it lingers");
    assert_eq!(kept.lock().unwrap().len(), 1);
}

#[test]
fn a_reply_that_is_not_given_in_a_stops_time_is_refused_in_its_place() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let site = site().methods("/slow", move |methods| {
        methods.defer("GET", move |_, reply| keep.lock().unwrap().push(reply))
    });
    let (mut sessions, sim, token) = sessions(site);
    let request = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    give(&mut sessions, &sim, token, request, ms(0));
    sessions.at(ms(10)).tell(Command::ShutDown(ms(5_000)));
    sessions.at(ms(4_999)).expire();
    assert!(!sessions.is_empty() && output(&sim).is_empty());
    sessions.at(ms(5_000)).expire();
    is_refused(&sim);
    assert!(sessions.is_empty());
}
