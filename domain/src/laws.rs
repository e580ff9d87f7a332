//! What holds for every aggregate, tried on random histories.
//!
//! A history is made by sending random commands, some of them followed by the one that the state asks for; so every
//! history here is one that could happen. [`world`] says for each aggregate which commands there are.

use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use time::macros::datetime;
use uuid::Uuid;

use crate::body;
use crate::decider::{Command as _, Context, Decider, Recorded};
use crate::field::Fact;
use crate::history::{Aggregate, Revision, Tail};
use crate::ids::CommandId;
use crate::permit::Principal;
use crate::rejection::Rejection;
use crate::scope::Scope;

mod accounts;
mod blinded;
mod reads;
mod signed;
mod tables;
mod world;

use world::World;

/// Somebody sends something.
#[derive(Debug, Clone)]
struct Act<C> {
    who: Principal,
    /// None: what the state asks for.
    command: Option<C>,
    /// Whether with the right `If-Match`.
    tagged: bool,
}

/// A history that happened, and what was sent to make it.
struct Played<W: World> {
    above: Above<W>,
    facts: Vec<(Revision, W::Event)>,
    sent: Vec<(usize, Act<W::Command>)>,
}

/// What governs an aggregate, and the rules that hold beside.
type Above<W> = (<W as Decider>::Governing, <W as Decider>::Rules);

fn acts<W: World>() -> impl Strategy<Value = (Above<W>, Vec<Act<W::Command>>)> {
    let command = prop_oneof![2 => W::commands().prop_map(Some), 1 => Just(None)];
    let act =
        (world::principals(), command, any::<bool>()).prop_map(|(who, command, tagged)| Act { who, command, tagged });
    ((W::governing(), W::rules()), prop::collection::vec(act, 1..60))
}

/// Runs `ask` with the context in which the `n`th command is decided.
fn ask<W: World>(state: &W, n: usize, act: &Act<W::Command>, (governing, rules): &Above<W>) -> Option<Answer<W>> {
    let command = act.command.clone().or_else(|| state.asks_for())?;
    let stream = W::stream();
    let context = Context {
        now: datetime!(2026-11-22 12:00 UTC),
        captured_at: datetime!(2026-11-22 12:00 UTC),
        principal: &act.who,
        command: CommandId(Uuid::from_u128(n as u128 + 1)),
        stream: &stream,
        tail: Tail::default(),
        expected: act.tagged.then(|| state.tag(&command, Revision::NONE)),
        governing,
        rules,
    };
    Some((state.decide(&command, &context), command))
}

type Answer<W> = (Result<Vec<<W as Decider>::Event>, <W as Decider>::Rejection>, <W as Decider>::Command);

fn play<W: World>(above: Above<W>, acts: Vec<Act<W::Command>>) -> Played<W> {
    let mut state = W::default();
    let mut facts = Vec::new();
    let mut sent = Vec::new();
    for (n, act) in acts.into_iter().enumerate() {
        let Some((answer, command)) = ask(&state, n, &act, &above) else {
            continue;
        };
        let revision = Revision(n as u64 + 1);
        let recorded = Recorded { actor: act.who.actor.id, ..revision.into() };
        for event in answer.into_iter().flatten() {
            state.evolve(&event, recorded);
            facts.push((revision, event));
        }
        sent.push((n, Act { command: Some(command), ..act }));
    }
    Played { above, facts, sent }
}

fn fold<W: World>(facts: &[(Revision, W::Event)]) -> W {
    let mut state = W::default();
    facts.iter().for_each(|(revision, event)| state.evolve(event, (*revision).into()));
    state
}

/// The facts as they are read once `scopes` are erased.
fn without<F: Fact>(facts: &[(Revision, F)], scopes: &BTreeSet<Scope>) -> Vec<(Revision, F)> {
    let erase = |(revision, fact): &(Revision, F)| {
        let mut bodies = vec![fact.write()];
        let mut sections = body::split(&mut bodies);
        sections.retain(|(scope, _), _| !scopes.contains(scope));
        body::join(&mut bodies, &mut sections);
        (*revision, F::read(fact.name(), fact.version(), &bodies[0]).expect("an erased fact is read as well"))
    };
    facts.iter().map(erase).collect()
}

/// The state without its values: `Erasable` prints whether a value is known and never the value.
fn structure(state: &impl Debug) -> String {
    format!("{state:?}").replace("Known(…)", "Erased")
}

fn every_fact_is_read_as_it_was_written<W: World>(played: &Played<W>, scopes: &BTreeSet<Scope>) {
    for facts in [&played.facts, &without(&played.facts, scopes)] {
        for (_, fact) in facts {
            let read = W::Event::read(fact.name(), fact.version(), &fact.write());
            assert_eq!(read.as_ref(), Ok(fact), "{}", fact.name());
        }
    }
    assert_eq!(without(&played.facts, &BTreeSet::new()), played.facts, "taken apart and put together");
}

fn the_structure_survives_every_erasure<W: World>(played: &Played<W>, scopes: &BTreeSet<Scope>) {
    let whole: W = fold(&played.facts);
    let erased: W = fold(&without(&played.facts, scopes));
    assert_eq!(structure(&whole), structure(&erased));
    // A damaged journal is found elsewhere; here it is enough that no order of facts breaks the fold.
    let backwards: Vec<_> = played.facts.iter().rev().cloned().collect();
    assert_eq!(structure(&fold::<W>(&backwards)), structure(&fold::<W>(&without(&backwards, scopes))));
}

/// Where no value is compared, an erasure changes no decision; where one is, it ends in an answer all the same.
fn no_decision_hangs_on_an_erased_value<W: World>(played: &Played<W>, scopes: &BTreeSet<Scope>) {
    let whole: W = fold(&played.facts);
    let erased: W = fold(&without(&played.facts, scopes));
    for (n, act) in &played.sent {
        let (Some((before, command)), Some((after, _))) =
            (ask(&whole, *n, act, &played.above), ask(&erased, *n, act, &played.above))
        else {
            continue;
        };
        if !W::compares_values(&command) {
            let code = |refused: W::Rejection| refused.code();
            assert_eq!(before.map_err(code), after.map_err(code), "{}", command.name());
        }
    }
}

/// Carried out once, a command does nothing more, whatever else is true by then.
fn no_command_is_carried_out_twice<W: World>(played: &Played<W>) {
    let mut state = W::default();
    for (n, act) in &played.sent {
        let Some((Ok(facts), command)) = ask(&state, *n, act, &played.above) else {
            continue;
        };
        let recorded = Recorded { actor: act.who.actor.id, ..Revision(*n as u64 + 1).into() };
        facts.iter().for_each(|fact| state.evolve(fact, recorded));
        // What was refused, and stored as that, may be tried again: each attempt is one.
        if W::refusal(&facts).is_some() {
            continue;
        }
        if let Some((Ok(again), _)) = ask(&state, *n, &Act { tagged: true, ..act.clone() }, &played.above) {
            assert_eq!(again, vec![], "{} twice", command.name());
        }
    }
}

/// No value stands in a structure, in what is printed of facts, commands and states, or in a refusal.
fn no_value_is_seen_outside_its_section<W: World>(played: &Played<W>) {
    let mut seen = vec![format!("{:?} {:?}", played.facts, fold::<W>(&played.facts))];
    let mut bodies: Vec<_> = played.facts.iter().map(|(_, fact)| fact.write()).collect();
    body::split(&mut bodies);
    seen.extend(bodies.iter().map(ToString::to_string));
    for (n, act) in &played.sent {
        let Some((answer, command)) = ask(&fold::<W>(&played.facts), *n, act, &played.above) else {
            continue;
        };
        seen.push(format!("{command:?}"));
        if let Err(refused) = answer {
            seen.push(format!("{refused} {refused:?} {:?}", refused.faults()));
        }
    }
    for text in seen {
        assert!(!world::CANARIES.iter().any(|canary| text.contains(canary)), "{text}");
    }
}

fn a_command_is_named_as_it_is_sent<W: World>(played: &Played<W>) {
    for command in played.sent.iter().filter_map(|(_, act)| act.command.as_ref()) {
        let sent = serde_json::to_value(command).expect("commands are plain data");
        assert_eq!(sent["type"], command.name());
        let read: W::Command = serde_json::from_value(sent.clone()).expect("what is sent is read");
        // What never comes from a body (who signs, what was checked) is not sent, so it is not compared.
        assert_eq!(serde_json::to_value(&read).expect("commands are plain data"), sent);
    }
}

/// Random histories that left out a fact or a command would prove nothing about it.
fn the_histories_leave_nothing_out<W: World>() {
    let mut runner = TestRunner::deterministic();
    let (mut facts, mut commands) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..4000 {
        let (above, acts) = acts::<W>().new_tree(&mut runner).expect("a history").current();
        let played = play::<W>(above, acts);
        facts.extend(played.facts.iter().map(|(_, fact)| (fact.name(), fact.version())));
        commands
            .extend(played.sent.iter().filter_map(|(_, act)| act.command.as_ref()).map(|one| one.name().to_owned()));
    }
    assert_eq!(facts, W::Event::TYPES.iter().copied().collect());
    assert_eq!(commands, tables::names_of::<W::Command>());
}

macro_rules! laws {
    ($($module:ident: $aggregate:ty;)+) => {
        $(mod $module {
            use super::*;

            #[test]
            fn leave_nothing_out() {
                the_histories_leave_nothing_out::<$aggregate>();
            }

            proptest! {
                #[test]
                fn keep_the_laws((above, acts) in acts::<$aggregate>(), scopes in world::scopes()) {
                    let played = play::<$aggregate>(above, acts);
                    every_fact_is_read_as_it_was_written(&played, &scopes);
                    the_structure_survives_every_erasure(&played, &scopes);
                    no_decision_hangs_on_an_erased_value(&played, &scopes);
                    no_command_is_carried_out_twice(&played);
                    no_value_is_seen_outside_its_section(&played);
                    a_command_is_named_as_it_is_sent(&played);
                }
            }
        })+

        /// Every aggregate's command names, and a check that none is left out here.
        fn command_names() -> Vec<(Aggregate, BTreeSet<String>)> {
            let all = vec![$((
                <<$aggregate as Decider>::Event as Fact>::AGGREGATE,
                tables::names_of::<<$aggregate as Decider>::Command>(),
            )),+];
            assert_eq!(all.iter().map(|(aggregate, _)| *aggregate).collect::<Vec<_>>(), Aggregate::ALL);
            all
        }
    };
}

laws! {
    study: crate::study::Study;
    design_part: crate::design_part::DesignPart;
    participant: crate::participant::Participant;
    identity: crate::identity::Identity;
    privacy: crate::privacy::Privacy;
    user: crate::user::User;
    account: crate::account::Account;
    randomisation: crate::randomisation::Randomisation;
    subject_number: crate::subject_number::SubjectNumber;
    export: crate::export::Export;
    access: crate::access::AccessLog;
    incident: crate::incident::Incident;
}

proptest! {
    /// Whatever happens in whatever order: nothing is granted that is held, nothing is granted twice, and every
    /// scope that is refused has a ground with a date or a hold.
    #[test]
    fn a_hold_and_an_erasure_never_pass_each_other((above, acts) in acts::<crate::privacy::Privacy>()) {
        use crate::privacy::{Privacy, RefusalGround};
        let played = play::<Privacy>(above, acts);
        for end in 0..=played.facts.len() {
            // The facts of one decision are one commit: nobody sees the state between them.
            if played.facts.get(end).is_some_and(|(next, _)| end > 0 && played.facts[end - 1].0 == *next) {
                continue;
            }
            let state: Privacy = fold(&played.facts[..end]);
            let granted: Vec<Scope> = state.erasures.values().flat_map(|erasure| erasure.granted().scopes).collect();
            prop_assert!(!granted.iter().any(|scope| state.hold_on(*scope).is_some()));
            prop_assert_eq!(granted.iter().collect::<BTreeSet<_>>().len(), granted.len());
            let values: Vec<_> = state.erasures.values().flat_map(|erasure| erasure.granted().values).collect();
            prop_assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), values.len());
            let (person, study) = &played.above;
            let today = crate::Day(time::macros::date!(2026 - 11 - 22));
            let retained = |scope: &Scope| study.retention_of(*scope, None, &person.milestones, today).is_some();
            prop_assert!(!granted.iter().any(retained));
            let waiting = state.erasures.values().filter(|erasure| !erasure.has_begun());
            let mut open = waiting.clone().flat_map(|erasure| erasure.granted().values);
            // A hold on a scope comes too late for a value of it that is gone; it keeps all others.
            prop_assert!(!open.any(|value| state.hold_on(value.scope).is_some()));
            let kept = state.restriction.is_some_and(|ground| ground.keeps());
            prop_assert!(!kept || waiting.clone().all(|erasure| erasure.granted().is_empty()));
            let refused = state.erasures.values().filter_map(|erasure| erasure.assessment()).flat_map(|one| &one.refused);
            for one in refused {
                let told = match one.ground {
                    RefusalGround::LegalHold => one.hold.is_some() && one.until.is_some(),
                    RefusalGround::Restriction => true,
                    _ => one.rule.is_some() && (one.until.is_some() != one.after.is_some()),
                };
                prop_assert!(told, "{:?}", one);
            }
        }
    }
}
