//! An authority of a company's own, and a server's certificate from it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Where the files are, in PEM.
pub struct ServerFiles {
    /// The authority's certificate, for whoever is to trust it.
    pub ca: String,
    /// The server's certificate, for 127.0.0.1.
    pub cert: String,
    /// Its key, which only its owner can read.
    pub key: String,
}

impl ServerFiles {
    /// Makes them in a directory.
    pub fn make(dir: &Path) -> Self {
        let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        let (ca, cert, key) = (path("ca.pem"), path("tls.pem"), path("tls.key"));
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let pair = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&pair, &authority).unwrap();
        fs::write(&ca, authority.pem()).unwrap();
        fs::write(&cert, server.pem()).unwrap();
        fs::write(&key, pair.serialize_pem()).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        Self { ca, cert, key }
    }
}
