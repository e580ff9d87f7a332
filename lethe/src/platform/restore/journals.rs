//! Writes the journals back, each message under the sequence that it had.

use domain::history::JournalId;
use domain::ids::{StudyId, TenantId};
use infra::archive::Origin;
use infra::backup::{Backup, Identity, import, import_nodes};
use infra::journal::{Client, LiveJournals, Provisioner};
use infra::log::{Checkpoint, RawJournals as _, newest_off_site};

use super::super::StartError;
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
        if let Some(Imported { messages, signed_until, lost, ends }) = note.imported() {
            let (messages, signed_until) = (*messages, *signed_until);
            return Ok(Restored { messages, signed_until, lost: lost.clone(), ends: ends.clone(), ..restored });
        }
        for origin in backup.origins() {
            let Origin::Events(journal) = &origin else { continue };
            let mut messages = backup.read(&origin, &self.order.identity).map_err(CliError::from)?;
            let (through, mut lives) = (messages.journal().through, Vec::new());
            lives.extend(messages.journal().incarnations.iter().map(|life| (life.incarnation, life.from)));
            let signed = self.newest_signed(journal).await?;
            let own = lives.iter().map(|(number, _)| *number).max().unwrap_or(0);
            let last = signed.iter().map(|signed| signed.incarnations.newest()).max().unwrap_or(0).max(own);
            lives.push((last + 1, through + 1));
            provisioner
                .restored(journal, &lives)
                .await
                .map_err(|error| CliError::unavailable(format!("{}: {error}", origin.stream_name())))?;
            let told = |progress| (self.told)(&format!("writing {} back", origin.stream_name()), progress);
            let imported = import(client, &mut messages, &told).await.map_err(CliError::from)?;
            restored.ends.insert(name(journal), through);
            restored.messages += imported.found + imported.written;
            restored.signed_until = restored.signed_until.max(signed.iter().map(|signed| signed.time).max());
            for signed in signed.iter().filter(|signed| signed.incarnations.newest() >= own) {
                let had = if signed.incarnations.newest() == own {
                    Some(through)
                } else {
                    self.restored_through(journal, signed.incarnations.newest()).await?
                };
                restored.lost.extend(had.and_then(|had| lost(journal, signed, had)));
            }
        }
        let Restored { messages, signed_until, ref lost, ref ends, .. } = restored;
        note.note_imported(Imported { messages, signed_until, lost: lost.clone(), ends: ends.clone() })?;
        Ok(restored)
    }

    /// What the newest checkpoint of each life says of a journal.
    async fn newest_signed(&self, journal: &JournalId) -> Result<Vec<Checkpoint>, CliError> {
        match &self.vault.off_site {
            Some(off_site) => Ok(newest_off_site(&**off_site, journal, &self.trust).await.map_err(StartError::from)?),
            None => Ok(Vec::new()),
        }
    }

    /// Where a journal ended when an earlier restore was done with it: what it wrote itself is not lost. None: that restore
    /// did not end, so nothing was ever served from it.
    async fn restored_through(&self, journal: &JournalId, life: u64) -> Result<Option<u64>, CliError> {
        let Some(off_site) = &self.vault.off_site else { return Ok(None) };
        let bytes = off_site.get(&restored_name(journal, life)).await.map_err(StartError::from)?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok()))
    }

    /// Says off-site where each journal ends now that the restore is done with it.
    pub(super) async fn note_restored(&self, reader: &LiveJournals) -> Result<(), CliError> {
        let Some(off_site) = &self.vault.off_site else { return Ok(()) };
        for journal in reader.journals().await.map_err(StartError::from)? {
            let state = reader.state(&journal).await.map_err(StartError::from)?;
            let name = restored_name(&journal, state.incarnations.newest());
            // The first word counts: a restore that is begun again after it said so changes nothing.
            if off_site.get(&name).await.map_err(StartError::from)?.is_none() {
                off_site.put(&name, state.last.to_string().as_bytes()).await.map_err(StartError::from)?;
            }
        }
        Ok(())
    }
}

fn restored_name(journal: &JournalId, life: u64) -> String {
    let study = journal.study.as_ref().map_or("_", StudyId::as_str);
    format!("restores/{study}/{life:06}")
}

/// `tenant/study`, or `tenant/_`.
pub(super) fn name(journal: &JournalId) -> String {
    infra::log::origin(journal).trim_start_matches("lethe/").to_owned()
}

fn lost(journal: &JournalId, signed: &Checkpoint, through: u64) -> Option<Lost> {
    (signed.size > through).then(|| Lost {
        journal: name(journal),
        from: through + 1,
        through: signed.size,
        until: signed.time,
        brought_back: 0,
    })
}

/// The key tree of the backup itself.
pub(super) async fn nodes(
    backup: &Backup,
    identity: &Identity,
    tenant: &TenantId,
    client: &Client,
) -> Result<(), CliError> {
    let mut messages = backup.read(&Origin::Keys(tenant.clone()), identity).map_err(CliError::from)?;
    let mut all = Vec::new();
    while let Some(chunk) = messages.next().await.map_err(CliError::from)? {
        all.extend(chunk);
    }
    import_nodes(client, tenant, all).await.map(drop).map_err(CliError::from)
}
