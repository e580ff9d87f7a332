//! Where off-site copies and backups go, as one line of configuration says it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use domain::ids::TenantId;
use domain::port::{Failure, OffSite};
use reqwest::Url;

use super::folder::FolderOffSite;
use super::s3::{Credentials, S3OffSite, S3Place};

/// A place elsewhere, for all tenants: each has a part of its own.
///
/// Written `/folder`, `file:///folder` or `s3://bucket/prefix?endpoint=…&region=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder, by its absolute path.
    Folder(PathBuf),
    /// A bucket of an S3-compatible store.
    S3(S3Place),
}

/// Why a text names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; write /folder, file:///folder or s3://bucket/prefix?endpoint=https://…&region=…")]
pub struct PlaceError {
    reason: String,
}

impl Place {
    /// A tenant's part. Asks nothing yet.
    ///
    /// # Errors
    /// When the settings of the store do not fit each other.
    pub fn open(&self, tenant: &TenantId) -> Result<Arc<dyn OffSite>, Failure> {
        Ok(match self {
            Self::Folder(root) => Arc::new(FolderOffSite::new(root, tenant)),
            Self::S3(place) => Arc::new(S3OffSite::new(place, tenant)?),
        })
    }

    /// With an access key of its own instead of the environment's.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        match self {
            Self::S3(place) => Self::S3(S3Place { credentials: Some(credentials), ..place }),
            folder @ Self::Folder(_) => folder,
        }
    }
}

impl Place {
    /// As it is written, so that another process reads the same place.
    pub fn as_text(&self) -> String {
        match self {
            Self::Folder(root) => root.display().to_string(),
            Self::S3(place) => {
                let parts = [("endpoint", &place.endpoint), ("region", &place.region)];
                let given = parts.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
                let query = given.collect::<Vec<_>>().join("&");
                format!("s3://{}/{}{}{query}", place.bucket, place.prefix, if query.is_empty() { "" } else { "?" })
            }
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if text.starts_with('/') {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        let url = Url::parse(text).map_err(|_| wrong("it is neither an absolute path nor a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("credentials do not belong in it: they come from AWS_ACCESS_KEY_ID and the like"));
        }
        match url.scheme() {
            "file" => {
                let path = url.to_file_path().map_err(|()| wrong("it is no path of this machine"))?;
                Ok(Self::Folder(path))
            }
            "s3" => s3(&url).map(Self::S3),
            _ => Err(wrong("it is of another kind")),
        }
    }
}

/// Without credentials: it holds none.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(root) => write!(f, "{}", root.display()),
            Self::S3(place) => {
                write!(f, "s3://{}/{}", place.bucket, place.prefix)?;
                place.endpoint.iter().try_for_each(|endpoint| write!(f, " at {endpoint}"))
            }
        }
    }
}

fn wrong(reason: &str) -> PlaceError {
    PlaceError { reason: reason.to_owned() }
}

fn s3(url: &Url) -> Result<S3Place, PlaceError> {
    let bucket = url.host_str().filter(|bucket| !bucket.is_empty()).ok_or_else(|| wrong("it names no bucket"))?;
    let prefix = url.path().trim_matches('/');
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-');
    if !prefix.bytes().all(plain) || prefix.split('/').any(|part| part == "..") || prefix.contains("//") {
        return Err(wrong("its prefix has other letters than a-z, A-Z, 0-9, '.', '_', '-' and '/'"));
    }
    let mut place = S3Place {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        endpoint: None,
        region: None,
        credentials: None,
    };
    for (name, value) in url.query_pairs() {
        match &*name {
            "endpoint" => place.endpoint = Some(endpoint(&value)?),
            "region" => place.region = Some(value.into_owned()),
            _ => return Err(wrong("only endpoint and region may follow the question mark")),
        }
    }
    Ok(place)
}

/// Plain HTTP never leaves the machine.
fn endpoint(text: &str) -> Result<String, PlaceError> {
    let url = Url::parse(text).map_err(|_| wrong("its endpoint is no URL"))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    match url.scheme() {
        _ if !is_bare || host.is_empty() => Err(wrong("its endpoint is more or less than scheme, host and port")),
        "https" => Ok(text.trim_end_matches('/').to_owned()),
        "http" if is_loopback => Ok(text.trim_end_matches('/').to_owned()),
        "http" => Err(wrong("its endpoint is plain HTTP, which is for loopback only: use https")),
        _ => Err(wrong("its endpoint is not HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<Place, String> {
        text.parse().map_err(|error: PlaceError| error.reason)
    }

    #[test]
    fn folders_and_buckets() {
        assert_eq!(place("/mnt/copies"), Ok(Place::Folder("/mnt/copies".into())));
        assert_eq!(place("file:///mnt/copies"), Ok(Place::Folder("/mnt/copies".into())));
        let s3 =
            S3Place { bucket: "lethe".into(), prefix: String::new(), endpoint: None, region: None, credentials: None };
        assert_eq!(place("s3://lethe"), Ok(Place::S3(s3.clone())));
        let elsewhere = S3Place {
            prefix: "a/b".into(),
            endpoint: Some("http://127.0.0.1:8333".into()),
            region: Some("eu-1".into()),
            ..s3
        };
        let text = "s3://lethe/a/b/?endpoint=http://127.0.0.1:8333&region=eu-1";
        assert_eq!(place(text), Ok(Place::S3(elsewhere)));
        assert_eq!(place(text).unwrap().to_string(), "s3://lethe/a/b at http://127.0.0.1:8333");
        for good in ["https://s3.example.org", "http://localhost:1", "http://[::1]:9000", "http://127.0.0.2"] {
            assert!(place(&format!("s3://lethe?endpoint={good}")).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_reason() {
        for (text, reason) in [
            ("copies", "neither"),
            ("ftp://host/x", "another kind"),
            ("s3://", "no bucket"),
            ("s3://key:secret@lethe/x", "credentials"),
            ("s3://lethe?endpoint=http://s3.example.org", "loopback only"),
            ("s3://lethe?endpoint=http://127.0.0.1.example.org", "loopback only"),
            ("s3://lethe?endpoint=https://key:secret@s3.example.org", "more or less"),
            ("s3://lethe?endpoint=gopher://x", "not HTTP"),
            ("s3://lethe?acl=public", "only endpoint and region"),
            ("s3://lethe/a%20b", "prefix"),
        ] {
            let error = place(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
