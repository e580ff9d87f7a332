//! The key tree and the KMS: versions, rotations, what stands elsewhere. No key, no wrapped key.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use domain::Moment;
use domain::port::Failure;
use edge::{Caller, Parameters, Problem};
use infra::journal::raw::RawReader;
use infra::keys::Change;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Entered;
use super::reply::{Problems, Since, reflecting};
use crate::platform::inner::Inner;

/// How many rotations are told.
const TOLD: usize = 50;

/// How the key tree stands.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsKeys)]
pub(super) struct Keys {
    /// The root that the stored tree is wrapped under.
    root: u64,
    /// How many messages the tree has: its nodes and the records of what changed.
    messages: u64,
    /// How many bytes they take.
    bytes: u64,
    /// Where the copy elsewhere is; none: there is none.
    off_site: Option<String>,
    /// When the newest part of that copy was written here; none: nothing was shipped.
    shipped_at: Option<Moment>,
    /// The root of that copy.
    shipped_root: u64,
    /// How many changes are not there yet.
    not_shipped_yet: u64,
    /// How many packs the copy has.
    packs: usize,
    /// How many bytes they have.
    packs_bytes: u64,
    /// Whether another site has taken the tree over: then this one writes no more.
    superseded: bool,
    /// What replaced which root, newest first.
    rotations: Vec<Rotation>,
}

/// A root that was replaced.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsRotation)]
pub(super) struct Rotation {
    /// When.
    at: Moment,
    /// The root before.
    root_before: u64,
    /// The root after.
    root_after: u64,
    /// How many (person, scope, part) were to go; zero: only the root was renewed.
    targets: usize,
    /// How many keys went.
    keys_destroyed: u64,
}

async fn rotations(reader: &RawReader, tenant: &str) -> Result<Vec<Rotation>, Failure> {
    let place = format!("keys.{tenant}.change.");
    let mut roots: Vec<u64> = reader
        .subjects(&format!("{place}*"))
        .await?
        .iter()
        .filter_map(|(subject, _)| subject.strip_prefix(&place)?.parse().ok())
        .collect();
    roots.sort_unstable_by(|one, other| other.cmp(one));
    let mut told = Vec::new();
    for root in roots.into_iter().take(TOLD) {
        let Some(message) = reader.last_of(&format!("{place}{root}")).await? else { continue };
        let change: Change = serde_json::from_slice(&message.payload)
            .map_err(|_| Failure::damaged(format!("the record of the rotation to root {root}"), "it cannot be read"))?;
        told.push(Rotation {
            at: Moment(message.stored_at),
            root_before: change.root_before,
            root_after: change.root_after,
            targets: change.targets.len(),
            keys_destroyed: change.targets.iter().map(|target| target.keys).sum(),
        });
    }
    Ok(told)
}

/// When the newest change that was shipped was written.
async fn shipped_at(reader: &RawReader, through: u64) -> Result<Option<OffsetDateTime>, Failure> {
    if through == 0 {
        return Ok(None);
    }
    // The store keeps the last message of each subject: the one at that place may have been replaced since.
    let page = reader.sparse_page(through, u64::MAX).await?;
    Ok(page.first().map(|message| message.stored_at))
}

/// The key tree: its root, its rotations, and the copy elsewhere.
#[utoipa::path(
    get,
    path = "/v1/operations/keys",
    operation_id = "show_keys",
    tag = "operations",
    params(Since),
    responses((status = 200, description = "As it is at this moment.", body = Keys), Problems)
)]
pub(super) async fn show(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.show").await?;
    let positions = since.wait(&entered.open.ports).await?;
    let (open, tenant) = (&entered.open, &entered.open.ports.id);
    let status = open.keys.status().await?;
    let reader = RawReader::of_keys(open.client.clone(), tenant);
    let state = reader.state().await?;
    let elsewhere = status.off_site.is_some();
    let shipped = if elsewhere { shipped_at(&reader, status.through).await? } else { None };
    let keys = Keys {
        root: status.root,
        messages: state.messages,
        bytes: state.bytes,
        // A folder is named by the machine's operator alone.
        off_site: status
            .off_site
            .map(|place| if place.starts_with("the folder") { "a folder".to_owned() } else { place }),
        shipped_at: shipped.map(Moment),
        shipped_root: status.head.shipped,
        not_shipped_yet: if elsewhere { status.last.saturating_sub(status.through) } else { 0 },
        packs: status.packs,
        packs_bytes: status.bytes,
        superseded: open.keys.is_superseded(),
        rotations: rotations(&reader, tenant.as_str()).await?,
    };
    Ok(reflecting(&positions, keys))
}

/// The KMS that holds the root keys.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsKms)]
pub(super) struct Kms {
    /// Which kind.
    kind: String,
    /// Which device stands behind it.
    device: String,
    /// Whether root keys can be copied out of it.
    exportable: bool,
    /// What a destruction in it does not prove.
    limits: String,
    /// The root versions that live in it. More than one: a rotation is to be finished.
    living_roots: Vec<u64>,
    /// Whether a rotation is under way.
    rotation_under_way: bool,
    /// The key by which checkpoints, certificates and backups are checked.
    public_key: String,
}

/// The KMS: which one, and which roots live in it.
#[utoipa::path(
    get,
    path = "/v1/operations/kms",
    operation_id = "show_kms",
    tag = "operations",
    params(Since),
    responses((status = 200, description = "Asked for this answer.", body = Kms), Problems)
)]
pub(super) async fn kms(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.show").await?;
    let positions = since.wait(&entered.open.ports).await?;
    let kms = entered.open.vault.kms.kms.describe();
    let status = entered.open.keys.status().await?;
    let key = entered.open.vault.kms.signer.public_key().await?;
    let shown = Kms {
        kind: kms.kind,
        device: kms.device,
        exportable: kms.is_exportable,
        limits: kms.limits,
        living_roots: status.living.into_iter().collect(),
        rotation_under_way: status.head.reserved.is_some(),
        public_key: infra::certificate::public_key_text(&key),
    };
    Ok(reflecting(&positions, shown))
}
