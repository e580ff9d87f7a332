//! The header records: of the library, of its one dataset, of each variable.

use std::io::Write;

use super::plan::{LABEL, Plan};
use super::{Form, Padded, PlannedColumn, pieces};
use crate::ExchangeError;

const LIBRARY: &str = "HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!000000000000000000000000000000  ";
const MEMBER: &str = "HEADER RECORD*******MEMBER  HEADER RECORD!!!!!!!000000000000000001600000000140  ";
const DESCRIPTOR: &str = "HEADER RECORD*******DSCRPTR HEADER RECORD!!!!!!!000000000000000000000000000000  ";
const OBSERVATIONS: &str = "HEADER RECORD*******OBS     HEADER RECORD!!!!!!!000000000000000000000000000000  ";

/// The version of SAS and the system that are said to have written it: the fields want one.
const VERSION: &str = "9.4";

pub(super) fn write(
    out: &mut Padded<'_, impl Write>,
    dataset: &str,
    label: &str,
    created: &str,
    plan: &Plan,
) -> Result<(), ExchangeError> {
    out.write(LIBRARY.as_bytes())?;
    fields(out, &[("SAS", 8), ("SAS", 8), ("SASLIB", 8), (VERSION, 8), ("Lethe", 8), ("", 24), (created, 16)])?;
    fields(out, &[(created, 16), ("", 64)])?;
    out.write(MEMBER.as_bytes())?;
    out.write(DESCRIPTOR.as_bytes())?;
    fields(out, &[("SAS", 8), (dataset, 8), ("SASDATA", 8), (VERSION, 8), ("Lethe", 8), ("", 24), (created, 16)])?;
    fields(out, &[(created, 16), ("", 16), (pieces::cut(label, LABEL), LABEL), ("", 8)])?;
    let count: usize = plan.columns.iter().map(|column| column.names.len()).sum();
    let names = format!("HEADER RECORD*******NAMESTR HEADER RECORD!!!!!!!000000{count:04}00000000000000000000  ");
    out.write(names.as_bytes())?;
    let (mut number, mut at) = (0, 0);
    for column in &plan.columns {
        for (piece, name) in column.names.iter().enumerate() {
            number += 1;
            variable(out, column, name, Variable { number, at, length: column.length(piece) })?;
            at += column.length(piece);
        }
    }
    out.pad()?;
    out.write(OBSERVATIONS.as_bytes())
}

/// Where a variable is in a record.
struct Variable {
    number: usize,
    at: usize,
    length: usize,
}

/// 140 bytes that describe a variable.
fn variable(
    out: &mut Padded<'_, impl Write>,
    column: &PlannedColumn,
    name: &str,
    variable: Variable,
) -> Result<(), ExchangeError> {
    let kind = if matches!(column.form, Form::Number) { 1 } else { 2 };
    for number in [kind, 0, variable.length, variable.number] {
        out.write(&short(number)?)?;
    }
    out.text(name, 8)?;
    out.text(pieces::cut(&column.column.label, LABEL), LABEL)?;
    // No format: its name, width, decimals, justification and two bytes of filling.
    out.text("", 8)?;
    out.write(&[0; 8])?;
    // No informat: its name, width, decimals.
    out.text("", 8)?;
    out.write(&[0; 4])?;
    let at = u32::try_from(variable.at).map_err(|_| ExchangeError::OutOfRange("the length of a record"))?;
    out.write(&at.to_be_bytes())?;
    out.write(&[0; 52])
}

fn short(number: usize) -> Result<[u8; 2], ExchangeError> {
    let number = u16::try_from(number).map_err(|_| ExchangeError::OutOfRange("the length of a variable"))?;
    Ok(number.to_be_bytes())
}

fn fields(out: &mut Padded<'_, impl Write>, fields: &[(&str, usize)]) -> Result<(), ExchangeError> {
    fields.iter().try_for_each(|(text, length)| out.text(text, *length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_header_record_has_eighty_bytes() {
        assert!([LIBRARY, MEMBER, DESCRIPTOR, OBSERVATIONS].iter().all(|header| header.len() == 80));
    }
}
