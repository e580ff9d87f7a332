//! How orders are read. Reasons are opened as far as the reader may see.

use domain::ids::{ErasureId, ParticipantId, StudyId};
use domain::port::{Failure, Tenant};

use super::{
    ALL, Erasure, Erasures, HOLDS, Hold, Listed, OPEN, PrivacyRow, RESTRICTION, RESTRICTIONS, Restriction, by_id,
    erasure_key, hold_key,
};
use crate::cells::OpenRow;
use crate::row::{RowKey, person};
use crate::shown::{Page, Visible};
use crate::view::{self, Found};

/// The erasures of a study, oldest first; only those in which something is still to be done, if `open_only`.
///
/// # Errors
/// What the store and the keys say.
pub async fn list(
    tenant: &Tenant,
    study: &StudyId,
    open_only: bool,
    visible: &Visible,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Erasure>, Failure> {
    let limit = limit.max(1);
    let prefix = if open_only { OPEN } else { ALL };
    let after = after.map(|after| format!("{prefix}{after}"));
    let mut listed = entries(tenant, study, prefix, after.as_deref(), limit.saturating_add(1)).await?;
    let more = listed.len() > limit;
    listed.truncate(limit);
    let next = match listed.last() {
        Some((rest, _)) if more => Some(rest.clone()),
        Some(_) | None => None,
    };
    let mut items = Vec::with_capacity(listed.len());
    for (rest, participant) in listed {
        let id = rest.rsplit('/').next().and_then(|id| id.parse().ok());
        if let Some(erasure) = id {
            items.extend(one(tenant, study, participant, erasure, visible).await?);
        }
    }
    Ok(Page { items, next })
}

/// One erasure of a study.
///
/// # Errors
/// What the store and the keys say.
pub async fn show(
    tenant: &Tenant,
    study: &StudyId,
    erasure: &ErasureId,
    visible: &Visible,
) -> Result<Option<Erasure>, Failure> {
    match view::get::<Erasures>(tenant, &RowKey::plain(Some(study), by_id(*erasure))).await? {
        Some(PrivacyRow::Listed(Listed { participant })) => one(tenant, study, participant, *erasure, visible).await,
        Some(_) | None => Ok(None),
    }
}

/// The holds in force in a study, oldest first.
///
/// # Errors
/// What the store and the keys say.
pub async fn holds(tenant: &Tenant, study: &StudyId, visible: &Visible) -> Result<Vec<Hold>, Failure> {
    let mut found = Vec::new();
    for (rest, participant) in entries(tenant, study, HOLDS, None, usize::MAX).await? {
        let Some(hold) = rest.rsplit('/').next().and_then(|id| id.parse().ok()) else {
            continue;
        };
        if let Some(OpenRow { row: PrivacyRow::Hold(row), withheld, .. }) =
            own(tenant, study, participant, hold_key(hold), visible).await?
        {
            found.push(Hold::of(study, row, &withheld));
        }
    }
    Ok(found)
}

/// The restrictions in force in a study, by participant.
///
/// # Errors
/// What the store and the keys say.
pub async fn restrictions(tenant: &Tenant, study: &StudyId, visible: &Visible) -> Result<Vec<Restriction>, Failure> {
    let mut found = Vec::new();
    for (_, participant) in entries(tenant, study, RESTRICTIONS, None, usize::MAX).await? {
        if let Some(OpenRow { row: PrivacyRow::Restriction(row), withheld, .. }) =
            own(tenant, study, participant, RESTRICTION.to_owned(), visible).await?
        {
            found.push(Restriction::of(study, row, &withheld));
        }
    }
    Ok(found)
}

/// The entries of a list: what follows its prefix, and whose row it is.
async fn entries(
    tenant: &Tenant,
    study: &StudyId,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, ParticipantId)>, Failure> {
    let key = RowKey::plain(Some(study), prefix);
    let rows = view::scan::<Erasures>(tenant, &key, after, limit, &Visible::none()).await?;
    let entry = |(key, open): Found<PrivacyRow>| match open.row {
        PrivacyRow::Listed(Listed { participant }) => Some((key.rest.strip_prefix(prefix)?.to_owned(), participant)),
        PrivacyRow::Erasure(_) | PrivacyRow::Hold(_) | PrivacyRow::Restriction(_) => None,
    };
    Ok(rows.into_iter().filter_map(entry).collect())
}

async fn one(
    tenant: &Tenant,
    study: &StudyId,
    participant: ParticipantId,
    erasure: ErasureId,
    visible: &Visible,
) -> Result<Option<Erasure>, Failure> {
    match own(tenant, study, participant, erasure_key(erasure), visible).await? {
        Some(OpenRow { row: PrivacyRow::Erasure(row), withheld, .. }) => {
            Ok(Some(Erasure::of(study, row, &withheld, tenant.keys.copies())))
        }
        Some(_) | None => Ok(None),
    }
}

async fn own(
    tenant: &Tenant,
    study: &StudyId,
    participant: ParticipantId,
    rest: String,
    visible: &Visible,
) -> Result<Option<OpenRow<PrivacyRow>>, Failure> {
    view::get_visible::<Erasures>(tenant, &RowKey::about(Some(study), person(participant), rest), visible).await
}
