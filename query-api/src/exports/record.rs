//! The platform's answers about one participant, as the formats are given them.

use std::collections::BTreeMap;

use domain::design::{Ref, StudyDesign};
use domain::history::{ActorKind, Aggregate};
use domain::ids::Oid;
use domain::participant::{FormKey, Held, ItemKey, NotDone, Place, Source, VisitKey};
use domain::scope::Scope;
use exchange::model::{
    Act, Change, FormRecord, GroupRecord, ItemRecord, ItemState, Mark, Message, Notes, ParticipantRecord, QueryRecord,
    Shown, SignatureRecord, Step, VisitRecord, VisitState, Withheld,
};
use projection_svc::audit::AuditEntry;
use projection_svc::casebook::{self, Casebook};
use projection_svc::participants::{Participant, ParticipantState};
use projection_svc::queries::{self, Query};
use projection_svc::{Shown as Answered, row};
use serde_json::Value;

use super::source::Loaded;
use crate::signatures::SignatureView;

#[derive(Default)]
struct Visit {
    state: Option<VisitState>,
    notes: Notes,
    forms: BTreeMap<FormKey, Form>,
}

#[derive(Default)]
struct Form {
    notes: Notes,
    items: BTreeMap<ItemKey, ItemRecord>,
}

/// A record while it is put together.
#[derive(Default)]
struct Draft {
    /// The casebook is erased: the audit trail alone says what was there.
    gone: bool,
    /// Each change goes along.
    history: bool,
    notes: Notes,
    visits: BTreeMap<VisitKey, Visit>,
}

/// What a record cannot say of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Missed {
    /// So many of its items this design has no place for: they are not in it.
    pub(crate) not_in_design: u64,
    /// All of its data is erased.
    pub(crate) erased: bool,
}

/// The record of one participant.
pub(crate) fn record(loaded: Loaded, design: &StudyDesign) -> (ParticipantRecord, Missed) {
    let Loaded { participant, history, casebook, audit, queries, signatures } = loaded;
    let mut draft = Draft { gone: casebook.is_none(), history, ..Draft::default() };
    if let Some(casebook) = casebook {
        draft.casebook(casebook);
    }
    for entry in audit.into_iter().filter(|entry| entry.aggregate == Aggregate::Participant) {
        if draft.gone {
            draft.fact(&entry);
        }
        draft.change(entry);
    }
    queries.into_iter().for_each(|query| draft.query(query));
    signatures.into_iter().for_each(|signature| draft.signature(signature));
    let mut missed = Missed { not_in_design: 0, erased: draft.gone && !participant.restricted };
    let visits = draft.ordered(design, &mut missed.not_in_design);
    (participant_record(participant, visits, draft.notes), missed)
}

fn participant_record(participant: Participant, visits: Vec<VisitRecord>, notes: Notes) -> ParticipantRecord {
    ParticipantRecord {
        registered: (!participant.restricted).then(|| act(&participant.registered, None)),
        subject_number: participant.subject_number,
        site: participant.site,
        restricted: participant.restricted,
        withdrawn: !participant.restricted && participant.state == ParticipantState::Withdrawn,
        visits,
        notes,
    }
}

impl Draft {
    fn form(&mut self, key: &FormKey) -> &mut Form {
        self.visits.entry(key.visit()).or_default().forms.entry(key.clone()).or_default()
    }

    fn casebook(&mut self, casebook: Casebook) {
        let Casebook { visits, forms, held } = casebook;
        for casebook::Visit { visit, on, reason, .. } in visits {
            let day = on.map(|on| VisitState::Started(shown(on, |day| day.0.to_string())));
            let missed =
                || VisitState::Missed(reason.map_or(Shown::Text(String::new()), |text| shown(text, |text| text)));
            self.visits.entry(visit).or_default().state = Some(day.unwrap_or_else(missed));
        }
        for form in forms {
            let to = self.form(&form.form);
            let reviewed = !form.reviewed.is_empty();
            let marks = [(form.completed, Mark::Completed), (form.removed, Mark::Removed), (reviewed, Mark::Reviewed)];
            to.notes.marks.extend(marks.into_iter().filter(|(holds, _)| *holds).map(|(_, mark)| mark));
            for item in form.items {
                let (key, record) = item_record(item);
                to.items.insert(key, record);
            }
        }
        for casebook::HeldPlace { place, held } in held {
            let mark = if held == Held::Frozen { Mark::Frozen } else { Mark::Locked };
            if let Some(notes) = self.exactly_at(&place) {
                notes.marks.push(mark);
            }
        }
    }

    /// A fact about a visit or a whole form, where the casebook cannot say it any more.
    fn fact(&mut self, entry: &AuditEntry) {
        let place = |name: &str| entry.details.get(name).cloned().unwrap_or_default();
        let personal = |name: &str| {
            let found = entry.values.get(name).cloned();
            found.map_or(Shown::Erased, |found| shown(found, |text| text.as_str().unwrap_or_default().to_owned()))
        };
        let state = match entry.event.as_str() {
            "visit-started" => Some(VisitState::Started(personal("on"))),
            "visit-missed" => Some(VisitState::Missed(personal("reason"))),
            _ => None,
        };
        if let (Some(state), Ok(visit)) = (state, serde_json::from_value::<VisitKey>(place("visit"))) {
            self.visits.entry(visit).or_default().state = Some(state);
        }
        let mark = match entry.event.as_str() {
            "form-completed" => (Mark::Completed, true),
            "form-reopened" => (Mark::Completed, false),
            "form-removed" => (Mark::Removed, true),
            "form-restored" => (Mark::Removed, false),
            _ => return,
        };
        if let Ok(form) = serde_json::from_value::<FormKey>(place("form")) {
            let marks = &mut self.form(&form).notes.marks;
            marks.retain(|one| *one != mark.0);
            marks.extend(mark.1.then_some(mark.0));
        }
    }

    /// One change of an item. Where the casebook is gone, the last of them is what stands there.
    fn change(&mut self, entry: AuditEntry) {
        let AuditEntry { aggregate, form: Some(form), item: Some(key), new, reason, details, act: by, .. } = entry
        else {
            return;
        };
        if aggregate != Aggregate::Participant {
            return;
        }
        let detail = |name: &str| details.get(name).cloned().unwrap_or_default();
        let not_done = serde_json::from_value::<Option<NotDone>>(detail("not_done")).unwrap_or_default();
        let source = serde_json::from_value::<Option<Source>>(detail("source")).unwrap_or_default().unwrap_or_default();
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let state = state(new.map(|new| shown(new, text)), not_done);
        let reason = reason.map(|reason| shown(reason, |text| text));
        let change = Change { state, by: act(&by, Some(source)), reason };
        let (gone, history) = (self.gone, self.history);
        let item = self.form(&form).items.entry(key).or_insert_with_key(|key| ItemRecord {
            item: key.item.clone(),
            state: change.state.clone(),
            computed: detail("computed") == Value::Bool(true),
            changes: Vec::new(),
            notes: Notes::default(),
        });
        if gone {
            item.state = change.state.clone();
        }
        if history {
            item.changes.push(change);
        }
    }

    fn query(&mut self, query: Query) {
        let Query { head, thread } = query;
        let message = |said: queries::Remark| Message {
            step: step(said.step),
            by: act(&said.act, None),
            text: said.text.map(|text| shown(text, |text| text)),
        };
        let record = QueryRecord {
            query: head.query,
            kind: head.kind,
            state: head.state,
            check: head.check,
            to: head.to,
            thread: thread.into_iter().map(message).collect(),
        };
        self.near(&head.place).queries.push(record);
    }

    fn signature(&mut self, given: SignatureView) {
        let record = SignatureRecord {
            signature: given.signature,
            meaning: given.meaning,
            printed_name: shown(given.printed_name, |name| name),
            by: act(&given.act, None),
            digest: given.digest,
            holds: given.holds,
        };
        self.near(&given.place).signatures.push(record);
    }

    /// The notes of this very place; none of an item that was never touched.
    fn exactly_at(&mut self, place: &Place) -> Option<&mut Notes> {
        match place {
            Place::Participant => Some(&mut self.notes),
            Place::Visit(visit) => Some(&mut self.visits.entry(visit.clone()).or_default().notes),
            Place::Form(form) => Some(&mut self.form(form).notes),
            Place::Item(item) => self.form(&item.form()).items.get_mut(&item.item()).map(|item| &mut item.notes),
        }
    }

    /// The same; what is asked about an item that was never touched stands at its form.
    fn near(&mut self, place: &Place) -> &mut Notes {
        let place = match place {
            Place::Item(item) if !self.form(&item.form()).items.contains_key(&item.item()) => Place::Form(item.form()),
            place => place.clone(),
        };
        self.exactly_at(&place).expect("the item was looked up just now")
    }

    /// The visits in the design's order, and what is in them. What has no place there is counted and left out.
    fn ordered(&mut self, design: &StudyDesign, left_out: &mut u64) -> Vec<VisitRecord> {
        let mut visits = Vec::new();
        for (key, visit) in std::mem::take(&mut self.visits) {
            let Some(at) = design.visits.iter().position(|defined| defined.oid == key.visit) else {
                *left_out += visit.forms.values().map(|form| form.items.len() as u64).sum::<u64>();
                continue;
            };
            let mut forms = Vec::new();
            for (form, draft) in visit.forms {
                let Some(at) =
                    place(&design.visits[at].forms, &form.form).filter(|_| design.form(&form.form).is_some())
                else {
                    *left_out += draft.items.len() as u64;
                    continue;
                };
                forms.push(((at, form.form_repeat), form_record(form, draft, design, left_out)));
            }
            forms.sort_by_key(|(at, _)| *at);
            let record = VisitRecord {
                visit: key.visit,
                repeat: key.visit_repeat,
                state: visit.state.unwrap_or(VisitState::Unsaid),
                forms: forms.into_iter().map(|(_, form)| form).collect(),
                notes: visit.notes,
            };
            visits.push(((at, key.visit_repeat), record));
        }
        visits.sort_by_key(|(at, _)| *at);
        visits.into_iter().map(|(_, visit)| visit).collect()
    }
}

fn form_record(key: FormKey, draft: Form, design: &StudyDesign, left_out: &mut u64) -> FormRecord {
    let groups = design.form(&key.form).map(|form| form.item_groups.as_slice()).unwrap_or_default();
    let mut items: BTreeMap<(usize, u32, usize), (Oid, ItemRecord)> = BTreeMap::new();
    for (at, item) in draft.items {
        let group = place(groups, &at.group).zip(design.item_group(&at.group));
        let found = group.and_then(|(n, group)| Some((n, place(&group.items, &at.item)?)));
        match found.filter(|_| design.item(&at.item).is_some()) {
            Some((group, n)) => drop(items.insert((group, at.group_repeat, n), (at.group, item))),
            None => *left_out += 1,
        }
    }
    let mut records: Vec<GroupRecord> = Vec::new();
    for ((_, repeat, _), (group, item)) in items {
        match records.last_mut().filter(|last| last.group == group && last.repeat == repeat) {
            Some(last) => last.items.push(item),
            None => records.push(GroupRecord { group, repeat, items: vec![item] }),
        }
    }
    FormRecord { form: key.form, repeat: key.form_repeat, groups: records, notes: draft.notes }
}

fn place(among: &[Ref], oid: &Oid) -> Option<usize> {
    among.iter().position(|reference| reference.oid == *oid)
}

fn item_record(item: casebook::Item) -> (ItemKey, ItemRecord) {
    let marks = if item.verified { vec![Mark::Verified] } else { vec![] };
    let record = ItemRecord {
        item: item.item.clone(),
        state: state(item.value.map(|value| shown(value, |value| value.0)), item.not_done),
        computed: item.computed,
        changes: Vec::new(),
        notes: Notes { marks, ..Notes::default() },
    };
    (ItemKey { group: item.group, group_repeat: item.group_repeat, item: item.item }, record)
}

fn state(value: Option<Shown>, not_done: Option<NotDone>) -> ItemState {
    match (value, not_done) {
        (Some(Shown::Text(text)), _) => ItemState::Value(text),
        (Some(Shown::Erased), _) => ItemState::Erased,
        (Some(Shown::Withheld(why)), _) => ItemState::Withheld(why),
        (None, Some(why)) => ItemState::NotDone(why),
        (None, None) => ItemState::Cleared,
    }
}

fn shown<T>(answered: Answered<T>, text: impl FnOnce(T) -> String) -> Shown {
    match answered {
        Answered::Value(value) => Shown::Text(text(value)),
        Answered::Erased { .. } => Shown::Erased,
        Answered::Withheld { withheld: Scope::HealthBlinded } => Shown::Withheld(Withheld::Blinded),
        Answered::Withheld { .. } => Shown::Withheld(Withheld::NoRight),
    }
}

fn act(act: &row::Act, source: Option<Source>) -> Act {
    let by_kind = if act.actor.kind == ActorKind::User { Source::User } else { Source::System };
    Act {
        user: act.actor.id,
        role: act.actor.role,
        organisation: act.actor.organisation.clone(),
        captured_at: act.captured_at,
        stored_at: act.stored_at,
        source: source.unwrap_or(by_kind),
    }
}

fn step(step: queries::Step) -> Step {
    match step {
        // A candidate that is put to somebody is asked then.
        queries::Step::Opened | queries::Step::Raised => Step::Opened,
        queries::Step::Answered => Step::Answered,
        queries::Step::Forwarded => Step::Forwarded,
        queries::Step::Closed | queries::Step::Resolved => Step::Closed,
        queries::Step::Cancelled => Step::Cancelled,
        queries::Step::Reopened => Step::Reopened,
        queries::Step::DataChanged => Step::DataChanged,
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
