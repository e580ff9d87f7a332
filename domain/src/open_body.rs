//! The bodies of a commit that was opened. They are read straight into facts; the tree of JSON values that a body is
//! besides is made when somebody asks for it, which for most commits nobody does.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::body::{self, Sections, Values};
use crate::field::{Fact, Malformed, RawValue, Reading};
use crate::history::{Aggregate, Decoded, EventType, OpenEvent};
use crate::scope::{Part, Scope};
use crate::{
    access, account, design_part, export, identity, incident, participant, privacy, randomisation, study,
    subject_number, user,
};

/// One event's body, open: read it as a JSON value.
#[derive(Clone)]
pub struct Body(Form);

#[derive(Clone)]
enum Form {
    Whole(Value),
    Stored(Arc<Stored>, usize),
}

/// What a commit's sections hold, as text.
pub struct OpenedSections {
    /// The structure of each event.
    pub events: Vec<Box<RawValue>>,
    /// The values of each section that was open, by their places.
    pub values: Vec<((Scope, Part), Box<RawValue>)>,
}

struct Stored {
    sections: OpenedSections,
    whole: OnceLock<Vec<Value>>,
}

impl Stored {
    fn whole(&self) -> &[Value] {
        self.whole.get_or_init(|| self.sections.whole().map_or_else(|_| Vec::new(), |(bodies, _)| bodies))
    }
}

impl OpenedSections {
    fn values(&self) -> Result<Sections, Malformed> {
        let one = |(key, values): &((Scope, Part), Box<RawValue>)| {
            let values: Values = serde_json::from_str(values.get()).map_err(|_| Malformed::at("values"))?;
            Ok((key.clone(), values))
        };
        self.values.iter().map(one).collect()
    }

    /// The bodies as trees, and the values that had no place in them.
    fn whole(&self) -> Result<(Vec<Value>, Sections), Malformed> {
        let event = |text: &RawValue| serde_json::from_str(text.get()).map_err(|_| Malformed::at("events"));
        let mut bodies = self.events.iter().map(|text| event(text)).collect::<Result<Vec<_>, _>>()?;
        let mut values = self.values()?;
        body::join(&mut bodies, &mut values);
        Ok((bodies, values))
    }

    /// The facts, if all are of today's shape and every value has its place.
    fn facts<F: Fact>(&self, kinds: &[EventType]) -> Option<Decoded> {
        if !kinds.iter().all(|kind| F::TYPES.contains(&(kind.name.as_str(), kind.version))) {
            return None;
        }
        let mut values = self.values().ok()?;
        let mut facts = Vec::with_capacity(kinds.len());
        for (index, (kind, text)) in kinds.iter().zip(&self.events).enumerate() {
            let mut reading = Reading::of(index, &mut values);
            facts.push(F::read_stored(&kind.name, kind.version, text, &mut reading).ok()?);
        }
        values.values().all(Values::is_empty).then(|| Decoded::of(facts))
    }

    fn decoded(&self, aggregate: Aggregate, kinds: &[EventType]) -> Option<Decoded> {
        match aggregate {
            Aggregate::Participant => self.facts::<participant::Event>(kinds),
            Aggregate::Identity => self.facts::<identity::Event>(kinds),
            Aggregate::Privacy => self.facts::<privacy::Event>(kinds),
            Aggregate::Study => self.facts::<study::Event>(kinds),
            Aggregate::DesignPart => self.facts::<design_part::Event>(kinds),
            Aggregate::Randomisation => self.facts::<randomisation::Event>(kinds),
            Aggregate::Export => self.facts::<export::Event>(kinds),
            Aggregate::SubjectNumber => self.facts::<subject_number::Event>(kinds),
            Aggregate::Access => self.facts::<access::Event>(kinds),
            Aggregate::Incident => self.facts::<incident::Event>(kinds),
            Aggregate::User => self.facts::<user::Event>(kinds),
            Aggregate::Account => self.facts::<account::Event>(kinds),
        }
    }

    /// The events of a commit with these types, and its facts if they could be read already.
    ///
    /// # Errors
    /// A section is no JSON, or holds a value that has no place.
    pub fn into_events(
        self,
        aggregate: Aggregate,
        kinds: &[EventType],
    ) -> Result<(Vec<OpenEvent>, Decoded), Malformed> {
        if let Some(decoded) = self.decoded(aggregate, kinds) {
            let stored = Arc::new(Stored { sections: self, whole: OnceLock::new() });
            let body = |index| Body(Form::Stored(Arc::clone(&stored), index));
            let events =
                kinds.iter().enumerate().map(|(index, kind)| OpenEvent { kind: kind.clone(), body: body(index) });
            return Ok((events.collect(), decoded));
        }
        let (bodies, left) = self.whole()?;
        if left.values().any(|values| !values.is_empty()) {
            return Err(Malformed::at("values"));
        }
        let events = kinds.iter().zip(bodies).map(|(kind, body)| OpenEvent { kind: kind.clone(), body: body.into() });
        Ok((events.collect(), Decoded::default()))
    }
}

impl Body {
    /// The body as a tree of its own.
    pub fn to_value(&self) -> Value {
        Value::clone(self)
    }
}

impl Deref for Body {
    type Target = Value;

    fn deref(&self) -> &Value {
        match &self.0 {
            Form::Whole(value) => value,
            Form::Stored(stored, index) => stored.whole().get(*index).unwrap_or(&Value::Null),
        }
    }
}

impl DerefMut for Body {
    fn deref_mut(&mut self) -> &mut Value {
        if let Form::Stored(..) = &self.0 {
            self.0 = Form::Whole(self.to_value());
        }
        match &mut self.0 {
            Form::Whole(value) => value,
            Form::Stored(..) => unreachable!("it was made whole above"),
        }
    }
}

impl From<Value> for Body {
    fn from(value: Value) -> Self {
        Self(Form::Whole(value))
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::fmt(self, f)
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::serialize(self, serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CommandId;
    use crate::participant::{Event, FormKey, ItemKey, SavedItem, Source};
    use crate::scope::{DesignScoped, Erasable, Personal};
    use serde_json::json;

    fn saved(value: &str) -> Event {
        let item =
            ItemKey { group: "G".parse().expect("valid"), group_repeat: 1, item: "SYSBP".parse().expect("valid") };
        let value = crate::design::ItemValue(value.to_owned());
        let value = DesignScoped { scope: Scope::HealthClinical, part: Part::all(), value: Erasable::Known(value) };
        let part = Part::of_command(CommandId(uuid::Uuid::from_u128(1)), 0);
        let reason = Some(Personal::in_part(part, Erasable::Known("misread".to_owned())));
        let items = vec![SavedItem { item, value: Some(value), not_done: None, computed: false, reason }];
        let (visit, form) = ("V~1".parse().expect("valid"), "VS".parse().expect("valid"));
        Event::ItemsSaved {
            form: FormKey { visit, visit_repeat: 1, form, form_repeat: 1 },
            items,
            source: Source::User,
        }
    }

    /// Facts as they are sealed: apart, and as text. Sections of `gone` do not open.
    fn sections(facts: &[Event], gone: Option<Scope>) -> (Vec<EventType>, OpenedSections) {
        let mut bodies: Vec<Value> = facts.iter().map(Fact::write).collect();
        let values = body::split(&mut bodies).into_iter().filter(|((scope, _), _)| Some(*scope) != gone);
        let values = values.map(|(key, values)| (key, text(&values))).collect();
        let kinds = facts.iter().map(|fact| EventType { name: fact.name().to_owned(), version: fact.version() });
        (kinds.collect(), OpenedSections { events: bodies.iter().map(text).collect(), values })
    }

    fn text(value: &impl Serialize) -> Box<RawValue> {
        serde_json::value::to_raw_value(value).expect("JSON")
    }

    fn read_as_trees(events: &[OpenEvent]) -> Vec<Event> {
        let read = |event: &OpenEvent| Event::read(&event.kind.name, event.kind.version, &event.body).expect("reads");
        events.iter().map(read).collect()
    }

    #[test]
    fn facts_are_read_as_from_the_tree_and_the_tree_is_there_for_who_asks() {
        let facts = [saved("120"), Event::Restricted {}, saved("125")];
        for gone in [None, Some(Scope::HealthClinical), Some(Scope::HealthFreeText)] {
            let (kinds, opened) = sections(&facts, gone);
            let (trees, _) = opened.whole().expect("JSON");
            let (events, decoded) = opened.into_events(Aggregate::Participant, &kinds).expect("opens");
            assert_eq!(events.iter().map(|event| event.body.to_value()).collect::<Vec<_>>(), trees);
            assert_eq!(*decoded.facts::<Event>().expect("were read"), read_as_trees(&events), "without {gone:?}");
            assert_eq!(read_as_trees(&events) == facts, gone.is_none());
        }
    }

    #[test]
    fn an_old_shape_is_left_to_whoever_knows_it() {
        let (mut kinds, opened) = sections(&[saved("120")], None);
        kinds[0].version = 1;
        let (events, decoded) = opened.into_events(Aggregate::Participant, &kinds).expect("opens");
        assert!(decoded.facts::<Event>().is_none());
        assert_eq!(events[0].body["items"][0]["value"]["$personal"]["value"], "120");
    }

    #[test]
    fn a_value_without_a_place_is_refused() {
        let (kinds, mut opened) = sections(&[saved("120")], None);
        let more = text(&json!({"/0/items/7/value": "1"}));
        opened.values.push(((Scope::HealthOptional, Part::all()), more));
        let refused = opened.into_events(Aggregate::Participant, &kinds);
        assert_eq!(refused.expect_err("it belongs nowhere").at, "values");
    }
}
