//! What must be found in every file: straight from the records, past every writer.

use domain::design::StudyDesign;
use exchange::model::{ItemState, ParticipantRecord, missing_code};
use serde_json::{Value, json};

fn state(state: &ItemState) -> Value {
    match state {
        ItemState::Value(value) => json!({"value": value}),
        none => json!({"missing": missing_code(none)}),
    }
}

/// One object for each item, with its place, its type, what stands there and how it came about.
pub(crate) fn items(design: &StudyDesign, participants: &[ParticipantRecord]) -> Vec<Value> {
    let mut items = Vec::new();
    for record in participants {
        for visit in &record.visits {
            for form in &visit.forms {
                for group in &form.groups {
                    for item in &group.items {
                        let changes: Vec<_> = item
                            .changes
                            .iter()
                            .map(|change| {
                                json!({
                                    "state": state(&change.state),
                                    "user": change.by.user,
                                    "role": change.by.role,
                                    "reason": change.reason.as_ref().map(|reason| reason.words()),
                                })
                            })
                            .collect();
                        items.push(json!({
                            "place": [record.subject_number.as_str(), visit.visit.as_str(), visit.repeat, form.form.as_str(),
                                form.repeat, group.group.as_str(), group.repeat, item.item.as_str()],
                            "type": design.item(&item.item).map(|item| item.data_type),
                            "state": state(&item.state),
                            "changes": changes,
                        }));
                    }
                }
            }
        }
    }
    items
}
