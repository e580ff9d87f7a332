//! What a file says of a participant, as commands. What the design has no place for is left out here. Values are not held
//! against it: the platform does that, and keeps that one was tried which it refuses.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use domain::design::{ItemDef, StudyDesign};
use domain::ids::Oid;
use domain::participant::{Command, Expect, FormKey, ItemPlace, ItemToSave, Place, QueryKind, Source, VisitKey};
use domain::scope::Plain;
use exchange::odm::metadata::Oids;
use time::OffsetDateTime;

use super::clinical::{ClinicalForm, ClinicalItem, ClinicalVisit, ParticipantData, Said, VisitSaid};
use super::report::{Report, Row, Severity};
use super::transaction::Transaction;

/// What to send for one participant, once the participant is registered and has given consent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The commands, in the order in which they are to be sent.
    pub steps: Vec<Step>,
    /// What is left out, and why.
    pub report: Report,
}

impl Plan {
    /// How many values are to be saved.
    pub fn values(&self) -> usize {
        self.steps.iter().map(|step| step.items.len()).sum()
    }
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The command.
    pub command: Command,
    /// The line of what it is about.
    pub line: u64,
    /// The element of what it is about.
    pub element: &'static str,
    /// The OID of what it is about.
    pub oid: Option<String>,
    /// Of values: where each stands in the file, in the command's order. `/items/3` of a fault is `items[3]`.
    pub items: Vec<StepItem>,
    /// When it was captured, if the file says so.
    pub captured_at: Option<OffsetDateTime>,
}

/// The values of a form by the change of their item that they are, from 0, and by the time at which they were captured.
type Saves = BTreeMap<(usize, Option<OffsetDateTime>), (Vec<ItemToSave>, Vec<StepItem>)>;

/// Where a value stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepItem {
    /// The line.
    pub line: u64,
    /// The item's OID, or in a table the column.
    pub name: String,
}

impl Step {
    /// Leaves items out: those with these numbers in the command.
    pub fn leave_out(&mut self, numbers: impl IntoIterator<Item = usize>) {
        let Command::SaveItems { items, .. } = &mut self.command else { return };
        let mut numbers: Vec<usize> = numbers.into_iter().filter(|n| *n < items.len()).collect();
        numbers.sort_unstable();
        for n in numbers.into_iter().rev() {
            items.remove(n);
            self.items.remove(n);
        }
    }

    /// Says why the item with this number changes. Whether it did not say so before.
    pub fn give_reason(&mut self, number: usize, reason: &str) -> bool {
        let Command::SaveItems { items, .. } = &mut self.command else { return false };
        let item = items.get_mut(number).filter(|item| item.reason.is_none());
        item.map(|item| item.reason = Some(Plain(reason.to_owned()))).is_some()
    }
}

/// Turns what a file says into commands: a visit before its forms, the values of a form in the order in which they were
/// captured, and what is said of the form as a whole after its values. What the design does not take is left out and reported
/// by line, OID and rule.
pub fn plan(participant: &ParticipantData, design: &StudyDesign) -> Plan {
    let mut plan = Plan::default();
    let oids = Oids::of(design);
    let mut said: BTreeSet<VisitKey> = BTreeSet::new();
    let visits: Vec<_> = participant.visits.iter().map(|visit| visit_in_words_of(design, visit, &oids)).collect();
    plan.remarks(&Place::Participant, &participant.remarks, None);
    for form in &participant.forms {
        let form = &*in_words_of(design, form, &oids);
        if said.insert(form.key.visit()) {
            visits.iter().filter(|visit| visit.key == form.key.visit()).for_each(|visit| plan.visit(visit));
        }
        plan.form(form, design);
    }
    for visit in visits.iter().filter(|visit| !said.contains(&visit.key)) {
        plan.visit(visit);
    }
    if participant.withdrawn {
        let command = Command::Withdraw { reason: None };
        plan.step(command, (participant.line, "SubjectData", None), None);
    }
    plan
}

impl Plan {
    fn step(&mut self, command: Command, at: (u64, &'static str, Option<&Oid>), captured_at: Option<OffsetDateTime>) {
        let (line, element, oid) = (at.0, at.1, at.2.map(Oid::to_string));
        self.steps.push(Step { command, line, element, oid, items: Vec::new(), captured_at });
    }

    fn visit(&mut self, visit: &ClinicalVisit) {
        let key = visit.key.clone();
        let captured_at = visit.audit.as_ref().and_then(|audit| audit.at);
        let reason = visit.audit.as_ref().and_then(|audit| audit.reason.clone());
        let command = match &visit.state {
            Some(VisitSaid::Started(on)) => Some(Command::StartVisit { visit: key, on: *on, reason }),
            Some(VisitSaid::Missed(why)) => Some(Command::MissVisit { visit: key, reason: Plain(why.clone()) }),
            None => None,
        };
        let at = (visit.line, "StudyEventData", Some(&visit.key.visit));
        if let Some(command) = command {
            self.step(command, at, captured_at);
        }
        self.remarks(&Place::Visit(visit.key.clone()), &visit.remarks, captured_at);
    }

    fn remarks(&mut self, place: &Place, remarks: &[Said], captured_at: Option<OffsetDateTime>) {
        for remark in remarks {
            let (place, text) = (place.clone(), Plain(remark.text.clone()));
            let command = Command::OpenQuery { place, kind: QueryKind::Annotation, text, to: None, candidate: false };
            self.step(command, (remark.line, "Annotation", None), captured_at);
        }
    }

    fn form(&mut self, form: &ClinicalForm, design: &StudyDesign) {
        let says_nothing = form.items.is_empty() && !form.completed && !form.removed && form.remarks.is_empty();
        if says_nothing {
            return;
        }
        let at = (form.line, "FormData", Some(&form.key.form));
        if let Some(fault) = form_fault(&form.key, design) {
            let what = format!("{fault}; its {} value(s) were left out", form.items.len());
            return self.row((form.line, "FormData", form.key.form.as_str()), Severity::Refused, "form", what);
        }
        self.saves(form, design);
        let captured_at = form.audit.as_ref().and_then(|audit| audit.at);
        for item in &form.items {
            let place = Place::Item(ItemPlace::of(&form.key, &key_of(item)));
            self.remarks(&place, &item.remarks, item.audit.as_ref().and_then(|audit| audit.at));
        }
        self.remarks(&Place::Form(form.key.clone()), &form.remarks, captured_at);
        if form.completed {
            self.step(Command::CompleteForm { form: form.key.clone() }, at, captured_at);
        }
        if form.removed {
            // Without a reason the platform refuses it; whoever sends it may know one.
            let reason = form.audit.as_ref().and_then(|audit| audit.reason.clone());
            let reason = reason.unwrap_or_else(|| Plain(String::new()));
            self.step(Command::RemoveForm { form: form.key.clone(), reason }, at, captured_at);
        }
    }

    /// The values of a form: one command for what was captured at one time. Several changes of one item follow each other.
    fn saves(&mut self, form: &ClinicalForm, design: &StudyDesign) {
        let mut last: BTreeMap<_, usize> = BTreeMap::new();
        for (n, item) in form.items.iter().enumerate() {
            last.insert(key_of(item), n);
        }
        let mut rounds: BTreeMap<_, usize> = BTreeMap::new();
        let mut saves = Saves::new();
        for (n, item) in form.items.iter().enumerate() {
            let at = (item.line, "ItemData", item.item.as_str());
            if let Err(rule) = fitting(&form.key, item, design) {
                self.row(at, Severity::Refused, "item", rule);
                continue;
            }
            if item.computed && is_computed(item, design) {
                self.row(at, Severity::Note, "computed", "the platform computes it itself");
                continue;
            }
            if is_empty(item) {
                self.row(at, Severity::Note, "empty", "it is empty: there is nothing to save");
                continue;
            }
            let key = key_of(item);
            if last[&key] != n && !item.own_transaction {
                let what = "it stands twice on this form: the last one is taken";
                self.row(at, Severity::Refused, "twice", what);
                continue;
            }
            let round = rounds.entry(key).and_modify(|round| *round += 1).or_insert(0);
            let when = item.audit.as_ref().and_then(|audit| audit.at);
            let (items, places) = saves.entry((*round, when)).or_default();
            items.push(to_save(item));
            places.push(StepItem { line: item.line, name: item.item.to_string() });
        }
        for ((_, captured_at), (items, places)) in saves {
            let command = Command::SaveItems { form: form.key.clone(), items, source: Source::Import };
            self.step(command, (form.line, "FormData", Some(&form.key.form)), captured_at);
            if let Some(step) = self.steps.last_mut() {
                step.items = places;
            }
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

fn key_of(item: &ClinicalItem) -> domain::participant::ItemKey {
    let (group, item_oid) = (item.group.clone(), item.item.clone());
    domain::participant::ItemKey { group, group_repeat: item.group_repeat, item: item_oid }
}

/// Only a change or a removal makes something of nothing.
fn is_empty(item: &ClinicalItem) -> bool {
    let nothing = item.value.is_none() && item.not_done.is_none();
    nothing && !matches!(item.transaction, Transaction::Update | Transaction::Remove)
}

fn is_computed(item: &ClinicalItem, design: &StudyDesign) -> bool {
    let group = design.item_group(&item.group);
    let reference = group.and_then(|group| group.items.iter().find(|reference| reference.oid == item.item));
    reference.is_some_and(|reference| reference.method.is_some())
}

fn to_save(item: &ClinicalItem) -> ItemToSave {
    ItemToSave {
        group: item.group.clone(),
        group_repeat: item.group_repeat,
        item: item.item.clone(),
        value: item.value.clone(),
        not_done: item.not_done,
        reason: item.audit.as_ref().and_then(|audit| audit.reason.clone()),
        expect: match item.transaction {
            Transaction::Insert => Some(Expect::Nothing),
            Transaction::Update | Transaction::Remove => Some(Expect::Something),
            Transaction::Upsert | Transaction::Context => None,
        },
    }
}

/// A visit with the OID of the design.
fn visit_in_words_of(design: &StudyDesign, visit: &ClinicalVisit, oids: &Oids) -> ClinicalVisit {
    let mut visit = visit.clone();
    let own = Some(visit.key.visit.as_str()).filter(|_| design.visit(&visit.key.visit).is_none());
    if let Some(own) = own.and_then(|oid| oids.of_visit(oid)).and_then(|own| own.parse().ok()) {
        visit.key.visit = own;
    }
    visit
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
    Ok(())
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
