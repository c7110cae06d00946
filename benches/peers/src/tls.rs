//! TLS of the servers in Rust, alike for all: rustls on ring, the certificate by the command line.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Of `--tls CERT KEY`, two files in PEM; None without it.
///
/// # Panics
///
/// Where the files are no such.
pub fn config() -> Option<Arc<ServerConfig>> {
    let mut files = std::env::args()
        .skip_while(|argument| argument != "--tls")
        .skip(1);
    let (certificate, key) = (files.next()?, files.next()?);
    let certificates = CertificateDer::pem_file_iter(certificate).expect("certificates");
    let certificates = certificates.collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|it| it.with_no_client_auth().with_single_cert(certificates, key))
        .expect("a key that fits the certificate");
    Some(Arc::new(config))
}
