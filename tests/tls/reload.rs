//! Certificates that are read again from their files, by a call and by a signal.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

use harness::net::{GUARD, Probe, Running, patient, serve_with};
use harness::tls::{Authority, Identity, TlsPeer, connect};
use sockeye::rustls::pki_types::CertificateDer;
use sockeye::server::observe::Observer;
use sockeye::server::{BuildError, Builder, Server};

use crate::server::Directory;

struct Told(Sender<Result<(), String>>);

impl Observer for Told {
    fn tls_reloaded(&self, result: Result<(), &BuildError>) {
        let _ = self.0.send(result.map_err(ToString::to_string));
    }
}

struct Site {
    directory: Directory,
    authority: Authority,
    server: Running,
    told: Receiver<Result<(), String>>,
}

impl Site {
    fn new(name: &str, change: impl FnOnce(Builder) -> Builder) -> Self {
        let directory = Directory::new(name);
        let authority = Authority::default();
        let [chain, key] = write(&directory, &authority.issue("localhost"));
        let (tell, told) = channel();
        let (server, _watch) = serve_with(
            |it| {
                let it = it.config(patient()).observer(Told(tell));
                change(it.tls_from_pem(chain, key))
            },
            Probe::echo(),
        );
        Self {
            directory,
            authority,
            server,
            told,
        }
    }

    /// The certificate that a new connection is shown.
    fn shown(&self) -> CertificateDer<'static> {
        let mut peer: TlsPeer = connect(&self.server, self.authority.client());
        peer.upgrade(&harness::handshake::upgrade());
        let shown = peer.stream().conn.peer_certificates().unwrap()[0].clone();
        peer.close();
        shown
    }
}

fn write(directory: &Directory, identity: &Identity) -> [PathBuf; 2] {
    [
        directory.file("chain.pem", &identity.pem),
        directory.file("key.pem", identity.key_pem()),
    ]
}

#[test]
fn files_that_changed_are_for_new_connections_and_bad_ones_change_nothing() {
    let site = Site::new("reload", |it| it);
    let renewed = site.authority.issue("localhost");
    assert_ne!(site.shown(), renewed.certificate);
    write(&site.directory, &renewed);
    assert_ne!(site.shown(), renewed.certificate, "nobody has read them");
    site.server.handle().reload_tls().unwrap();
    assert_eq!(site.shown(), renewed.certificate);
    assert_eq!(site.told.recv_timeout(GUARD).unwrap(), Ok(()));
    let key = site.directory.file("key.pem", "no key");
    let error = site.server.handle().reload_tls().unwrap_err();
    assert!(matches!(&error, BuildError::KeyFile { path, .. } if **path == *key));
    let told = site.told.recv_timeout(GUARD).unwrap();
    assert_eq!(told, Err(error.to_string()));
    assert_eq!(site.shown(), renewed.certificate);
}

#[test]
fn a_server_without_files_has_none_to_read_again() {
    let authority = Authority::default();
    let config = harness::tls::server(&authority.issue("localhost"));
    let (server, _watch) = serve_with(
        |it| it.tls_from_pem("nowhere", "nowhere").tls(config),
        Probe::echo(),
    );
    let error = server.handle().reload_tls().unwrap_err();
    assert!(matches!(error, BuildError::NoTlsFiles));
    let missing = Server::builder().tls_from_pem("nowhere.pem", "nowhere.key");
    let error = missing.listen("127.0.0.1:0").unwrap_err();
    assert!(error.to_string().contains("nowhere.pem"), "{error}");
}

#[cfg(all(unix, feature = "signals"))]
#[test]
fn sighup_has_the_files_read_again() {
    let site = Site::new("sighup", Builder::signals);
    while !site.server.handle().is_ready() {
        std::thread::yield_now();
    }
    let hang_up = || {
        let id = std::process::id().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-HUP", &id])
            .status();
        assert!(kill.unwrap().success());
        site.told.recv_timeout(GUARD).unwrap()
    };
    let renewed = site.authority.issue("localhost");
    write(&site.directory, &renewed);
    assert_eq!(hang_up(), Ok(()));
    assert_eq!(site.shown(), renewed.certificate);
    site.directory.file("chain.pem", "");
    let error = hang_up().unwrap_err();
    assert!(error.contains("chain.pem"), "{error}");
    assert_eq!(site.shown(), renewed.certificate);
}
