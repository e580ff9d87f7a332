//! The tables of a study for one caller, by the layout and the source of exports.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use axum::http::StatusCode;
use domain::Moment;
use domain::design::StudyDesign;
use domain::ids::{Oid, SiteId};
use domain::permit::{Principal, Sites};
use domain::port::Tenant;
use edge::Problem;
use exchange::ExchangeError;
use exchange::dataset_json::{DatasetForm, Window, write_window};
use exchange::model::StudyExport;
use exchange::table::{By, Spool, Spooled, SpooledTable};
use projection_svc::studies::Study;

use super::BASE;
use super::shown::DatasetEntry;
use crate::exports::source::{self, Source, Wanted};
use crate::exports::spool::{Bounded, TABLES_BYTES};
use crate::exports::{record, sites};

/// A table is kept only if its records are wanted; of the others it is enough to count them.
pub(super) enum Kept {
    Records(Bounded),
    Nothing,
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Records(spool) => spool.write(bytes),
            Self::Nothing => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Spool for Kept {
    fn again(&mut self) -> io::Result<Box<dyn BufRead + '_>> {
        match self {
            Self::Records(spool) => spool.again(),
            Self::Nothing => Ok(Box::new(io::empty())),
        }
    }
}

/// The tables of a study.
pub(super) struct Tables<'s> {
    study: &'s Study,
    sites: BTreeSet<SiteId>,
    design: StudyDesign,
    tables: Vec<SpooledTable<Kept>>,
    /// When something that the caller reaches last changed.
    pub(super) modified: Moment,
}

impl<'s> Tables<'s> {
    /// All of them, counted.
    pub(super) async fn counted(tenant: &Arc<Tenant>, caller: &Principal, study: &'s Study) -> Result<Self, Problem> {
        Self::read(tenant, caller, study, |_| Kept::Nothing).await
    }

    /// All of them, one with its records.
    pub(super) async fn filled(
        tenant: &Arc<Tenant>,
        caller: &Principal,
        study: &'s Study,
        wanted: &Oid,
    ) -> Result<Self, Problem> {
        let left = Bounded::bound(TABLES_BYTES);
        // Its records are kept even where no row is asked for: how long a number is says what its column is.
        let found = Self::read(tenant, caller, study, |oid| {
            if oid == wanted { Kept::Records(Bounded::new(&left)) } else { Kept::Nothing }
        });
        let found = found.await?;
        match found.tables.iter().any(|table| table.table.oid == *wanted) {
            true => Ok(found),
            false => Err(Problem::not_found("no-such-dataset", "the live design has no item group with this OID")),
        }
    }

    async fn read(
        tenant: &Arc<Tenant>,
        caller: &Principal,
        study: &'s Study,
        keep: impl Fn(&Oid) -> Kept + Send,
    ) -> Result<Self, Problem> {
        let not_live = || Problem::not_found("study-not-live", "the study is not live: no design is in force");
        let live = study.live_design.and_then(|live| source::published(study, &live)).ok_or_else(not_live)?;
        let design = source::content(tenant, &study.study, live).await?;
        let reached: BTreeSet<SiteId> = source::reached(study, caller).collect();
        let source = Source::new(tenant, caller, &study.study, Sites::Only(reached.clone()));
        let mut modified = live.published.stored_at;
        let spools = Spooled::begin(&study.study, &design, By::ItemGroup, |table| Ok(keep(&table.oid)));
        let mut spooled = spools.map_err(too_large)?;
        let mut after: Option<String> = None;
        loop {
            let (page, next) = source.participants(after.as_deref()).await?;
            for participant in page {
                modified = modified.max(participant.last_activity);
                let loaded = source.load(participant, Wanted::Values).await?;
                let (record, _) = record::record(loaded, &design);
                spooled.participant(&record).map_err(too_large)?;
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        let tables = spooled.finish();
        Ok(Self { study, sites: reached, design, tables, modified })
    }

    /// What the API says of each.
    pub(super) fn entries(&self) -> Vec<DatasetEntry> {
        let entry = |table: &SpooledTable<Kept>| DatasetEntry {
            item_group_oid: table.table.oid.to_string(),
            name: table.table.oid.to_string(),
            label: table.table.label.clone(),
            standard: "other",
            records: table.records,
            href: format!("{BASE}/studies/{}/datasets/{}", self.study.study, table.table.oid),
            created: self.modified,
        };
        self.tables.iter().map(entry).collect()
    }

    /// One of them, as far as it is wanted.
    pub(super) fn write(&mut self, wanted: &Oid, form: DatasetForm, window: Window) -> Result<Vec<u8>, Problem> {
        let export = StudyExport {
            study: self.study.study.clone(),
            environment: self.study.environment,
            design: &self.design,
            created_at: self.modified,
            as_of: self.modified,
            file_oid: format!("LETHE.{}", self.study.study),
            software_version: env!("CARGO_PKG_VERSION"),
            users: Vec::new(),
            sites: sites(self.study, &self.study.live_design.unwrap_or_default(), &self.sites),
        };
        let mut body = Vec::new();
        let table = self.tables.iter_mut().find(|table| table.table.oid == *wanted);
        table.map_or(Ok(()), |table| write_window(&export, table, form, window, &mut body)).map_err(too_large)?;
        Ok(body)
    }
}

/// Nothing else can go wrong in memory.
fn too_large(error: ExchangeError) -> Problem {
    let detail = format!("the dataset cannot be shown at once ({error}): order an export of it");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "dataset-too-large", detail)
}
