//! Arbitrary bytes as a certificate: as they are, and as changes to one that was issued.

use std::sync::OnceLock;

use openrtc_core::membership::{SigningKey, VerifyingKey};
use openrtc_evidence::{Certificate, check as check_certificate};

/// A certificate that was issued, signed by the key of 32 sevens.
pub const ISSUED: &str = include_str!("../../evidence/tests/certificate.jsonl");

/// Checks the certificate; one that was changed is refused, or says what it said before.
pub fn check(bytes: &[u8]) {
    let issued = issued();
    let text = String::from_utf8_lossy(bytes);
    for key in [None, Some(&issued.key)] {
        // What nobody signed may say anything; that it can be checked is all.
        let _ = check_certificate(&text, key);
    }
    let Ok(changed) = String::from_utf8(changed(bytes)) else { return };
    match check_certificate(&changed, Some(&issued.key)) {
        Ok(certificate) => assert_eq!(certificate, issued.certificate, "accepted:\n{changed}"),
        Err(_) => assert_ne!(changed, ISSUED, "what was not changed is refused"),
    }
}

struct Issued {
    certificate: Certificate,
    key: VerifyingKey,
}

fn issued() -> &'static Issued {
    static CERTIFICATE: OnceLock<Issued> = OnceLock::new();
    CERTIFICATE.get_or_init(|| {
        let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
        let certificate = check_certificate(ISSUED, Some(&key)).expect("it is as it was issued");
        Issued { certificate, key }
    })
}

/// The certificate with each four bytes as one deed: what, where (two bytes), and with which byte.
fn changed(deeds: &[u8]) -> Vec<u8> {
    let mut text = ISSUED.as_bytes().to_vec();
    for [what, low, high, byte] in deeds.as_chunks::<4>().0 {
        let place = usize::from(u16::from_le_bytes([*low, *high])) % (text.len() + 1);
        match what % 5 {
            0 => text.truncate(place),
            1 => text.insert(place, *byte),
            2 if place < text.len() => drop(text.remove(place)),
            3 if place < text.len() => text[place] ^= byte,
            4 => text.extend_from_within(..place.min(usize::from(*byte))),
            _ => {}
        }
    }
    text
}
