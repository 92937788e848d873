//! The certificate authorities that a client trusts: the platform's, or those in a file.

use std::path::Path;

#[cfg(feature = "tls")]
use {
    reqwest::Url,
    rustls::{ClientConfig, pki_types::ServerName},
    std::{io, sync::Arc},
    tokio::net::TcpStream,
    tokio_rustls::{TlsConnector, client::TlsStream},
};

use super::pem::PemError;
#[cfg(feature = "tls")]
use crate::config::host;

/// The certificate authorities that a client trusts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trust {
    #[cfg(feature = "tls")]
    tls: ClientConfig,
}

impl Trust {
    /// Trusts the authorities in `file` (PEM) and no others. Without a file, it trusts the platform's.
    ///
    /// The file is read at once. The platform's authorities are read when the first TLS connection is made, so that a
    /// client of plain HTTP does not pay for them; the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` put others in
    /// their place.
    pub fn new(file: Option<&Path>) -> Result<Self, PemError> {
        #[cfg(feature = "tls")]
        return Ok(Self { tls: verify::config(file)? });
        #[cfg(not(feature = "tls"))]
        file.map_or(Ok(Self {}), |file| Err(PemError::WithoutTls(file.to_owned())))
    }

    /// A client's settings with these authorities.
    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_self, reason = "without TLS, nobody has to be believed"))]
    pub(super) fn applied_to(&self, client: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        #[cfg(feature = "tls")]
        let client = client.tls_backend_preconfigured(self.tls.clone());
        client
    }

    /// Performs a client's handshake with the host that `url` names.
    #[cfg(feature = "tls")]
    pub(super) async fn shake_hands(&self, url: &Url, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host(url).to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(self.tls.clone())).connect(name, stream).await
    }
}

#[cfg(feature = "tls")]
mod verify {
    use std::path::Path;
    use std::sync::{Arc, OnceLock};

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

    use super::super::pem::{PemError, certificates, provider};

    pub(super) fn config(file: Option<&Path>) -> Result<ClientConfig, PemError> {
        let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = config.expect("the provider speaks TLS 1.2 and 1.3");
        let config = match file {
            None => config.dangerous().with_custom_certificate_verifier(Arc::new(Platform::default())),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(file)? {
                    roots.add(certificate).map_err(|error| PemError::NotAnAuthority(file.to_owned(), error))?;
                }
                config.with_root_certificates(roots)
            }
        };
        Ok(config.with_no_client_auth())
    }

    /// Judges by the platform's authorities with rustls's own verifier, made when it is first needed.
    #[derive(Debug, Default)]
    struct Platform(OnceLock<Arc<WebPkiServerVerifier>>);

    impl Platform {
        /// An empty list is not kept: authorities may be installed while the worker runs.
        fn verifier(&self) -> Result<&WebPkiServerVerifier, Error> {
            match self.0.get() {
                Some(verifier) => Ok(verifier),
                None => platform().map(|verifier| &**self.0.get_or_init(|| verifier)),
            }
        }
    }

    fn platform() -> Result<Arc<WebPkiServerVerifier>, Error> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
            return Err(Error::General(format!(
                "no certificate authorities are installed here{why}: install them (package ca-certificates), or name a \
                 file of your own in OPENRTC_TLS_CA_FILE"
            )));
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        verifier.map_err(|error| Error::General(error.to_string()))
    }

    impl ServerCertVerifier for Platform {
        fn verify_server_cert(
            &self,
            end_entity: &CertificateDer<'_>,
            intermediates: &[CertificateDer<'_>],
            server_name: &ServerName<'_>,
            ocsp_response: &[u8],
            now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.verifier()?.verify_tls12_signature(message, cert, dss)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.verifier()?.verify_tls13_signature(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    }
}
