//! Issues certificates.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::history::{Aggregate, CommitHash, DataSubject, JournalId};
use domain::ids::{ErasureId, TenantId};
use domain::port::{Certified, Certifier, Clock, ErasureAccount, Failure, Kms, OffSite, Shredded, Signer, TreeCopies};
use domain::privacy::RefusedScope;
use sha2::{Digest, Sha256};

use super::body::{
    BegunCommit, Body, Certificate, DestroyedScope, Emptied, FORMAT, Finding, KeptScope, KeyMapStep, OffSiteBlock,
    OrderBlock, RecordBlock, SignatureBlock,
};
use super::canonical::canonical;
use crate::keys::{HeadRecord, KeyId, KeyTree, PersonKey};
use crate::log::leaf::leaf_of;
use crate::log::shelf::store;
use crate::log::{Checkpoints, Hash, RawJournals};
use crate::seal::peek;

/// What [`Certificates`] is made of.
#[derive(Clone)]
pub struct CertificateParts {
    /// Whose.
    pub tenant: TenantId,
    /// The tenant's folder beside the read store: `certificates/` is made in it.
    pub dir: PathBuf,
    /// The journal streams.
    pub source: Arc<dyn RawJournals>,
    /// Their checkpoints.
    pub checkpoints: Arc<Checkpoints>,
    /// The key tree, which keeps the proofs of its re-keyings.
    pub keys: Arc<KeyTree>,
    /// Where its roots are held.
    pub kms: Arc<dyn Kms>,
    /// Who signs.
    pub signer: Arc<dyn Signer>,
    /// Where copies go.
    pub off_site: Option<Arc<dyn OffSite>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The certificates of one tenant.
pub struct Certificates {
    parts: CertificateParts,
}

/// A commit of the person, as far as a certificate needs it.
struct Seen {
    sequence: u64,
    keys: Vec<PersonKey>,
}

impl Certificates {
    /// Reads and writes nothing yet.
    pub fn new(parts: CertificateParts) -> Self {
        Self { parts }
    }

    async fn issue(&self, account: &ErasureAccount) -> Result<String, Failure> {
        let person = account.stream.data_subject();
        let person = person.ok_or_else(|| Failure::missing(format!("the person of {}", account.stream)))?;
        let record = self.record(account).await?;
        let seen = self.commits(account).await?;
        let sections = |shredded: &Shredded| {
            let is_hit = |key: &&PersonKey| is_in(shredded, key);
            seen.iter().flat_map(|seen| &seen.keys).filter(is_hit).count() as u64
        };
        let destroyed: Vec<_> =
            account.destroyed.iter().map(|shredded| destroyed(shredded, sections(shredded))).collect();
        let body = Body {
            format: FORMAT,
            erasure: account.erasure,
            tenant: self.parts.tenant.clone(),
            study: account.stream.journal.study.clone(),
            data_subject: person,
            issued_at: self.parts.clock.now(),
            order: OrderBlock {
                justification: account.justification,
                requested_by: account.requested.0,
                requested_at: account.requested.1,
                approved_by: account.approved.0,
                approved_at: account.approved.1,
                instruction: account.approved.2.clone(),
            },
            sections_made_unreadable: destroyed.iter().map(|scope| scope.sections).sum(),
            destroyed,
            kept: account.kept.iter().map(kept).collect(),
            record,
            key_map: self.key_map(person, account).await?,
            kms: self.parts.kms.describe(),
            old_roots: account.destruction,
            off_site: self.off_site(account.copy).await?,
            logically_effective_at: account.logically_effective_at,
            cryptographically_complete_by: account.cryptographically_complete_by,
            recipients_notified: account.recipients.into(),
            probed: account.probed,
            what_this_cannot_prove: limits(&self.parts.kms.describe().limits, account.copy),
        };
        self.sign(body).await
    }

    async fn sign(&self, body: Body) -> Result<String, Failure> {
        let unspeakable = || Failure::damaged("a certificate", "it holds what has no canonical form");
        let value = serde_json::to_value(&body).map_err(|_| unspeakable())?;
        let text = canonical(&value).ok_or_else(unspeakable)?;
        let key = self.parts.signer.public_key().await?;
        let signature = self.parts.signer.sign(text.as_bytes()).await?;
        let signature = SignatureBlock {
            algorithm: "Ed25519".to_owned(),
            key: BASE64.encode(key.0),
            value: BASE64.encode(signature.0),
        };
        let value = serde_json::to_value(Certificate { certificate: body, signature }).map_err(|_| unspeakable())?;
        canonical(&value).ok_or_else(unspeakable)
    }

    async fn record(&self, account: &ErasureAccount) -> Result<RecordBlock, Failure> {
        let journal = &account.stream.journal;
        let commits = self.parts.source.commits(&account.stream).await?;
        let mut begun = None;
        for message in &commits {
            let peeked = peek(&message.payload)?;
            if peeked.header.revision.0 == account.begun {
                begun = Some((message.sequence, peeked.header.revision, peeked.hash));
            }
        }
        let (sequence, revision, hash) =
            begun.ok_or_else(|| Failure::missing(format!("commit {} of {}", account.begun, account.stream)))?;
        let checkpoints = &self.parts.checkpoints;
        let before = checkpoints.before(journal, sequence).await?;
        let after = checkpoints.force(journal).await?;
        let consistency = checkpoints.consistency(&before.checkpoint, &after.checkpoint).await?;
        let leaf = leaf_of(after.checkpoint.incarnations.of(sequence), sequence, &hash.0);
        let inclusion = checkpoints.inclusion(&after.checkpoint, sequence, &leaf).await?;
        let texts = |hashes: Vec<Hash>| hashes.iter().map(|hash| BASE64.encode(hash)).collect();
        let begun = BegunCommit { sequence, revision, hash, inclusion: texts(inclusion) };
        Ok(RecordBlock { before: before.note, after: after.note, consistency: texts(consistency), begun })
    }

    /// Every commit of the person's streams.
    async fn commits(&self, account: &ErasureAccount) -> Result<Vec<Seen>, Failure> {
        let mut seen = Vec::new();
        let of_persons =
            [Aggregate::Participant, Aggregate::Identity, Aggregate::Privacy, Aggregate::User, Aggregate::Account];
        for aggregate in of_persons {
            for message in self.parts.source.commits(&account.stream.sibling(aggregate)).await? {
                let keys = peek(&message.payload)?.keys.into_iter();
                let keys = keys.filter_map(|id| if let KeyId::Person(key) = id { Some(key) } else { None }).collect();
                seen.push(Seen { sequence: message.sequence, keys });
            }
        }
        seen.sort_by_key(|seen| seen.sequence);
        Ok(seen)
    }

    async fn key_map(&self, person: DataSubject, account: &ErasureAccount) -> Result<Vec<KeyMapStep>, Failure> {
        let roots: BTreeSet<u64> = account.destroyed.iter().map(|shredded| shredded.root_after).collect();
        let mut steps = Vec::new();
        for root_after in roots {
            let Some(removed) = self.parts.keys.removed(person, root_after).await? else {
                continue;
            };
            let emptied = removed.named.into_iter().map(|(target, generations)| Emptied {
                scope: target.scope,
                part: target.part,
                generations,
            });
            steps.push(KeyMapStep {
                root_after,
                before: CommitHash(removed.before),
                after: CommitHash(removed.after),
                emptied: emptied.collect(),
                proof: BASE64.encode(removed.proof.encode()),
            });
        }
        Ok(steps)
    }

    async fn off_site(&self, copies: TreeCopies) -> Result<OffSiteBlock, Failure> {
        let mut block = OffSiteBlock { copies, root: None, packs: None };
        if let (TreeCopies::OffSite, Some(off_site)) = (copies, &self.parts.off_site)
            && let Some((bytes, _)) = off_site.head().await?
        {
            let head: HeadRecord = serde_json::from_slice(&bytes)
                .map_err(|_| Failure::damaged("the off-site head", "it is not what docs/format.md says"))?;
            block.root = Some(head.head.shipped);
            block.packs = Some(head.packs.len() as u64);
        }
        Ok(block)
    }

    fn path(&self, erasure: ErasureId) -> PathBuf {
        self.parts.dir.join("certificates").join(format!("{erasure}.json"))
    }

    /// The certificate, if it was issued: from here, or from the copy elsewhere, which then is kept here again.
    async fn issued(&self, erasure: ErasureId) -> Result<Option<String>, Failure> {
        let path = self.path(erasure);
        let damaged = |detail: String| Failure::damaged(format!("certificate of erasure {erasure}"), detail);
        match fs::read_to_string(&path) {
            Ok(text) => return Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => return Err(damaged(error.to_string())),
            Err(error) => return Err(Failure::unavailable("the folder of the certificates", error)),
        }
        let Some(off_site) = &self.parts.off_site else {
            return Ok(None);
        };
        let Some(bytes) = off_site.get(&object(erasure)).await? else {
            return Ok(None);
        };
        let text = String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
        store(&path, text.as_bytes())?;
        Ok(Some(text))
    }
}

/// Where a certificate stands off-site.
fn object(erasure: ErasureId) -> String {
    format!("certificates/{erasure}.json")
}

fn is_in(shredded: &Shredded, key: &PersonKey) -> bool {
    let target = &shredded.target;
    (target.data_subject, target.scope) == (key.data_subject, key.scope)
        && target.part.as_ref().is_none_or(|part| *part == key.part)
}

fn destroyed(shredded: &Shredded, sections: u64) -> DestroyedScope {
    DestroyedScope {
        scope: shredded.target.scope,
        part: shredded.target.part.clone(),
        finding: if shredded.keys == 0 { Finding::NoneHeld } else { Finding::Destroyed },
        keys: shredded.keys,
        sections,
        root_before: shredded.root_before,
        root_after: shredded.root_after,
    }
}

fn kept(refused: &RefusedScope) -> KeptScope {
    KeptScope {
        scope: refused.scope,
        ground: refused.ground,
        hold: refused.hold,
        due: refused.until.as_ref().and_then(|day| serde_json::to_value(day).ok()?.as_str().map(str::to_owned)),
    }
}

fn limits(kms: &str, copy: TreeCopies) -> Vec<String> {
    let mut limits = vec![
        "It cannot prove that nobody copied a root key out of the key management system before it was destroyed there.".to_owned(),
        "It cannot prove anything about data that was read, exported or printed before.".to_owned(),
        "It proves what the record and the key tree say, signed by the platform itself: no independent witness has co-signed the checkpoints.".to_owned(),
        format!("About the key management system: {kms}"),
    ];
    if copy == TreeCopies::Single {
        limits.push("There was no copy of the key tree elsewhere: this site was the only one.".to_owned());
    }
    limits
}

#[async_trait]
impl Certifier for Certificates {
    async fn checkpoint(&self, journal: &JournalId) -> Result<(), Failure> {
        self.parts.checkpoints.force(journal).await.map(drop)
    }

    async fn certify(&self, account: &ErasureAccount) -> Result<Certified, Failure> {
        let text = match self.issued(account.erasure).await? {
            Some(text) => text,
            None => {
                let text = self.issue(account).await?;
                tracing::trace!(target: "failpoint", at = "certificate-signed");
                store(&self.path(account.erasure), text.as_bytes())?;
                tracing::trace!(target: "failpoint", at = "certificate-stored");
                text
            }
        };
        if let Some(off_site) = &self.parts.off_site {
            off_site.put(&object(account.erasure), text.as_bytes()).await?;
            tracing::trace!(target: "failpoint", at = "certificate-off-site");
        }
        Ok(Certified { digest: CommitHash(Sha256::digest(&text).into()), bytes: text.len() as u64 })
    }

    async fn certificate(&self, erasure: ErasureId) -> Result<Option<String>, Failure> {
        self.issued(erasure).await
    }

    async fn page(&self, erasure: ErasureId) -> Result<Option<String>, Failure> {
        Ok(self.certificate(erasure).await?.as_deref().and_then(super::page))
    }
}
