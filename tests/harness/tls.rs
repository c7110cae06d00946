//! What the suites of TLS share: certificates created at run time, and rustls itself as the other
//! end.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sockeye::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sockeye::rustls::server::WebPkiClientVerifier;
use sockeye::rustls::version::{TLS12, TLS13};
use sockeye::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion, crypto,
};

use crate::net::{GUARD, Peer, Running};

pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A certificate with its key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    key: KeyPair,
    pub pem: String,
}

impl Identity {
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    fn new(certificate: &rcgen::Certificate, key: KeyPair) -> Self {
        Self {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            key,
        }
    }
}

/// An authority that issues certificates, and is trusted.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: CertificateDer<'static>,
    pub pem: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::named("the tests' own authority")
    }
}

impl Authority {
    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Issues a certificate for this host or address.
    pub fn issue(&self, name: &str) -> Identity {
        self.issue_with(name, |_| {})
    }

    pub fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new([name.to_string()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::new(&certificate, key)
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }

    /// Returns a client configuration that trusts it.
    pub fn client(&self) -> ClientConfig {
        self.client_of(&VERSIONS)
    }

    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }

    /// Like [`client`](Self::client), with a client certificate.
    pub fn certified_client(&self, identity: &Identity) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots())
            .with_client_auth_cert(vec![identity.certificate.clone()], identity.key())
            .unwrap()
    }

    /// Returns a server configuration that asks clients for a certificate of this authority, and
    /// also accepts those that have none.
    pub fn asking_server(&self, identity: &Identity) -> Arc<ServerConfig> {
        let provider = Arc::new(crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider.clone())
                .allow_unauthenticated()
                .build()
                .unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![identity.certificate.clone()], identity.key());
        Arc::new(config.unwrap())
    }
}

/// Returns a server configuration with this certificate.
pub fn server(identity: &Identity) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], identity.key());
    Arc::new(config.unwrap())
}

pub type Stream = StreamOwned<ClientConnection, TcpStream>;
pub type TlsPeer = Peer<Stream>;

/// Returns TLS with `localhost` over this connection; the TLS handshake is not done yet.
pub fn over(socket: TcpStream, config: ClientConfig) -> TlsPeer {
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    socket.set_write_timeout(Some(GUARD)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    Peer::over(StreamOwned::new(connection, socket))
}

/// A client at the other end of TLS.
pub type TlsClient = Peer<StreamOwned<ServerConnection, TcpStream>>;

/// The server's side of TLS over the connection of this peer.
pub fn accept(peer: Peer, config: Arc<ServerConfig>) -> TlsClient {
    let connection = ServerConnection::new(config).unwrap();
    Peer::over(StreamOwned::new(connection, peer.into_inner()))
}

pub fn connect(server: &Running, config: ClientConfig) -> TlsPeer {
    over(TcpStream::connect(server.address).unwrap(), config)
}

impl TlsPeer {
    /// Returns the records of these pieces of plaintext, one for each, without writing them.
    pub fn records<'b>(&mut self, pieces: impl IntoIterator<Item = &'b [u8]>) -> Vec<u8> {
        let connection = &mut self.stream().conn;
        connection.set_buffer_limit(None);
        for piece in pieces {
            connection.writer().write_all(piece).unwrap();
        }
        let mut records = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut records).unwrap();
        }
        records
    }

    /// Returns the TCP connection beneath.
    pub fn tcp(&mut self) -> &mut TcpStream {
        &mut self.stream().sock
    }

    /// Sends close_notify, and nothing more.
    pub fn close_notify(&mut self) {
        let stream = self.stream();
        stream.conn.send_close_notify();
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
}
