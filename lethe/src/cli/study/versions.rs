//! Design versions: written as ODM, compared.

use std::path::Path;

use domain::design::difference::{Change, How, Kind};
use domain::design::{Difference, StudyDesign};
use domain::history::CommitHash;
use domain::ids::StudyId;
use domain::port::Clock as _;
use exchange::odm::OdmVersion;
use exchange::odm::metadata::metadata_file;
use infra::chance::SystemClock;
use serde_json::Value;

use crate::cli::options::Access;
use crate::cli::{CliError, Client};

pub(super) async fn export(
    study: &StudyId,
    (odm, design): (OdmVersion, Option<CommitHash>),
    out: Option<&Path>,
    access: &Access,
) -> Result<(), CliError> {
    let path = match design {
        Some(design) => format!("/v1/studies/{study}/designs/{design}"),
        None => format!("/v1/studies/{study}/design"),
    };
    let found = Client::of(access)?.get(&path).await?.body;
    let design: StudyDesign =
        serde_json::from_value(found).map_err(|error| CliError::failed("the published design", error))?;
    let bytes = metadata_file(study.as_str(), &design, odm, SystemClock.now())
        .map_err(|error| CliError::failed("writing the design", error))?;
    let Some(file) = out else {
        out!("{}", String::from_utf8_lossy(&bytes).trim_end());
        return Ok(());
    };
    std::fs::write(file, bytes).map_err(|error| CliError::failed("writing the file", error))?;
    note!("{} holds the design {} as ODM {}.", file.display(), design.version, odm.as_str());
    Ok(())
}

pub(super) async fn diff(
    (from, to): (&CommitHash, &CommitHash),
    study: &StudyId,
    json: bool,
    access: &Access,
) -> Result<(), CliError> {
    let path = format!("/v1/studies/{study}/designs/{from}/difference/{to}");
    let found = Client::of(access)?.get(&path).await?.body;
    if json {
        out!("{found}");
        return Ok(());
    }
    let difference: Difference =
        serde_json::from_value(found).map_err(|error| CliError::failed("the difference", error))?;
    difference.changes.iter().for_each(print);
    note!("{} definitions differ.", difference.changes.len());
    Ok(())
}

fn print(change: &Change) {
    let how = match change.how {
        How::Added => "+",
        How::Removed => "-",
        How::Changed => "~",
    };
    out!("{how} {} {} ({})", kind(change.kind), change.oid, change.name);
    for field in &change.fields {
        let side = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        out!("    {}: {} -> {}", field.field, side(&field.before), side(&field.after));
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Design => "design",
        Kind::Visit => "visit",
        Kind::Form => "form",
        Kind::ItemGroup => "item group",
        Kind::Item => "item",
        Kind::CodeList => "code list",
        Kind::Unit => "unit",
        Kind::Condition => "condition",
        Kind::Method => "method",
        Kind::Check => "check",
    }
}
