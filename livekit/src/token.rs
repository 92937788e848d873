//! LiveKit's access tokens: JSON Web Tokens, signed with HMAC-SHA-256 (RFC 7515, RFC 7519).

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

/// How long a worker's own token is good for; it is used once, at once.
const WORKER_SECS: u64 = 6 * 3600;
/// How long a token for one request is good for.
const REQUEST_SECS: u64 = 600;
/// How long a job's token is good for, as a LiveKit server makes it.
const JOB_SECS: u64 = 3600;
/// How far two clocks may be apart.
const LEEWAY_SECS: u64 = 60;
/// The longest token that is read, in bytes: a request's head has no more room.
const TOKEN_MAX: usize = 16 * 1024;

/// An API key and its secret. The secret is never shown, and is wiped when it is dropped.
#[derive(Clone)]
pub struct ApiKey {
    key: String,
    secret: Zeroizing<String>,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What a server said, without the token: LiveKit repeats one that it refuses.
pub(crate) fn without(token: &str, said: &str) -> String {
    said.replace(token, "…")
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadToken {
    /// It is no token.
    Malformed,
    /// It is signed in another way than with HMAC-SHA-256.
    Algorithm,
    /// It names another key.
    Key,
    /// The signature is wrong.
    Signature,
    /// It is no longer good, or says not until when it is.
    Expired,
    /// It is not good yet.
    Early,
}

impl fmt::Display for BadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the token is malformed",
            Self::Algorithm => "the token is not signed with HS256",
            Self::Key => "the token names another API key",
            Self::Signature => "the token's signature is wrong",
            Self::Expired => "the token has expired",
            Self::Early => "the token is not valid yet",
        })
    }
}

impl std::error::Error for BadToken {}

impl ApiKey {
    /// A key and its secret.
    #[must_use]
    pub fn new(key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { key: key.into(), secret: Zeroizing::new(secret.into()) }
    }

    /// The token of a worker that registers. Times are seconds since the Unix epoch.
    #[must_use]
    pub fn worker_token(&self, now_secs: u64) -> Zeroizing<String> {
        self.token(now_secs, WORKER_SECS, &json!({ "video": { "agent": true } }))
    }

    /// The token of a request about one room, which may also make it and list all rooms.
    #[must_use]
    pub fn room_token(&self, now_secs: u64, room: &str) -> Zeroizing<String> {
        let grants = json!({ "roomAdmin": true, "roomCreate": true, "roomList": true, "room": room });
        self.token(now_secs, REQUEST_SECS, &json!({ "video": grants }))
    }

    /// The token with which an agent joins its room.
    #[must_use]
    pub fn job_token(&self, now_secs: u64, room: &str, identity: &str, attributes: &Value) -> Zeroizing<String> {
        let grants = json!({
            "roomJoin": true, "agent": true, "room": room,
            "canPublish": true, "canSubscribe": true, "canPublishData": true, "canUpdateOwnMetadata": true,
        });
        let claims = json!({ "sub": identity, "kind": "agent", "attributes": attributes, "video": grants });
        self.token(now_secs, JOB_SECS, &claims)
    }

    fn token(&self, now_secs: u64, secs: u64, claims: &Value) -> Zeroizing<String> {
        let mut all = Map::new();
        all.insert("iss".to_owned(), json!(self.key));
        all.insert("nbf".to_owned(), json!(now_secs));
        all.insert("exp".to_owned(), json!(now_secs + secs));
        all.extend(claims.as_object().cloned().unwrap_or_default());
        let head = encode(json!({ "alg": "HS256", "typ": "JWT" }).to_string().as_bytes());
        let signed = format!("{head}.{}", encode(Value::Object(all).to_string().as_bytes()));
        let signature = encode(&self.mac(signed.as_bytes()).finalize().into_bytes());
        Zeroizing::new(format!("{signed}.{signature}"))
    }

    /// Checks a token and gives its claims.
    pub fn verify(&self, token: &str, now_secs: u64) -> Result<Value, BadToken> {
        if token.len() > TOKEN_MAX {
            return Err(BadToken::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::Malformed)?;
        let (head, claims) = signed.split_once('.').ok_or(BadToken::Malformed)?;
        let (head, claims) = (decode(head)?, decode(claims)?);
        if head["alg"] != "HS256" {
            return Err(BadToken::Algorithm);
        }
        if claims["iss"] != self.key.as_str() {
            return Err(BadToken::Key);
        }
        let signature = Base64UrlUnpadded::decode_vec(signature).map_err(|_| BadToken::Malformed)?;
        self.mac(signed.as_bytes()).verify_slice(&signature).map_err(|_| BadToken::Signature)?;
        let expires = claims["exp"].as_u64().ok_or(BadToken::Expired)?;
        if expires.saturating_add(LEEWAY_SECS) < now_secs {
            return Err(BadToken::Expired);
        }
        if claims["nbf"].as_u64().unwrap_or(0) > now_secs + LEEWAY_SECS {
            return Err(BadToken::Early);
        }
        Ok(claims)
    }

    fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("any length is a key");
        mac.update(message);
        mac
    }
}

fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

fn decode(text: &str) -> Result<Value, BadToken> {
    let bytes = Base64UrlUnpadded::decode_vec(text).map_err(|_| BadToken::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| BadToken::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    #[test]
    fn a_token_is_read_back_and_every_flaw_is_named() {
        let key = ApiKey::new("devkey", "secret");
        let token = key.worker_token(NOW);
        assert_eq!(key.verify(&token, NOW).expect("good")["video"]["agent"], true);
        assert!(key.verify(&token, NOW - 50).is_ok() && key.verify(&token, NOW + WORKER_SECS + 50).is_ok());
        assert_eq!(key.verify(&token, NOW - 90), Err(BadToken::Early));
        assert_eq!(key.verify(&token, NOW + WORKER_SECS + 90), Err(BadToken::Expired));
        assert_eq!(ApiKey::new("devkey", "other").verify(&token, NOW), Err(BadToken::Signature));
        assert_eq!(ApiKey::new("other", "secret").verify(&token, NOW), Err(BadToken::Key));
        for token in ["", "a", "a.b.c", "..", &format!("{}x", token.as_str())] {
            let refused = key.verify(token, NOW).expect_err(token);
            assert!(matches!(refused, BadToken::Malformed | BadToken::Signature), "{token}: {refused}");
        }
        let none = format!("{}.{}.", encode(br#"{"alg":"none"}"#), token.split('.').nth(1).expect("claims"));
        assert_eq!(key.verify(&none, NOW), Err(BadToken::Algorithm));
    }

    /// Made by another implementation (`PyJWT` 2.6): `jwt.encode({"iss": "devkey", "nbf": 1700000000, "exp":
    /// 1700021600, "video": {"agent": True}}, "secret", algorithm="HS256")`.
    #[test]
    fn a_token_of_another_implementation_is_taken() {
        let claims =
            "eyJpc3MiOiJkZXZrZXkiLCJuYmYiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAyMTYwMCwidmlkZW8iOnsiYWdlbnQiOnRydWV9fQ";
        let token =
            format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{claims}.eAYheN2OCS7doiwXkVe6k1oJaYHuVLCaCx9iqcB6fSw");
        assert!(ApiKey::new("devkey", "secret").verify(&token, NOW).is_ok());
    }

    #[test]
    fn no_secret_is_shown() {
        assert_eq!(format!("{:?}", ApiKey::new("devkey", "hidden")), r#"ApiKey { key: "devkey", .. }"#);
    }
}
