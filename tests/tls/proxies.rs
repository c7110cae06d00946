//! The configurations of the guide's chapter about proxies, as they stand there, in the real nginx and
//! HAProxy: `tests/proxies/run.sh`.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use harness::net::{Probe, Running, patient};
use harness::tls::{Authority, Identity};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use sockeye::client::{Client, ConnectOptions};
use sockeye::proto::CloseCode;
use sockeye::server::proxy::TrustedProxies;
use sockeye::server::{HttpResponse, Server};

const GUIDE: &str = include_str!("../../src/guide/proxies.md");

/// Where the clients are, as the proxy sees it.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// A proxy that runs until this is dropped.
struct Proxy {
    directory: PathBuf,
    /// What the operating system chose for it.
    port: u16,
    pid: String,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        _ = Command::new("kill").arg(&self.pid).status();
        _ = fs::remove_dir_all(&self.directory);
    }
}

/// Returns the configuration below a heading of the guide.
fn snippet(heading: &str) -> &'static str {
    let (_, chapter) = GUIDE.split_once(&format!("\n## {heading}\n")).unwrap();
    let (_, text) = chapter.split_once("```text\n").unwrap();
    text.split_once("```").unwrap().0
}

/// Starts a proxy. `config` writes its configuration for a port and a directory, which has the
/// certificate, and returns the command that starts it: it returns once it listens, and leaves its id in
/// `pid`.
fn start(name: &str, identity: &Identity, config: impl Fn(u16, &Path) -> Command) -> Proxy {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("chain.pem"), &identity.pem).unwrap();
    fs::write(directory.join("key.pem"), identity.key_pem()).unwrap();
    let both = identity.pem.clone() + &identity.key_pem();
    fs::write(directory.join("both.pem"), both).unwrap();
    // It can't be asked for port 0, and another program may take the port in between.
    for _ in 0..10 {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        if config(port, &directory).status().unwrap().success() {
            let pid = fs::read_to_string(directory.join("pid")).unwrap();
            let pid = pid.trim().into();
            return Proxy {
                directory,
                port,
                pid,
            };
        }
    }
    panic!("{name} doesn't start");
}

/// nginx with what is between `http {` and `}`.
fn nginx(name: &str, identity: &Identity, http: &str) -> Proxy {
    start(name, identity, |port, directory| {
        let home = directory.display();
        let http = replace(
            http,
            "listen 443 ssl;",
            &format!(
                "listen 127.0.0.1:{port} ssl; ssl_certificate {home}/chain.pem; ssl_certificate_key {home}/key.pem;"
            ),
        );
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|it| format!("{it}_temp_path {home}/{it};\n"))
            .concat();
        let text = format!(
            "pid {home}/pid; error_log {home}/log; events {{}}\n\
             http {{ access_log off;\n{temp}{http} }}\n"
        );
        fs::write(directory.join("conf"), text).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(directory.join("conf"));
        command.arg("-e").arg(directory.join("log"));
        command
    })
}

fn haproxy(name: &str, identity: &Identity, rest: &str) -> Proxy {
    start(name, identity, |port, directory| {
        let home = directory.display();
        let bind = format!("bind 127.0.0.1:{port} ssl crt {home}/both.pem");
        let rest = replace(
            rest,
            "bind :443 ssl crt /etc/haproxy/example.com.pem",
            &bind,
        );
        let text = format!("defaults\n    mode http\n    timeout connect 5s\n{rest}");
        fs::write(directory.join("conf"), text).unwrap();
        let mut command = Command::new("haproxy");
        command.args(["-D", "-q", "-f"]).arg(directory.join("conf"));
        command.arg("-p").arg(directory.join("pid"));
        command
    })
}

#[track_caller]
fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in the guide");
    text.replace(from, to)
}

/// Passes TCP on to a port of this machine, from the clients' address.
fn from_elsewhere(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let other = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
            bind(&other, &SocketAddr::from((CLIENT, 0))).unwrap();
            connect(&other, &SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
            let proxy = TcpStream::from(other);
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), proxy.try_clone().unwrap()),
                (proxy, client),
            ] {
                std::thread::spawn(move || {
                    _ = std::io::copy(&mut from, &mut to);
                    _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    here
}

/// A server that tells each client its address and then echoes.
fn server(change: impl FnOnce(sockeye::server::Builder) -> sockeye::server::Builder) -> Running {
    let (probe, _) = Probe::new(|socket, message, _| {
        if message.as_text() == Some("who am I?") {
            let ip = socket.client_ip().to_string();
            socket.send(&*ip);
        } else {
            socket.send(message);
        }
    });
    let builder = Server::builder()
        .config(patient())
        .get("/health", |_| HttpResponse::text("ok"))
        .route("/chat", probe);
    Running::start(change(builder))
}

fn trusted() -> TrustedProxies {
    TrustedProxies::new(["127.0.0.1"]).unwrap()
}

fn client(authority: &Authority, proxy: &Proxy) -> Result<Client, sockeye::Error> {
    let port = from_elsewhere(proxy.port);
    let mut options = ConnectOptions::default();
    options.tls = Some(Arc::new(authority.client()));
    // What a client says of itself doesn't count.
    let forged = ("X-Forwarded-For".into(), "192.0.2.1".into());
    options.request.headers = vec![forged];
    options.connect(&format!("wss://localhost:{port}/chat"))
}

/// Everything passes, in both directions, and the server knows who it is.
#[track_caller]
fn talks(authority: &Authority, proxy: &Proxy) {
    let mut client = client(authority, proxy).unwrap();
    client.send("who am I?").unwrap();
    let ip = client.recv().unwrap().unwrap().into_owned();
    assert_eq!(ip.as_text(), Some(&*CLIENT.to_string()));
    for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let payload = vec![b'x'; length];
        client.send(&payload[..]).unwrap();
        let echo = client.recv().unwrap().unwrap();
        assert!(echo.as_bytes() == payload, "{length} B");
    }
    client.close(CloseCode::from(4001), "enough").unwrap();
    let closed = client.closed().unwrap();
    assert_eq!((closed.code, closed.clean), (4001.into(), true));
}

#[test]
#[ignore = "needs nginx: tests/proxies/run.sh"]
fn nginx_with_the_guides_configuration_passes_everything_and_tells_who_the_client_is() {
    let server = server(|it| it.trusted_proxies(trusted()));
    let authority = Authority::default();
    let identity = authority.issue("localhost");
    let text = replace(
        snippet("nginx"),
        "127.0.0.1:9001",
        &server.address.to_string(),
    );
    talks(&authority, &nginx("nginx", &identity, &text));
}

#[test]
#[ignore = "needs nginx: tests/proxies/run.sh"]
fn nginx_without_the_two_headers_gets_400() {
    let server = server(|it| it.trusted_proxies(trusted()));
    let authority = Authority::default();
    let identity = authority.issue("localhost");
    let address = server.address.to_string();
    let mut text = replace(snippet("nginx"), "127.0.0.1:9001", &address);
    text = replace(&text, "proxy_set_header Upgrade $http_upgrade;", "");
    text = replace(&text, "proxy_set_header Connection \"upgrade\";", "");
    let error = client(&authority, &nginx("nginx-plain", &identity, &text)).err();
    let text = error.unwrap().to_string();
    assert!(text.contains("400"), "{text}");
}

#[test]
#[ignore = "needs HAProxy: tests/proxies/run.sh"]
fn haproxy_with_the_guides_configuration_passes_everything_and_tells_who_the_client_is() {
    let server = server(|it| it.trusted_proxies(trusted()));
    let authority = Authority::default();
    let identity = authority.issue("localhost");
    let address = server.address.to_string();
    let text = replace(snippet("HAProxy"), "127.0.0.1:9001", &address);
    talks(&authority, &haproxy("haproxy", &identity, &text));
}

#[test]
#[ignore = "needs HAProxy: tests/proxies/run.sh"]
fn haproxy_with_a_proxy_header_does_without_http_headers() {
    let server = server(|it| it.proxy_protocol(trusted()));
    let authority = Authority::default();
    let identity = authority.issue("localhost");
    let to = format!("{} send-proxy-v2", server.address);
    let mut text = replace(snippet("HAProxy"), "127.0.0.1:9001", &to);
    text = replace(&text, "    option forwardfor\n", "");
    talks(&authority, &haproxy("haproxy-v2", &identity, &text));
}
