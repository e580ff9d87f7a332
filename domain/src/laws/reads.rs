//! Random histories of the access log and of incidents.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use time::macros::{date, datetime};
use uuid::Uuid;

use super::world::{World, text};
use crate::Moment;
use crate::access::{self, AccessLog, Outcome, People, Purpose, Reflects, Seen};
use crate::history::{Aggregate, StreamId};
use crate::ids::{ParticipantId, ReadId, UserId};
use crate::incident::{self, Alert, Finding, Incident, Rule};
use crate::permit::Sites;
use crate::scope::Scope;
use crate::testing::tenant;

const AT: Moment = Moment(datetime!(2026-11-22 12:00 UTC));

fn seen() -> impl Strategy<Value = Box<Seen>> {
    let outcomes =
        select(vec![Outcome::Shown, Outcome::Forbidden, Outcome::NotFound, Outcome::BeyondSite, Outcome::Erased]);
    let people = prop::collection::vec((1..4_u128).prop_map(|n| ParticipantId(Uuid::from_u128(n))), 0..3);
    (outcomes, select(Purpose::ALL.to_vec()), people, any::<bool>()).prop_map(|(outcome, purpose, people, whole)| {
        Box::new(Seen {
            view: "participant.casebook".parse().expect("valid"),
            outcome,
            purpose,
            study: whole.then(|| "cardio".parse().expect("valid")),
            participants: People(people),
            everybody_at: whole.then_some(Sites::All),
            user: None,
            export: None,
            scopes: vec![Scope::HealthClinical],
            reflects: Some(Reflects { incarnation: 1, sequence: 7 }),
            session: None,
            ticket: None,
            trace: None,
        })
    })
}

impl World for AccessLog {
    fn commands() -> BoxedStrategy<access::Command> {
        let reads = (1..4_u128).prop_map(|n| ReadId(Uuid::from_u128(n)));
        (reads, seen(), option::of(text()), option::of(text()))
            .prop_map(|(read, seen, address, agent)| access::Command::Record { read, at: AT, seen, address, agent })
            .boxed()
    }

    fn governing() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn stream() -> StreamId {
        AccessLog::stream(&tenant(), UserId(Uuid::from_u128(1)), date!(2026 - 11 - 22), 1)
    }

    fn compares_values(_: &access::Command) -> bool {
        false
    }
}

impl World for Incident {
    fn commands() -> BoxedStrategy<incident::Command> {
        let open = select(Rule::ALL.to_vec()).prop_map(|rule| incident::Command::Open {
            alert: Alert { rule, user: None, count: 3, limit: 3, since: AT, until: AT },
        });
        let findings = select(vec![Finding::FalseAlarm, Finding::Breach]);
        let references = select(vec![None, Some("CTRL-7".parse().expect("valid"))]);
        prop_oneof![
            3 => open,
            2 => Just(incident::Command::Acknowledge {}),
            1 => (findings, references).prop_map(|(finding, reference)| incident::Command::Close { finding, reference }),
        ]
        .boxed()
    }

    fn governing() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn stream() -> StreamId {
        StreamId::in_tenant(&tenant(), Aggregate::Incident, Uuid::from_u128(11))
    }

    fn compares_values(_: &incident::Command) -> bool {
        false
    }
}
