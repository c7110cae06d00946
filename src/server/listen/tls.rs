//! The TLS configuration of the server's connections.
//!
//! Owns the configuration while the server runs. Leaves the protocol to [`net`](crate::net), and
//! all choices to rustls' `ServerConfig`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;
use std::vec::Vec;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::UnbufferedServerConnection;

use crate::server::build_error::BuildError;

/// The configuration of new connections, shared by the listeners that use it.
pub(in crate::server) struct Tls(Mutex<Arc<ServerConfig>>);

impl Tls {
    pub(in crate::server) fn new(config: Arc<ServerConfig>) -> Result<Self, BuildError> {
        Ok(Self(Mutex::new(check(config)?)))
    }

    /// Replaces the configuration of new connections.
    pub(in crate::server) fn replace(&self, config: Arc<ServerConfig>) -> Result<(), BuildError> {
        let config = check(config)?;
        let before = std::mem::replace(&mut *self.lock(), config);
        // Dropping it may drop the application's certificate store, so not under the lock.
        drop(before);
        Ok(())
    }

    /// Creates the server's side of one connection.
    pub(in crate::server) fn connection(
        &self,
    ) -> Result<UnbufferedServerConnection, rustls::Error> {
        UnbufferedServerConnection::new(Arc::clone(&self.lock()))
    }

    /// The value is always whole, so a panic elsewhere doesn't poison it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<ServerConfig>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the configuration as it is used: connections can be made from it, and accept no early
/// data, which can be replayed (RFC 8446 section 8): a request would be handled twice.
fn check(mut config: Arc<ServerConfig>) -> Result<Arc<ServerConfig>, BuildError> {
    if config.max_early_data_size > 0 {
        let mut without = (*config).clone();
        without.max_early_data_size = 0;
        config = Arc::new(without);
    }
    UnbufferedServerConnection::new(Arc::clone(&config))?;
    Ok(config)
}

/// The files that a server's configuration is read from, and again while it runs.
pub(in crate::server) struct TlsFiles {
    pub(in crate::server) certificates: PathBuf,
    pub(in crate::server) private_key: PathBuf,
}

impl TlsFiles {
    pub(in crate::server) fn read(&self) -> Result<Arc<ServerConfig>, BuildError> {
        tls_from_pem(&self.certificates, &self.private_key)
    }
}

/// Makes a configuration from a certificate chain, the server's own certificate first, and its
/// private key, both PEM files: TLS 1.2 and 1.3 on ring, ALPN `http/1.1`, no client certificates.
///
/// [`Builder::tls_from_pem`](crate::server::Builder::tls_from_pem) remembers the files, and can read
/// them again. For anything else, such as client certificates or several names, make a
/// [`ServerConfig`](rustls::ServerConfig) with rustls' own builder.
///
/// ```no_run
/// use sockeye::server::Server;
/// use sockeye::server::listen::tls_from_pem;
///
/// let server = Server::builder()
///     .tls(tls_from_pem("fullchain.pem", "privkey.pem")?)
///     .listen("0.0.0.0:443")?;
/// let handle = server.handle();
/// // Later, when the files have changed:
/// handle.set_tls(tls_from_pem("fullchain.pem", "privkey.pem")?)?;
/// # Ok::<(), sockeye::Error>(())
/// ```
///
/// # Errors
/// A [`BuildError`] that names the file: it can't be read, is not PEM, has no certificate
/// ([`CertificateFile`](BuildError::CertificateFile)) or no key ([`KeyFile`](BuildError::KeyFile)),
/// or the key doesn't match the certificate ([`KeyPair`](BuildError::KeyPair)). [`BuildError::Tls`] where
/// rustls' provider can't do TLS 1.2 and 1.3.
pub fn tls_from_pem(
    certificates: impl AsRef<Path>,
    private_key: impl AsRef<Path>,
) -> Result<Arc<ServerConfig>, BuildError> {
    let (chain_path, key_path) = (certificates.as_ref(), private_key.as_ref());
    let bad_chain = |error| BuildError::CertificateFile {
        path: chain_path.into(),
        error,
    };
    let chain = CertificateDer::pem_file_iter(chain_path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(bad_chain)?;
    if chain.is_empty() {
        return Err(bad_chain(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(|error| BuildError::KeyFile {
        path: key_path.into(),
        error,
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| BuildError::KeyPair {
            certificates: chain_path.into(),
            private_key: key_path.into(),
            error,
        })?;
    // The only protocol that is spoken here (RFC 7301).
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
