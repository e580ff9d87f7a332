//! A participant's values as commands. Each value is held against the design first, because a command is taken as a
//! whole: one value that does not fit would cost the whole form.

use std::borrow::Cow;
use std::collections::BTreeMap;

use domain::design::{ItemDef, StudyDesign};
use domain::ids::Oid;
use domain::participant::{Command, FormKey, ItemToSave, Source};
use exchange::odm::metadata::Oids;

use super::clinical::{ClinicalForm, ClinicalItem, ParticipantData};
use super::report::{Report, Row, Severity};

/// What to send for one participant, once the participant is registered and has given consent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One command a form, in the file's order.
    pub saves: Vec<Save>,
    /// What is left out, and why.
    pub report: Report,
}

impl Plan {
    /// How many values are to be saved.
    pub fn values(&self) -> usize {
        self.saves.iter().map(|save| save.lines.len()).sum()
    }
}

/// The command that saves one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Save {
    /// The command: always [`Command::SaveItems`].
    pub command: Command,
    /// The line of the form.
    pub line: u64,
    /// The line of each item, in the command's order: `/items/3` of a fault is `lines[3]`.
    pub lines: Vec<u64>,
}

impl Save {
    /// Leaves items out: those with these numbers in the command.
    pub fn leave_out(&mut self, numbers: impl IntoIterator<Item = usize>) {
        let Command::SaveItems { items, .. } = &mut self.command else { return };
        let mut numbers: Vec<usize> = numbers.into_iter().filter(|n| *n < items.len()).collect();
        numbers.sort_unstable();
        for n in numbers.into_iter().rev() {
            items.remove(n);
            self.lines.remove(n);
        }
    }
}

/// Turns the values into commands. Forms and values that the design does not take are left out and reported by line,
/// OID and rule.
pub fn plan(participant: &ParticipantData, design: &StudyDesign) -> Plan {
    let mut plan = Plan::default();
    let oids = Oids::of(design);
    for form in &participant.forms {
        let form = &*in_words_of(design, form, &oids);
        if form.items.is_empty() {
            continue;
        }
        match form_fault(&form.key, design) {
            Some(fault) => {
                let what = format!("{fault}; its {} value(s) were left out", form.items.len());
                plan.row((form.line, "FormData", form.key.form.as_str()), Severity::Refused, "form", what);
            }
            None => plan.form(form, design),
        }
    }
    plan
}

impl Plan {
    fn form(&mut self, form: &ClinicalForm, design: &StudyDesign) {
        let mut last: BTreeMap<_, usize> = BTreeMap::new();
        for (n, item) in form.items.iter().enumerate() {
            last.insert((&item.group, item.group_repeat, &item.item), n);
        }
        let mut items = Vec::new();
        let mut lines = Vec::new();
        for (n, item) in form.items.iter().enumerate() {
            let at = (item.line, "ItemData", item.item.as_str());
            let value = match (fitting(&form.key, item, design), &item.value) {
                (Err(rule), _) => {
                    self.row(at, Severity::Refused, "item", rule);
                    continue;
                }
                (Ok(()), None) => {
                    self.row(at, Severity::Note, "empty", "it is empty: there is nothing to save");
                    continue;
                }
                (Ok(()), Some(_)) if last[&(&item.group, item.group_repeat, &item.item)] != n => {
                    let what = "it stands twice on this form: the last one is taken";
                    self.row(at, Severity::Refused, "twice", what);
                    continue;
                }
                (Ok(()), Some(value)) => value.clone(),
            };
            items.push(ItemToSave {
                group: item.group.clone(),
                group_repeat: item.group_repeat,
                item: item.item.clone(),
                value: Some(value),
                not_done: None,
                reason: None,
            });
            lines.push(item.line);
        }
        if !items.is_empty() {
            let command = Command::SaveItems { form: form.key.clone(), items, source: Source::Import };
            self.saves.push(Save { command, line: form.line, lines });
        }
    }

    fn row(
        &mut self,
        (line, element, oid): (u64, &str, &str),
        severity: Severity,
        rule: &'static str,
        what: impl Into<String>,
    ) {
        let (element, oid) = (element.to_owned(), Some(oid.to_owned()));
        self.report.rows.push(Row { line: Some(line), element, oid, severity, rule, what: what.into() });
    }
}

/// The form with the OIDs of the design. In a file that we wrote, others may stand where two definitions share one.
fn in_words_of<'a>(design: &StudyDesign, form: &'a ClinicalForm, oids: &Oids) -> Cow<'a, ClinicalForm> {
    if oids.are_all_own() {
        return Cow::Borrowed(form);
    }
    let put = |oid: &mut Oid, known: bool, own: Option<&str>| {
        if let Some(own) = own.filter(|_| !known).and_then(|own| own.parse().ok()) {
            *oid = own;
        }
    };
    let mut form = form.clone();
    let (visit, of_form) = (form.key.visit.clone(), form.key.form.clone());
    put(&mut form.key.visit, design.visit(&visit).is_some(), oids.of_visit(visit.as_str()));
    put(&mut form.key.form, design.form(&of_form).is_some(), oids.of_form(of_form.as_str()));
    for one in &mut form.items {
        let (group, item) = (one.group.clone(), one.item.clone());
        put(&mut one.group, design.item_group(&group).is_some(), oids.of_item_group(group.as_str()));
        put(&mut one.item, design.item(&item).is_some(), oids.of_item(item.as_str()));
    }
    Cow::Owned(form)
}

fn form_fault(key: &FormKey, design: &StudyDesign) -> Option<String> {
    let Some(visit) = design.visit(&key.visit) else {
        return Some(format!("the design has no visit {}", key.visit));
    };
    if !visit.forms.iter().any(|form| form.oid == key.form) {
        return Some(format!("visit {} has no such form", visit.oid));
    }
    if key.visit_repeat > 1 && !visit.repeating {
        return Some(format!("visit {} does not repeat", visit.oid));
    }
    let repeats = design.form(&key.form).is_some_and(|form| form.repeating);
    (key.form_repeat > 1 && !repeats).then(|| "the form does not repeat".to_owned())
}

fn fitting(key: &FormKey, item: &ClinicalItem, design: &StudyDesign) -> Result<(), String> {
    let definition = definition(key, item, design)?;
    let other_unit = item.unit.as_ref().is_some_and(|unit| definition.unit.as_ref() != Some(unit));
    if other_unit {
        return Err("it is given in another unit than the design's: convert it first".into());
    }
    item.value.as_ref().map_or(Ok(()), |value| design.check(definition, value))
}

fn definition<'a>(key: &FormKey, item: &ClinicalItem, design: &'a StudyDesign) -> Result<&'a ItemDef, String> {
    let form = design.form(&key.form);
    let group = form
        .filter(|form| form.item_groups.iter().any(|group| group.oid == item.group))
        .and_then(|_| design.item_group(&item.group))
        .ok_or_else(|| format!("form {} has no item group {}", key.form, item.group))?;
    let definition = Some(())
        .filter(|()| group.items.iter().any(|reference| reference.oid == item.item))
        .and_then(|()| design.item(&item.item))
        .ok_or_else(|| format!("item group {} has no such item", group.oid))?;
    match item.group_repeat > 1 && !group.repeating {
        true => Err(format!("item group {} does not repeat", group.oid)),
        false => Ok(definition),
    }
}
