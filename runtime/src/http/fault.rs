//! What is wrong with a TLS connection, and what to do about it.

use std::error::Error;
use std::io;
use std::time::UNIX_EPOCH;

use humantime::format_rfc3339_seconds;
use reqwest::Url;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// What `cause` says of the TLS connection to a URL; `None` if it is about something else.
pub(super) fn tls_fault(cause: &(dyn Error + 'static), url: &Url) -> Option<String> {
    let host = url.authority();
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return Some(told(error, host, url.host_str().unwrap_or_default()));
    }
    let broken = cause.downcast_ref::<io::Error>().filter(|error| error.to_string() == "tls handshake eof")?;
    Some(format!("{host} closed the connection in the TLS handshake ({broken}): does it speak TLS on this port?"))
}

fn told(error: &rustls::Error, host: &str, name: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(fault) => certificate(fault, host, name),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            format!("{host} does not speak TLS on this port: if it speaks plain HTTP, use http://")
        }
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) | rustls::Error::PeerIncompatible(_) => {
            format!("{host} speaks no TLS that is spoken here (1.2 and 1.3): {error}")
        }
        rustls::Error::General(problem) => problem.clone(),
        error => format!("the TLS connection to {host} failed: {error}"),
    }
}

fn certificate(fault: &CertificateError, host: &str, name: &str) -> String {
    match fault {
        CertificateError::UnknownIssuer => format!(
            "the certificate of {host} is vouched for by no authority that is trusted here: if it is yours, name your \
             authority's file in OPENRTC_TLS_CA_FILE (and have the server send its whole chain)"
        ),
        CertificateError::BadSignature => format!(
            "the certificate of {host} is signed by another authority than is trusted here under that name: name the \
             right one's file in OPENRTC_TLS_CA_FILE"
        ),
        CertificateError::Expired => format!("the certificate of {host} has expired: renew it there"),
        CertificateError::ExpiredContext { not_after, .. } => {
            let date = date(*not_after);
            format!("the certificate of {host} expired on {date}: renew it there (if this clock is right)")
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            let date = date(*not_before);
            format!("the certificate of {host} is not valid before {date}: is this machine's clock right?")
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!("the certificate of {host} names no host: give it the subjectAltName {name}")
        }
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "the certificate of {host} is for {}, not for {name}: use such a name in the URL, or add {name} to the \
             certificate's subjectAltName",
            presented.join(", ")
        ),
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => format!(
            "the certificate of {host} is an authority's own: have it sign a certificate for the server, and name the \
             authority's in OPENRTC_TLS_CA_FILE"
        ),
        fault => format!("the certificate of {host} is not good: {fault}"),
    }
}

fn date(time: UnixTime) -> impl std::fmt::Display {
    format_rfc3339_seconds(UNIX_EPOCH + std::time::Duration::from_secs(time.as_secs()))
}
