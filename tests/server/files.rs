//! A folder's files over real sockets: what of it can be had, in which form, and that there is no
//! way out of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::handshake::{Answer, Text, plain};
use harness::net::Running;
use sockeye::Error;
use sockeye::server::http::Files;
use sockeye::server::{BuildError, Builder, Reject, Request, Server};

/// A folder of its own for a test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sockeye-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let folder = Self(folder);
        folder.write("outside.txt", "outside");
        folder.write("site/index.html", "<p>index");
        folder.write("site/a b.txt", "a b");
        folder.write("site/app.js", "app()");
        folder.write("site/sub/index.html", "<p>sub");
        folder.write("site/empty/file", "no index");
        folder.write("site/.hidden", "hidden");
        folder.write("site/.git/config", "hidden");
        folder.write("site/long.bin", "0123456789".repeat(10));
        folder
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn site(&self) -> PathBuf {
        self.0.join("site")
    }

    fn files(&self) -> Files {
        Files::new(self.site())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

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
fn a_file_has_its_type_and_a_folder_its_index() {
    let folder = Folder::new("types");
    let server = Running::start(
        Server::builder()
            .files("/", folder.files())
            .files("/assets", folder.files().max_age(Duration::from_secs(60)))
            .get("/assets/own", |_| "own"),
    );
    for (path, body, media_type) in [
        ("/", "<p>index", "text/html; charset=utf-8"),
        ("/index.html", "<p>index", "text/html; charset=utf-8"),
        ("/a%20b.txt?x", "a b", "text/plain; charset=utf-8"),
        ("/app.js", "app()", "text/javascript; charset=utf-8"),
        ("/sub/", "<p>sub", "text/html; charset=utf-8"),
        ("/s%75b/", "<p>sub", "text/html; charset=utf-8"),
        ("/empty/file", "no index", "application/octet-stream"),
        ("/assets/", "<p>index", "text/html; charset=utf-8"),
        ("/assets/app.js", "app()", "text/javascript; charset=utf-8"),
        ("/assets/own", "own", "text/plain; charset=utf-8"),
    ] {
        let answer = ask(&server, get(path));
        assert_eq!(text(&answer), (200, body), "{path}");
        assert_eq!(answer.header("Content-Type"), Some(media_type), "{path}");
        let cache = match path.strip_prefix("/assets") {
            Some("/own") => None,
            Some(_) => Some("max-age=60"),
            None => Some("no-cache"),
        };
        assert_eq!(answer.header("Cache-Control"), cache, "{path}");
    }
    for (path, location) in [
        ("/assets?a=b", "/assets/?a=b"),
        ("/sub", "/sub/"),
        ("/assets/sub", "/assets/sub/"),
    ] {
        let answer = ask(&server, get(path));
        assert_eq!(
            (answer.status, answer.header("Location")),
            (308, Some(location))
        );
    }
    let mut peer = server.connect();
    peer.write(
        plain("HEAD /long.bin HTTP/1.1")
            .add("Range", "bytes=0-1")
            .bytes(),
    );
    let answer = Answer::read(&peer.head());
    assert_eq!(
        (answer.status, answer.header("Content-Length")),
        (200, Some("100"))
    );
    peer.write(plain("DELETE /long.bin HTTP/1.1").bytes());
    assert_eq!(peer.response().status, 405);
}

#[test]
fn there_is_no_way_out_of_the_folder() {
    let folder = Folder::new("out");
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink(folder.0.join("outside.txt"), folder.site().join("link.txt")).unwrap();
        symlink(&folder.0, folder.site().join("linked")).unwrap();
        symlink(folder.site().join(".hidden"), folder.site().join("shown")).unwrap();
        symlink(folder.site().join("a b.txt"), folder.site().join("inner")).unwrap();
        symlink("/dev/zero", folder.site().join("zero")).unwrap();
    }
    let server = Running::start(
        Server::builder()
            .files("/", folder.files())
            .files("/deep/er", folder.files()),
    );
    let outside = folder.0.join("outside.txt");
    let absolute = Path::new("/").join(&outside);
    let absolute = absolute.to_str().unwrap();
    for path in [
        "/../outside.txt",
        "/..%2Foutside.txt",
        "/%2e%2e/outside.txt",
        "/%2E%2E%2Foutside.txt",
        "/.%2e/outside.txt",
        "/sub/../../outside.txt",
        "/sub/..%5C..%5Coutside.txt",
        "/%252e%252e/outside.txt",
        "/./index.html",
        "/sub/../index.html",
        "/index.html%00.txt",
        "/index.html/",
        "/index.html/x",
        "/.hidden",
        "/%2ehidden",
        "/.git/config",
        "/empty/",
        "/none",
        "/link.txt",
        "/linked",
        "/linked/outside.txt",
        "/shown",
        "/zero",
        "//",
        "//index.html",
        "/sub//index.html",
        "/sub//",
        "/%ff",
        "/C:/index.html",
        &format!("/{absolute}"),
        &format!("/{}", absolute.replace('/', "%2F")),
        &format!("/{}", "a".repeat(5000)),
    ] {
        for path in [path.to_owned(), format!("/deep/er{path}")] {
            let answer = ask(&server, get(&path));
            assert_eq!(answer.status, 404, "{path}");
            assert_eq!(answer.body, b"there is nothing at this path");
        }
    }
    // A redirect to what would be another host.
    let answer = ask(&server, get("//evil.example/sub"));
    assert_eq!((answer.status, answer.header("Location")), (404, None));
    #[cfg(unix)]
    assert_eq!(text(&ask(&server, get("/inner"))), (200, "a b"));
}

#[test]
fn what_a_browser_has_is_304_and_a_range_is_a_part() {
    let folder = Folder::new("ranges");
    let builder = Server::builder().files("/", folder.files().max_file(40));
    let server = Running::start(builder);
    let first = ask(&server, get("/app.js"));
    let (tag, since) = (
        first.header("ETag").unwrap(),
        first.header("Last-Modified").unwrap(),
    );
    for (name, value) in [("If-None-Match", tag), ("If-Modified-Since", since)] {
        let answer = ask(&server, get("/app.js").add(name, value));
        assert_eq!(text(&answer), (304, ""), "{name}");
        assert_eq!(answer.header("ETag"), Some(tag));
        assert_eq!(answer.header("Content-Length"), None);
    }
    assert_eq!(
        ask(&server, get("/app.js").add("If-Match", "\"x\"")).status,
        412
    );
    folder.write("site/app.js", "changed()");
    let answer = ask(&server, get("/app.js").add("If-None-Match", tag));
    assert_eq!(text(&answer), (200, "changed()"));

    let range = |path: &str, range: &str| ask(&server, get(path).add("Range", range));
    let answer = range("/long.bin", "bytes=95-");
    assert_eq!(text(&answer), (206, "56789"));
    assert_eq!(answer.header("Content-Range"), Some("bytes 95-99/100"));
    // No more than it may have at once.
    let answer = range("/long.bin", "bytes=0-");
    assert_eq!((answer.status, answer.body.len()), (206, 40));
    assert_eq!(answer.header("Content-Range"), Some("bytes 0-39/100"));
    let answer = range("/long.bin", "bytes=100-");
    assert_eq!(answer.status, 416);
    assert_eq!(answer.header("Content-Range"), Some("bytes */100"));
    assert_eq!(ask(&server, get("/long.bin")).status, 403);
    let other = get("/long.bin")
        .add("Range", "bytes=1-2")
        .add("If-Range", "\"x\"");
    assert_eq!(ask(&server, other).status, 403);
    let twice = get("/app.js")
        .add("Range", "bytes=1-2")
        .add("Range", "bytes=1-2");
    assert_eq!(ask(&server, twice).status, 200);
}

#[test]
fn many_clients_are_served_at_once_and_the_guards_come_first() {
    let folder = Folder::new("many");
    let guard = |request: &Request<'_>| match request.header("x-key") {
        Some(_) => Ok(()),
        None => Err(Reject::new(401, "no key")),
    };
    let builder = Server::builder()
        .guard(guard)
        .files("/closed", folder.files())
        .files("/open", folder.files().public());
    let mut server = Running::start(builder);
    let mut peers: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for _ in 0..3 {
        for peer in &mut peers {
            peer.write(get("/open/long.bin").bytes());
        }
        for peer in &mut peers {
            assert_eq!(peer.response().body.len(), 100);
        }
    }
    assert_eq!(ask(&server, get("/closed/long.bin")).status, 401);
    let request = get("/closed/long.bin").add("X-Key", "1");
    assert_eq!(ask(&server, request).status, 200);
    drop(peers);
    // The readers are idle, and don't hold the server up.
    server.shut_down();
    server.join();
}

#[test]
fn a_folder_that_is_not_there_is_told_by_listen() {
    let folder = Folder::new("missing");
    let listen = |builder: Builder| builder.listen("127.0.0.1:0").map(drop);
    for path in [folder.0.join("none"), folder.0.join("outside.txt")] {
        match listen(Server::builder().files("/", Files::new(&path))) {
            Err(Error::Build(BuildError::Folder { path: told, .. })) => assert_eq!(*told, *path),
            other => panic!("{other:?}"),
        }
    }
    let chat = Server::builder().files("nowhere", folder.files());
    assert!(matches!(
        listen(chat),
        Err(Error::Build(BuildError::Route { .. }))
    ));
}
