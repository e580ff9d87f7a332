//! Every copy of a key tree that can be reached: what somebody would try who wants the erased back.

use domain::ids::TenantId;
use infra::archive::Origin;
use infra::backup::{Backup, Identity};
use infra::journal::names::node_place;
use infra::keys::{TreeCopy, shipped_copies};
use infra::off_site::Place;

use super::super::Elsewhere;
use crate::cli::CliError;

/// The copies off-site, superseded ones too, and those in every backup.
///
/// # Errors
/// When a place does not answer, or the identity does not open a backup.
pub async fn tree_copies(
    tenant: &TenantId,
    elsewhere: &Elsewhere,
    backups: Option<(&Place, &Identity)>,
) -> Result<Vec<TreeCopy>, CliError> {
    let vault = elsewhere.open(tenant).await?;
    let mut copies = match &vault.off_site {
        Some(off_site) => shipped_copies(&**off_site).await.map_err(CliError::unavailable)?,
        None => Vec::new(),
    };
    let Some((place, identity)) = backups else {
        return Ok(copies);
    };
    let place = place.open(tenant).map_err(CliError::unavailable)?;
    let trust = vault.kms.signer.public_key().await.map_err(CliError::unavailable)?;
    for listed in infra::backup::list(&place, &trust).await.map_err(CliError::unavailable)? {
        let backup = Backup::open(place.clone(), &listed.id, &trust).await.map_err(CliError::from)?;
        copies.push(tree_of(&backup, identity, tenant).await?);
    }
    Ok(copies)
}

async fn tree_of(backup: &Backup, identity: &Identity, tenant: &TenantId) -> Result<TreeCopy, CliError> {
    let mut messages = backup.read(&Origin::Keys(tenant.clone()), identity).map_err(CliError::from)?;
    let mut copy = TreeCopy::new();
    while let Some(chunk) = messages.next().await.map_err(CliError::from)? {
        let node = |message: infra::journal::raw::RawMessage| {
            Some((node_place(tenant, &message.subject)?, message.payload.to_vec()))
        };
        copy.extend(chunk.into_iter().filter_map(node));
    }
    Ok(copy)
}
