//! TLS of the generator: the trusted roots, and a connection's records.

use core::cell::RefCell;
use core::{fmt, mem};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use sockeye::proto::Url;

use crate::check::Fault;
use crate::options::Options;
use crate::report;
use crate::stream::{Read, read};

/// How much is encrypted at once.
const AHEAD: usize = 64 * 1024;
/// The size of its ciphertext: each record, of 16 KiB, adds a header and a tag of a few dozen
/// bytes.
const AHEAD_RECORDS: usize = AHEAD + 1024;

/// What all connections share.
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    verified: bool,
    scratch: Rc<RefCell<Vec<u8>>>,
}

impl Tls {
    /// # Errors
    /// Missing options, or a file of roots that can't be used.
    pub(crate) fn new(url: &Url, options: &Options) -> Result<Self, String> {
        let mut provider = ring::default_provider();
        if let Some(cipher) = &options.cipher {
            only(cipher, &mut provider)?;
        }
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &options.ca {
            Some(path) => builder.with_root_certificates(roots(path)?),
            None if options.insecure => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(algorithms))),
            None => builder.with_platform_verifier().map_err(|error| {
                format!("the system's roots can't be taken: {error}; see --ca and --insecure")
            })?,
        };
        let mut config = builder.with_no_client_auth();
        // Each connection is a new client, which has no session to resume.
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(url.host().to_owned())
            .map_err(|error| format!("{}: {error}, which TLS needs", url.host()))?;
        Ok(Self {
            config: Arc::new(config),
            name,
            verified: !options.insecure,
            scratch: Rc::new(RefCell::new(vec![0; AHEAD_RECORDS])),
        })
    }

    pub(crate) fn stream(&self, socket: TcpStream) -> Result<TlsStream, Fault> {
        TlsStream::new(self, socket)
    }
}

/// Restricts the provider to the cipher suite of that name.
fn only(name: &str, provider: &mut CryptoProvider) -> Result<(), String> {
    let names = provider.cipher_suites.iter().map(|it| it.suite().as_str());
    let all: Vec<_> = names.flatten().collect();
    provider
        .cipher_suites
        .retain(|it| it.suite().as_str() == Some(name));
    match provider.cipher_suites.is_empty() {
        true => Err(format!(
            "--cipher {name}: unknown; there are {}",
            all.join(", ")
        )),
        false => Ok(()),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let said = |error: &dyn fmt::Display| format!("--ca {}: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| said(&error))? {
        let certificate = certificate.map_err(|error| said(&error))?;
        roots.add(certificate).map_err(|error| said(&error))?;
    }
    match roots.is_empty() {
        true => Err(said(&"no certificate in PEM is in it")),
        false => Ok(roots),
    }
}

/// Accepts every certificate, for `--insecure`.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// A connection with TLS, by rustls' unbuffered interface: the buffered one reads 4 KiB at a time,
/// which it zeroes before, so that a short message costs twice as much.
pub(crate) struct TlsStream {
    connection: UnbufferedClientConnection,
    socket: TcpStream,
    /// The beginning of an incomplete record, or of a handshake message over several records.
    received: Vec<u8>,
    /// Records that the socket hasn't taken, except for the first `written` bytes.
    held: Vec<u8>,
    written: usize,
    /// Plaintext to encrypt once the handshake allows it.
    early: Vec<u8>,
    /// The shared output of all connections' encryption.
    scratch: Rc<RefCell<Vec<u8>>>,
    verified: bool,
}

/// The outcome of rustls' processing.
#[derive(Default)]
struct Ran {
    /// Bytes of records that were processed.
    consumed: usize,
    /// Bytes of plaintext.
    filled: usize,
    /// Whether the server said that no more follows.
    ended: bool,
    /// Bytes of records to send; None while the handshake doesn't allow it.
    records: Option<usize>,
}

impl TlsStream {
    fn new(tls: &Tls, socket: TcpStream) -> Result<Self, Fault> {
        let (config, name) = (Arc::clone(&tls.config), tls.name.clone());
        let mut stream = Self {
            connection: UnbufferedClientConnection::new(config, name)?,
            socket,
            received: Vec::new(),
            held: Vec::new(),
            written: 0,
            early: Vec::new(),
            scratch: Rc::clone(&tls.scratch),
            verified: tls.verified,
        };
        // A client speaks first.
        stream.run(&mut [], &mut [], &[], &mut [])?;
        Ok(stream)
    }

    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Reads once from the socket, into the second half of `buffer`; decrypts to the first.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<Read, Fault> {
        let (plain, records) = buffer.split_at_mut(buffer.len() / 2);
        let start = self.received.len();
        records[..start].copy_from_slice(&self.received);
        let count = match read(&mut self.socket, &mut records[start..])? {
            None => return Ok(Read::Nothing),
            Some(0) => return Ok(Read::Eof),
            Some(count) => count,
        };
        let end = start + count;
        let drained = end < records.len();
        let scratch = Rc::clone(&self.scratch);
        let scratch = &mut *scratch.borrow_mut();
        let early = mem::take(&mut self.early);
        let ran = self.run(&mut records[..end], plain, &early, scratch)?;
        self.received = records[ran.consumed..end].to_vec();
        match ran.records {
            Some(length) => self.send(&scratch[..length])?,
            None => self.early = early,
        }
        Ok(match ran.filled {
            0 if ran.ended => Read::Eof,
            0 if drained => Read::Nothing,
            count => Read::Bytes {
                count,
                drained: drained && !ran.ended,
            },
        })
    }

    /// Accepts as much as it encrypts at once.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The caller learns that the socket is full before more is encrypted.
        self.flush()?;
        let bytes = &bytes[..bytes.len().min(AHEAD)];
        let scratch = Rc::clone(&self.scratch);
        let scratch = &mut *scratch.borrow_mut();
        // rustls had seen it before; it has nothing to send yet.
        let mut received = mem::take(&mut self.received);
        let ran = self.run(&mut received, &mut [], bytes, scratch);
        let ran = ran.map_err(io::Error::other)?;
        received.drain(..ran.consumed);
        self.received = received;
        match ran.records {
            Some(length) => self.send(&scratch[..length])?,
            None => self.early.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.written < self.held.len() {
            match self.socket.write(&self.held[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.held = Vec::new();
        self.written = 0;
        Ok(())
    }

    /// RFC 8446 section 6.1: "Each party MUST send a "close_notify" alert before closing its write
    /// side of the connection". The server may be gone already.
    pub(crate) fn end(&mut self) {
        let mut alert = [0; 64];
        let status = self.connection.process_tls_records(&mut self.received);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state
            && let Ok(length) = traffic.queue_close_notify(&mut alert)
        {
            let _ = self.send(&alert[..length]);
        }
    }

    /// Sends records; holds those that the socket doesn't take.
    fn send(&mut self, records: &[u8]) -> io::Result<()> {
        let mut count = 0;
        if self.held.is_empty() && !records.is_empty() {
            count = match self.socket.write(records) {
                Ok(count) => count,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::Interrupted => 0,
                    _ => return Err(error),
                },
            };
        }
        self.held.extend_from_slice(&records[count..]);
        Ok(())
    }

    /// Decrypts `received` to `plain`, which is as long, and encrypts `bytes` to `records`, which
    /// has room for them. Records of rustls' own are held.
    fn run(
        &mut self,
        received: &mut [u8],
        plain: &mut [u8],
        bytes: &[u8],
        records: &mut [u8],
    ) -> Result<Ran, Error> {
        let mut ran = Ran::default();
        loop {
            let rest = &mut received[ran.consumed..];
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(rest);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        let length = record.payload.len();
                        plain[ran.filled..ran.filled + length].copy_from_slice(record.payload);
                        ran.filled += length;
                        ran.consumed += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => hold(data, &mut self.held),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    ran.records = Some(match bytes {
                        [] => 0,
                        _ => traffic
                            .encrypt(bytes, records)
                            .map_err(|error| Error::General(error.to_string()))?,
                    });
                    ran.consumed += discard;
                    return Ok(ran);
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    ran.ended = true;
                    ran.consumed = received.len();
                    return Ok(ran);
                }
                Ok(_) => {
                    ran.consumed += discard;
                    return Ok(ran);
                }
                Err(error) => {
                    // The alert that tells the server.
                    let rest = &mut received[ran.consumed + discard..];
                    if let Ok(ConnectionState::EncodeTlsData(data)) =
                        self.connection.process_tls_records(rest).state
                    {
                        hold(data, &mut self.held);
                    }
                    let _ = self.flush();
                    return Err(error);
                }
            }
            ran.consumed += discard;
        }
    }

    pub(crate) fn agreed(&self) -> Option<report::Tls> {
        let version = match self.connection.protocol_version()? {
            ProtocolVersion::TLSv1_2 => "1.2",
            ProtocolVersion::TLSv1_3 => "1.3",
            other => other.as_str()?,
        };
        let suite = self.connection.negotiated_cipher_suite()?.suite();
        Some(report::Tls {
            version,
            cipher_suite: suite.as_str()?,
            verified: self.verified,
        })
    }
}

/// Appends rustls' own records.
fn hold<D>(mut data: EncodeTlsData<'_, D>, held: &mut Vec<u8>) {
    let start = held.len();
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        held.resize(start + needed.required_size, 0);
        let _ = data.encode(&mut held[start..]);
    }
}
