//! Writes the journals back, each message under the sequence that it had.

use domain::history::JournalId;
use domain::ids::TenantId;
use infra::archive::Origin;
use infra::backup::{Backup, Identity, import, import_nodes};
use infra::journal::{Client, Provisioner};
use infra::log::{Checkpoint, newest_off_site};

use super::note::Imported;
use super::{Lost, RestoreNote, Restored, Restoring};
use crate::cli::CliError;

impl Restoring<'_> {
    /// Every journal of events of the backup, in a new incarnation. Once: what an interrupted run noted stays so.
    pub(super) async fn journals(
        &self,
        backup: &Backup,
        note: &mut RestoreNote,
        provisioner: &Provisioner,
        client: &Client,
    ) -> Result<Restored, CliError> {
        let manifest = &backup.manifest;
        let mut restored =
            Restored { backup: manifest.id.clone(), created: Some(manifest.created), ..Restored::default() };
        if let Some(Imported { messages, signed_until, lost }) = note.imported() {
            let (messages, signed_until) = (*messages, *signed_until);
            return Ok(Restored { messages, signed_until, lost: lost.clone(), ..restored });
        }
        for origin in backup.origins() {
            let Origin::Events(journal) = &origin else { continue };
            let mut messages = backup.read(&origin, &self.order.identity).map_err(CliError::input)?;
            let (through, mut lives) = (messages.journal().through, Vec::new());
            lives.extend(messages.journal().incarnations.iter().map(|life| (life.incarnation, life.from)));
            let signed = self.newest_signed(journal).await?;
            let before = signed.iter().flat_map(|signed| signed.incarnations.list()).map(|(number, _)| *number);
            let last = before.chain(lives.iter().map(|(number, _)| *number)).max().unwrap_or(0);
            lives.push((last + 1, through + 1));
            provisioner
                .restored(journal, &lives)
                .await
                .map_err(|error| CliError::failed(origin.stream_name(), error))?;
            let told = |progress| (self.told)(&format!("writing {} back", origin.stream_name()), progress);
            let imported = import(client, &mut messages, &told).await.map_err(CliError::input)?;
            restored.messages += imported.found + imported.written;
            restored.signed_until = restored.signed_until.max(signed.as_ref().map(|signed| signed.time));
            restored.lost.extend(signed.and_then(|signed| lost(journal, &signed, through)));
        }
        let Restored { messages, signed_until, ref lost, .. } = restored;
        note.note_imported(Imported { messages, signed_until, lost: lost.clone() })?;
        Ok(restored)
    }

    /// What the newest checkpoint off-site says of a journal.
    async fn newest_signed(&self, journal: &JournalId) -> Result<Option<Checkpoint>, CliError> {
        match &self.vault.off_site {
            Some(off_site) => newest_off_site(&**off_site, journal, &self.trust).await.map_err(CliError::unavailable),
            None => Ok(None),
        }
    }
}

fn lost(journal: &JournalId, signed: &Checkpoint, through: u64) -> Option<Lost> {
    (signed.size > through).then(|| Lost {
        journal: infra::log::origin(journal).trim_start_matches("lethe/").to_owned(),
        from: through + 1,
        through: signed.size,
        until: signed.time,
    })
}

/// The key tree of the backup itself.
pub(super) async fn nodes(
    backup: &Backup,
    identity: &Identity,
    tenant: &TenantId,
    client: &Client,
) -> Result<(), CliError> {
    let mut messages = backup.read(&Origin::Keys(tenant.clone()), identity).map_err(CliError::input)?;
    let mut all = Vec::new();
    while let Some(chunk) = messages.next().await.map_err(CliError::input)? {
        all.extend(chunk);
    }
    import_nodes(client, tenant, all).await.map(drop).map_err(CliError::input)
}
