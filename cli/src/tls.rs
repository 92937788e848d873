//! The certificate that a command answers over HTTPS with.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use openrtc_runtime::http::tls::ServerCertificate;

use crate::Usage;

/// Where it is.
#[derive(Args, Clone, Debug)]
pub(crate) struct TlsArgs {
    /// The certificate to answer over HTTPS with (PEM), with the chain up to its authority; read again when replaced.
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its key (PEM), not readable by others.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// Reads the certificate and its key; `None` if none is named.
    pub(crate) fn certificate(&self) -> Result<Option<Arc<ServerCertificate>>, Usage> {
        let files = self.tls_cert.clone().zip(self.tls_key.clone());
        let read = |(cert, key)| ServerCertificate::read(cert, key).map(Arc::new);
        files.map(read).transpose().map_err(Usage::new)
    }
}
