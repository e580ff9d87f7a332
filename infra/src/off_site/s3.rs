//! The off-site target in an S3-compatible store that knows conditional writes (`If-None-Match`, `If-Match`).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::TenantId;
use domain::port::{Failure, HeadTag, OffSite, SwapError};
use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use tokio::sync::OnceCell;
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::head::StoredHead;
use super::{HEAD, TARGET, check_name, same};

/// So often a write whose outcome is not known is tried.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Written once to see whether the store keeps to conditions.
const PROBE: &str = "probe/conditional-writes";

/// Access key and secret, where they are not those of the environment.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The access key's id.
    pub id: String,
    /// Its secret.
    pub secret: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("id", &self.id).field("secret", &"(secret)").finish()
    }
}

/// Where in which S3-compatible store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Place {
    /// The bucket. It must be there.
    pub bucket: String,
    /// What every name begins with; may be empty.
    pub prefix: String,
    /// The server, if it is not Amazon's. Plain HTTP is for loopback only.
    pub endpoint: Option<String>,
    /// The region; none: that of the environment, otherwise `us-east-1`.
    pub region: Option<String>,
    /// None: those of the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, …).
    pub credentials: Option<Credentials>,
}

impl S3Place {
    /// Without a retry of the library's own: after one an own success would look like somebody else's.
    fn store(&self, retries: usize) -> Result<AmazonS3, Failure> {
        // Two providers are compiled in, and TLS must know which one is meant.
        let _ = async_nats::rustls::crypto::ring::default_provider().install_default();
        let is_plain = self.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let options = ClientOptions::new()
            .with_connect_timeout(CONNECT_WITHIN)
            .with_timeout(ANSWER_WITHIN)
            .with_allow_http(is_plain);
        let mut builder = AmazonS3Builder::from_env()
            .with_client_options(options)
            .with_allow_http(is_plain)
            .with_bucket_name(&self.bucket)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(RetryConfig { max_retries: retries, retry_timeout: ANSWER_WITHIN, ..RetryConfig::default() });
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some(credentials) = &self.credentials {
            builder = builder.with_access_key_id(&credentials.id).with_secret_access_key(credentials.secret.as_str());
        }
        builder.build().map_err(|error| Failure::unavailable(TARGET, error))
    }
}

/// One tenant's part of a bucket: `<prefix>/<tenant>/`, in it the objects by name, and `head`.
#[derive(Debug)]
pub struct S3OffSite {
    /// Tries once.
    writer: AmazonS3,
    /// Tries again by itself: reads change nothing.
    reader: AmazonS3,
    own: String,
    words: String,
    keeps_conditions: OnceCell<()>,
}

impl S3OffSite {
    /// The part of a tenant. Asks nothing yet.
    ///
    /// # Errors
    /// When the settings do not fit each other.
    pub fn new(place: &S3Place, tenant: &TenantId) -> Result<Self, Failure> {
        let prefix = if place.prefix.is_empty() { String::new() } else { format!("{}/", place.prefix) };
        let own = format!("{prefix}{tenant}");
        let at = place.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
        Ok(Self {
            writer: place.store(0)?,
            reader: place.store(5)?,
            words: format!("the bucket {}{at}, below {own}", place.bucket),
            own,
            keeps_conditions: OnceCell::new(),
        })
    }

    /// Whether the store refuses what it should: some ignore conditions, and would let two heads pass each other.
    /// Asked once, before the first write.
    ///
    /// # Errors
    /// `Unavailable` says that it does not, or does not answer.
    pub async fn check(&self) -> Result<(), Failure> {
        self.keeps_conditions.get_or_try_init(|| self.probe()).await.map(|_| ())
    }

    async fn probe(&self) -> Result<(), Failure> {
        let ignores = |what: &str| {
            let cause = format!("{} does not keep to {what}: use a store that knows conditional writes", self.words);
            Failure::unavailable(TARGET, cause)
        };
        let path = self.path(PROBE);
        match self.writer.put_opts(&path, PutPayload::from_static(b"1"), PutMode::Create.into()).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(failure(&error)),
        }
        match self.writer.put_opts(&path, PutPayload::from_static(b"1"), PutMode::Create.into()).await {
            Err(Error::AlreadyExists { .. }) => {}
            Ok(_) => return Err(ignores("If-None-Match")),
            Err(error) => return Err(failure(&error)),
        }
        match self.writer.put_opts(&path, PutPayload::from_static(b"1"), update("\"0\"")).await {
            Err(Error::Precondition { .. }) => Ok(()),
            Ok(_) => Err(ignores("If-Match")),
            Err(error) => Err(failure(&error)),
        }
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.own))
    }

    async fn read(&self, name: &str) -> Result<Option<(Vec<u8>, Option<String>)>, Failure> {
        let read = async {
            let found = self.reader.get(&self.path(name)).await?;
            let tag = found.meta.e_tag.clone();
            Ok((found.bytes().await?.to_vec(), tag))
        };
        match read.await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure(&error)),
        }
    }

    async fn read_head(&self) -> Result<Option<(StoredHead, HeadTag)>, Failure> {
        let Some((stored, tag)) = self.read(HEAD).await? else { return Ok(None) };
        let tag = tag.ok_or_else(|| Failure::unavailable(TARGET, "it gives no entity tags"))?;
        Ok(Some((StoredHead::read(&stored)?, HeadTag(tag))))
    }

    /// What stands there after a write whose outcome is not known.
    async fn settle(&self, own: &StoredHead, expected: Option<&HeadTag>) -> Result<Settled, Failure> {
        let there = self.read_head().await?;
        Ok(match there {
            Some((head, tag)) if head.mark == own.mark => Settled::Own(tag),
            there if there.as_ref().map(|(_, tag)| tag) == expected => Settled::Nothing,
            _ => Settled::Other,
        })
    }
}

/// What became of a write of the head.
enum Settled {
    /// It is there.
    Own(HeadTag),
    /// What was there before is there still: it may be on its way.
    Nothing,
    /// Another one is there. It may have replaced ours.
    Other,
}

#[async_trait]
impl OffSite for S3OffSite {
    async fn head(&self) -> Result<Option<(Vec<u8>, HeadTag)>, Failure> {
        Ok(self.read_head().await?.map(|(head, tag)| (head.bytes, tag)))
    }

    async fn swap_head(&self, expected: Option<&HeadTag>, bytes: &[u8]) -> Result<HeadTag, SwapError> {
        self.check().await?;
        let own = StoredHead::new(bytes);
        let mut in_doubt = false;
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            let options = expected.map_or_else(|| PutMode::Create.into(), |tag| update(&tag.0));
            tracing::trace!(target: "failpoint", at = "s3-head-before-put");
            let outcome = self.writer.put_opts(&self.path(HEAD), own.write().into(), options).await;
            tracing::trace!(target: "failpoint", at = "s3-head-after-put");
            let cause = match outcome {
                Ok(put) if put.e_tag.is_some() => return Ok(HeadTag(put.e_tag.unwrap_or_default())),
                Ok(_) => "it gave no entity tag".to_owned(),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) if !in_doubt => {
                    return Err(SwapError::Moved);
                }
                Err(error) if !in_doubt && is_refusal(&error) => return Err(failure(&error).into()),
                Err(error) => error.to_string(),
            };
            in_doubt = true;
            match self.settle(&own, expected).await {
                Ok(Settled::Own(tag)) => return Ok(tag),
                Ok(Settled::Other) => return Err(unclear(&cause).into()),
                Ok(Settled::Nothing) | Err(_) if attempt < TRIES => sleep(pause).await,
                Ok(Settled::Nothing) | Err(_) => return Err(unclear(&cause).into()),
            }
            pause *= 2;
        }
        Err(unclear("it was tried too often").into())
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        check_name(name)?;
        self.check().await?;
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let payload = PutPayload::from(bytes.to_vec());
            tracing::trace!(target: "failpoint", at = "s3-object-before-put");
            match self.writer.put_opts(&self.path(name), payload, PutMode::Create.into()).await {
                Ok(_) => return Ok(()),
                Err(Error::AlreadyExists { .. }) => {
                    // Perhaps our own, whose acknowledgement was lost.
                    let there = self.read(name).await?;
                    return same(name, &there.unwrap_or_default().0, bytes);
                }
                Err(error) if attempt == TRIES || is_refusal(&error) => return Err(failure(&error)),
                Err(_) => sleep(pause).await,
            }
            attempt += 1;
            pause *= 2;
        }
    }

    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        check_name(name)?;
        Ok(self.read(name).await?.map(|(bytes, _)| bytes))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        // The library lists folders only.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = if folder.is_empty() { Path::from(self.own.as_str()) } else { self.path(folder) };
        let found: Vec<_> = self.reader.list(Some(&path)).try_collect().await.map_err(|error| failure(&error))?;
        let own = format!("{}/", self.own);
        let names = found.iter().filter_map(|object| object.location.as_ref().strip_prefix(&own));
        let wanted = |name: &&str| name.starts_with(prefix) && check_name(name).is_ok() && *name != PROBE;
        let mut names: Vec<String> = names.filter(wanted).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    fn describe(&self) -> String {
        self.words.clone()
    }
}

fn update(tag: &str) -> PutOptions {
    PutMode::Update(UpdateVersion { e_tag: Some(tag.to_owned()), version: None }).into()
}

/// Refused for good: trying again would not help, and nothing was stored.
fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::NotFound { .. }
            | Error::NotImplemented { .. }
            | Error::NotSupported { .. }
            | Error::InvalidPath { .. }
    )
}

fn failure(error: &Error) -> Failure {
    Failure::unavailable(TARGET, error)
}

fn unclear(cause: &str) -> Failure {
    Failure::unavailable(TARGET, format!("whether the head was changed is not known ({cause}): read it again"))
}
