//! The forms of a participant under their keys: every repeat key becomes a count.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use domain::ids::Oid;
use domain::participant::{FormKey, VisitKey};

use super::{Keyed, RawForm, RawVisit};
use crate::odm::clinical::{ClinicalFile, ClinicalForm, ClinicalItem, ClinicalVisit};
use crate::odm::repeats::{Occurrence, occurrences};
use crate::odm::report::Severity;
use crate::odm::transaction::Transaction;

/// The visits and the forms under their keys, visits first: which occurrence a form is depends on which the visit is.
pub(super) fn under_their_keys<R: BufRead>(
    file: &mut ClinicalFile<R>,
    raw_visits: Vec<RawVisit>,
    raw: Vec<RawForm>,
) -> (Vec<ClinicalVisit>, Vec<ClinicalForm>) {
    let visits = Counted::of("StudyEventData", raw_visits.iter().map(|visit| ((), &visit.visit)));
    visits.report(file);
    let in_visit = |form: &RawForm| (form.visit.oid.clone(), visits.number(&(), &form.visit));
    let form_data = if super::is_v2(file) { "ItemGroupData" } else { "FormData" };
    let repeats = Counted::of(form_data, raw.iter().map(|form| (in_visit(form), &form.form)));
    repeats.report(file);
    let key = |form: &RawForm| {
        let (visit, visit_repeat) = in_visit(form);
        let form_repeat = repeats.number(&(visit.clone(), visit_repeat), &form.form);
        FormKey { visit, visit_repeat, form: form.form.oid.clone(), form_repeat }
    };
    let keys: Vec<FormKey> = raw.iter().map(key).collect();
    let all_items =
        raw.iter().zip(&keys).flat_map(|(form, key)| form.items.iter().map(move |item| (key.clone(), item)));
    let groups = Counted::of("ItemGroupData", all_items.map(|(key, item)| (key, &item.group)));
    groups.report(file);

    let mut forms: Vec<ClinicalForm> = Vec::new();
    let mut places: BTreeMap<FormKey, usize> = BTreeMap::new();
    for (form, key) in raw.into_iter().zip(keys) {
        let place = *places.entry(key.clone()).or_insert_with(|| {
            let (line, items, remarks) = (form.form.line, Vec::new(), Vec::new());
            let (completed, removed, audit) = (false, false, form.audit.clone());
            forms.push(ClinicalForm { key: key.clone(), items, completed, removed, remarks, audit, line });
            forms.len() - 1
        });
        let marked = |mark: &str| form.notes.marks.iter().any(|one| one == mark);
        forms[place].completed |= marked("COMPLETED");
        forms[place].removed |= marked("REMOVED") || form.form.transaction == Transaction::Remove;
        forms[place].remarks.extend(form.notes.remarks);
        forms[place].items.extend(form.items.into_iter().map(|item| ClinicalItem {
            group_repeat: groups.number(&key, &item.group),
            group: item.group.oid,
            item: item.item,
            value: item.value,
            unit: item.unit,
            not_done: item.not_done,
            computed: item.computed,
            transaction: item.transaction,
            own_transaction: item.own_transaction,
            remarks: item.remarks,
            audit: item.audit,
            line: item.line,
        }));
    }
    let said = |visit: RawVisit| ClinicalVisit {
        key: VisitKey { visit_repeat: visits.number(&(), &visit.visit), visit: visit.visit.oid },
        state: visit.state,
        remarks: visit.notes.remarks,
        audit: visit.audit,
        line: visit.visit.line,
    };
    let visits = raw_visits.into_iter().map(said).filter(|visit| visit.state.is_some() || !visit.remarks.is_empty());
    (visits.collect(), forms)
}

/// The occurrences of one element: a number for each key of each OID in each scope.
struct Counted<S: Ord> {
    element: &'static str,
    numbers: BTreeMap<((S, Oid), Option<String>), Occurrence>,
    counted: Vec<(Oid, u64, u32)>,
}

impl<S: Ord + Clone> Counted<S> {
    fn of<'a>(element: &'static str, all: impl Iterator<Item = (S, &'a Keyed)>) -> Self {
        let all: Vec<(S, &Keyed)> = all.collect();
        let keys: Vec<_> =
            all.iter().map(|(scope, keyed)| ((scope.clone(), keyed.oid.clone()), keyed.key.clone())).collect();
        let numbers = occurrences(&keys);
        let mut told = BTreeSet::new();
        let mut counted = Vec::new();
        for (key, (_, keyed)) in keys.iter().zip(&all) {
            let occurrence = numbers[key];
            if occurrence.counted && told.insert(key) {
                counted.push((keyed.oid.clone(), keyed.line, occurrence.number));
            }
        }
        Self { element, numbers, counted }
    }

    fn number(&self, scope: &S, keyed: &Keyed) -> u32 {
        self.numbers[&((scope.clone(), keyed.oid.clone()), keyed.key.clone())].number
    }

    fn report<R: BufRead>(&self, file: &mut ClinicalFile<R>) {
        for (oid, line, number) in &self.counted {
            let what = format!("its repeat key is not a number from 1 up, or is taken: counted as occurrence {number}");
            file.row(Severity::Note, (*line, self.element, Some(oid)), "repeat-key-counted", what);
        }
    }
}
