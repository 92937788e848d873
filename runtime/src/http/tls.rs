//! TLS on a port of this worker's: its certificate, read again when it is replaced, and the handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use super::accept::accept_each;
use super::pem::{PemError, key, parse_certificates, provider, read_certificates, read_key};
use super::server::{Bounds, answer};
use crate::process::Reserve;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The first byte of every TLS connection: the record that begins a handshake.
const HANDSHAKE: u8 = 22;

/// A server's certificate and its key, from files. Replaced files are read again while the server runs.
pub struct ServerCertificate {
    cert: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

/// What was read last.
struct Current {
    files: Files,
    config: Arc<ServerConfig>,
    /// What is wrong with what is in the files now, if anything; said once.
    problem: Option<String>,
}

/// What is in the files.
#[derive(PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// Answers one HTTPS request per connection, for as long as the process lives. A client that speaks plain HTTP gets an
/// answer in plain HTTP that says to use HTTPS.
pub async fn answer_all(listener: TcpListener, router: Router, bounds: Bounds, certificate: Arc<ServerCertificate>) {
    let https_only = Router::new().fallback(|| async {
        (StatusCode::BAD_REQUEST, "this port speaks TLS: use https:// (in a Kubernetes probe, scheme: HTTPS)\n")
    });
    let reserve = Reserve::of(bounds.reserve);
    let serve = accept_each(listener, bounds.connections, reserve, |stream, peer, seat| {
        let (router, https_only, certificate) = (router.clone(), https_only.clone(), Arc::clone(&certificate));
        async move {
            match timeout(bounds.head, certificate.accept(stream)).await {
                Ok(Ok(Accepted::Tls(stream))) => answer(stream, peer, seat, router, bounds).await,
                Ok(Ok(Accepted::Plain(stream))) => answer(stream, peer, seat, https_only, bounds).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
            }
        }
    });
    tokio::join!(serve, certificate.keep_fresh());
}

/// What a connection turned out to be.
enum Accepted {
    Tls(Box<TlsStream<TcpStream>>),
    /// The client speaks plain HTTP and waits for an answer in plain HTTP.
    Plain(TcpStream),
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCertificate").field("cert", &self.cert).field("key", &self.key).finish_non_exhaustive()
    }
}

impl ServerCertificate {
    /// Reads a certificate, with the chain up to its authority, and its key, both in PEM form.
    pub fn read(cert: PathBuf, key: PathBuf) -> Result<Self, PemError> {
        let files = Files::read(&cert, &key)?;
        let config = files.parse(&cert, &key)?;
        Ok(Self { cert, key, current: Mutex::new(Current { files, config, problem: None }) })
    }

    /// Checks again and again whether the files were replaced, for as long as it is polled. If the new files cannot be
    /// used, it logs one warning and keeps the certificate in use.
    async fn keep_fresh(self: &Arc<Self>) {
        let mut pace = interval(LOOK_EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let certificate = Arc::clone(self);
            // A disk that does not answer delays nobody else.
            if tokio::task::spawn_blocking(move || certificate.look()).await.is_err() {
                return;
            }
        }
    }

    /// Takes what is in the files now.
    fn look(&self) {
        let read = Files::read(&self.cert, &self.key);
        let taken = match read {
            Ok(files) if files == self.current().files => return,
            Ok(files) => files.parse(&self.cert, &self.key).map(|config| Current { files, config, problem: None }),
            Err(error) => Err(error),
        };
        match taken {
            Ok(fresh) => {
                *self.current() = fresh;
                tracing::info!(cert = %self.cert.display(), "the certificate was replaced");
            }
            Err(error) => {
                let problem = Some(error.to_string());
                if self.current().problem != problem {
                    tracing::warn!("the certificate in use is kept, because the new one cannot be used: {error}");
                    self.current().problem = problem;
                }
            }
        }
    }

    /// Performs the handshake. The caller bounds its time.
    async fn accept(&self, stream: TcpStream) -> io::Result<Accepted> {
        let mut first = [HANDSHAKE];
        stream.peek(&mut first).await?;
        if first != [HANDSHAKE] {
            return Ok(Accepted::Plain(stream));
        }
        let config = Arc::clone(&self.current().config);
        TlsAcceptor::from(config).accept(stream).await.map(|stream| Accepted::Tls(Box::new(stream)))
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn read(cert: &Path, key: &Path) -> Result<Self, PemError> {
        Ok(Self { cert: read_certificates(cert)?, key: read_key(key)? })
    }

    fn parse(&self, cert: &Path, key_path: &Path) -> Result<Arc<ServerConfig>, PemError> {
        let (chain, key) = (parse_certificates(cert, &self.cert)?, key(key_path, &self.key)?);
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = config.expect("the provider speaks TLS 1.2 and 1.3").with_no_client_auth();
        let mut config = config.with_single_cert(chain, key).map_err(|error| PemError::Mismatch {
            cert: cert.to_owned(),
            key: key_path.to_owned(),
            error,
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
