//! Signed tokens (RFC 7515) and the keys that signed them (RFC 7517): RS256, ES256 and EdDSA, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The longest token that is read, in bytes.
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Keys as a provider publishes them. What is not understood is left aside.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Keys {
    keys: Vec<Key>,
}

#[derive(Debug, Clone, Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
}

/// A token taken apart, and not checked yet.
pub(super) struct Token<'a> {
    header: Header,
    signed: &'a str,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

impl<'a> Token<'a> {
    pub(super) fn read(text: &'a str) -> Option<Self> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = serde_json::from_slice(&bytes(header)?).ok()?;
        Some(Self { header, signed, claims: bytes(claims)?, signature: bytes(signature)? })
    }

    /// What its header says it is, in small letters.
    pub(super) fn kind(&self) -> Option<String> {
        self.header.typ.as_deref().map(str::to_lowercase)
    }

    /// Whether a key is there that may have signed it: if not, there may be newer ones.
    pub(super) fn is_of(&self, keys: &Keys) -> bool {
        keys.keys.iter().any(|key| self.fits(key))
    }

    fn fits(&self, key: &Key) -> bool {
        let named = self.header.kid.is_none() || self.header.kid == key.kid;
        let signs = key.r#use.as_deref().is_none_or(|used| used == "sig");
        named && signs && key.alg.as_ref().is_none_or(|alg| *alg == self.header.alg)
    }

    /// Its claims, if one of these keys signed them.
    pub(super) fn claims<T: DeserializeOwned>(&self, keys: &Keys) -> Option<T> {
        let mut fitting = keys.keys.iter().filter(|key| self.fits(key));
        fitting.any(|key| self.signed_by(key).unwrap_or(false)).then(|| serde_json::from_slice(&self.claims).ok())?
    }

    fn signed_by(&self, key: &Key) -> Option<bool> {
        let (message, signature) = (self.signed.as_bytes(), &*self.signature);
        let part = |text: &Option<String>| bytes(text.as_deref()?);
        let good = match (&*self.header.alg, &*key.kty, key.crv.as_deref()) {
            ("RS256", "RSA", _) => {
                let key = RsaPublicKeyComponents { n: part(&key.n)?, e: part(&key.e)? };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            ("ES256", "EC", Some("P-256")) => {
                let point = [vec![4], part(&key.x)?, part(&key.y)?].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            ("EdDSA" | "Ed25519", "OKP", Some("Ed25519")) => {
                UnparsedPublicKey::new(&ED25519, part(&key.x)?).verify(message, signature)
            }
            _ => return None,
        };
        Some(good.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// RFC 8037, A.4 and A.5.
    const ED25519_KEY: &str =
        r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    const ED25519_SIGNED: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

    /// RFC 7515, A.3: the claims are those of a token that was over in 2011.
    const ES256_KEY: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    const ES256_SIGNED: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    fn keys(text: &str) -> Keys {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn what_the_standards_signed_is_signed_and_nothing_else_is() {
        let token = Token::read(ES256_SIGNED).expect("a token");
        let claims: Value = token.claims(&keys(ES256_KEY)).expect("signed");
        assert_eq!(claims["iss"], "joe");
        assert!(token.claims::<Value>(&keys(ED25519_KEY)).is_none(), "another kind of key");
        let token = Token::read(ED25519_SIGNED).expect("a token");
        assert_eq!(token.signed_by(&keys(ED25519_KEY).keys[0]), Some(true));
        let spoilt = ES256_SIGNED.replace("DtEh", "DtEi");
        assert!(Token::read(&spoilt).expect("a token").claims::<Value>(&keys(ES256_KEY)).is_none());
        let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode("{}"));
        assert!(Token::read(&none).expect("a token").claims::<Value>(&keys(ES256_KEY)).is_none());
        let other = ES256_KEY.replace("\"kty\"", "\"use\": \"enc\", \"kty\"");
        assert!(!Token::read(ES256_SIGNED).expect("a token").is_of(&keys(&other)));
        for nonsense in ["", "a.b", "a.b.c", "..", "e30.e30"] {
            assert!(Token::read(nonsense).is_none(), "{nonsense}");
        }
    }
}
