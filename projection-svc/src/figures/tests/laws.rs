//! What holds for the figures of any history. Facts come in any order here: a fold is total.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::decider::Fold as _;
use domain::history::Aggregate;
use domain::participant::{
    Blocker, Ending, Event, FormKey, ItemKey, NotDone, Participant, Place, SavedItem, Source, VisitKey, readiness,
};
use domain::permit::Sites;
use domain::scope::{DesignScoped, Erasable, Part, Personal, Scope};
use proptest::prelude::*;
use serde_json::Value;

use super::made::{asked, day, design, fired, item, key, live, signed, started};
use super::{NOON, figures};
use crate::figures::answer::Wanted;
use crate::figures::{Figures, Happenings, Moment, lock, plan};
use crate::fold::{Stores, model};
use crate::testing::{Story, World};
use crate::{projection::Projection as _, tables};

/// What happens next: to whom, what, to which of its things, and how many hours after what was before.
type Next = (u128, u8, u8, u8);

fn happenings() -> impl Strategy<Value = Vec<Next>> {
    prop::collection::vec((1..4_u128, 0..26_u8, 0..8_u8, 0..60_u8), 1..50)
}

fn told(happenings: &[Next]) -> Story {
    let mut story = live();
    let mut now = day(0);
    let (mut seen, mut saved_before) = (BTreeSet::new(), BTreeSet::new());
    for (n, what, which, hours) in happenings {
        now += time::Duration::hours(i64::from(*hours));
        story.at(now);
        if seen.insert(*n) {
            story.registered(*n, if n % 2 == 0 { "oslo" } else { "bergen" });
            if *n < 3 {
                story.participant(*n, Event::DesignAssigned { design: design().hash() });
            }
        }
        let event = event(*what, *which, now.date());
        if happens(*n, &event, &mut saved_before) {
            story.participant(*n, event);
        }
    }
    story
}

/// Nobody verifies what is not there. All else may come in any order.
fn happens(n: u128, event: &Event, saved: &mut BTreeSet<(u128, FormKey, ItemKey)>) -> bool {
    match event {
        Event::ItemsSaved { form, items, .. } => {
            saved.extend(items.iter().map(|saved| (n, form.clone(), saved.item.clone())));
            true
        }
        Event::Verified { form, items } => items.iter().all(|item| saved.contains(&(n, form.clone(), item.clone()))),
        _ => true,
    }
}

fn event(what: u8, which: u8, today: time::Date) -> Event {
    let form = form(which);
    let text = || Personal::new("so".to_owned());
    let query = if which < 4 { "q1" } else { "q2" };
    let named = || query.parse().expect("valid");
    let items = || vec![key(ITEMS[usize::from(which) % 4])];
    match what {
        0 => Event::ConsentGiven { version: "1.0".parse().expect("valid"), reference: None },
        1 | 2 => started(["SCREEN", "V1"][usize::from(which) % 2], today - time::Duration::days(i64::from(which))),
        3 => Event::VisitMissed { visit: VisitKey { visit: form.visit, visit_repeat: 1 }, reason: text() },
        4..=8 => Event::ItemsSaved { form, items: saved(what, which), source: Source::User },
        9 | 10 => Event::FormCompleted { form },
        11 => Event::FormReopened { form, reason: text() },
        12 => Event::FormRemoved { form, reason: text() },
        13 => Event::FormRestored { form, reason: text() },
        14 => asked(query, if which < 4 { item("SYSBP") } else { Place::Participant }),
        15 => Event::QueryAnswered { query: named(), text: text() },
        16 => Event::QueryClosed { query: named(), by_check: which.is_multiple_of(2), text: None },
        17 => Event::QueryReopened { query: named(), text: text() },
        18 => Event::Verified { form, items: items() },
        19 => Event::VerificationReset { form, items: items() },
        20 => signed(if which < 4 { "s1" } else { "s2" }, &form),
        21 => Event::SignatureDropped {
            signature: if which < 4 { "s1" } else { "s2" }.parse().expect("valid"),
            place: Place::Form(form),
        },
        22 => fired("SYSBP"),
        24 if which < 4 => Event::ParticipationEnded {
            how: Ending::ALL[usize::from(which)],
            on: Personal::new(domain::Day(today)),
            reason: Some(text()),
        },
        24 | 25 => Event::ParticipationResumed { reason: text() },
        _ if which == 0 => Event::Withdrawn { reason: None },
        _ => Event::ConsentWithdrawn { version: "1.0".parse().expect("valid"), reason: None },
    }
}

const ITEMS: [&str; 4] = ["SYSBP", "PULSE", "NOTE", "PULSE"];

fn form(which: u8) -> FormKey {
    let (visit, form) = [("SCREEN", "VS"), ("V1", "VS"), ("V1", "AE"), ("V1", "LAB")][usize::from(which) % 4];
    let parsed = |text: &str| text.parse().expect("valid");
    FormKey { visit: parsed(visit), visit_repeat: 1, form: parsed(form), form_repeat: 1 }
}

/// A value, one not done, or one cleared; sometimes in a second occurrence of the group.
fn saved(what: u8, which: u8) -> Vec<SavedItem> {
    let value = |text: &str| DesignScoped {
        scope: Scope::HealthClinical,
        part: Part::all(),
        value: Erasable::Known(domain::design::ItemValue(text.to_owned())),
    };
    let item = ItemKey { group_repeat: 1 + u32::from(which) / 6, ..key(ITEMS[usize::from(which) % 4]) };
    let (value, not_done) = match what {
        4 => (None, None),
        5 => (None, Some(NotDone::NotDone)),
        _ => (Some(value("120")), None),
    };
    vec![SavedItem { item, value, not_done, computed: what == 6 && which > 5, reason: None }]
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// A world in which the first `until` commits were taken in.
async fn folded(story: &Story, until: usize) -> World {
    let mut before = story.clone();
    before.commits.truncate(until);
    let world = World::told(&before);
    take(&world, &before, 0).await;
    world
}

async fn take(world: &World, story: &Story, from: usize) {
    let stores = Stores { store: world.store.clone(), cells: world.cells.clone() };
    let table = tables::live_table(world.store.as_ref(), Happenings::NAME).expect("was prepared");
    let mut fold = model::<Happenings>().fold(&stores, table, &story.journal()).expect("reads");
    for commit in &story.commits[from..] {
        fold.take(commit).await.expect("folds");
    }
    fold.flush().await.expect("writes");
}

/// `expected` is the sum of the four states, wherever it stands.
fn forms_add_up(figures: &Value) {
    let completeness = &figures["completeness"];
    let lines = completeness["sites"].as_array().expect("sites").iter().chain([&completeness["total"]]);
    for line in lines {
        let count = |name: &str| line[name].as_u64().expect("a count");
        let sum = count("not_started") + count("in_progress") + count("complete") + count("not_applicable");
        assert_eq!(count("expected"), sum, "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// As of any commit, each figure is what a read model shows that has seen nothing after it, on that day.
    #[test]
    fn as_of_a_position_is_a_fold_of_what_was_before((happenings, cut) in (happenings(), any::<prop::sample::Index>())) {
        let story = told(&happenings);
        run(async {
            let until = 1 + cut.index(story.commits.len());
            let last = &story.commits[until - 1];
            let whole = folded(&story, story.commits.len()).await;
            let before = folded(&story, until).await;
            let moment = Moment::Position(last.position.sequence);
            let as_of = figures(&whole, &Figures::default(), moment, &Sites::All).await;
            let then = figures(&before, &Figures::default(), Moment::Now(last.header.stored_at), &Sites::All).await;
            assert_eq!(as_of, then);
            forms_add_up(&as_of);
            // Time tells commits of the same moment not apart, so it is asked for the last of them.
            let all_of_it = story.commits.iter().rposition(|one| one.header.stored_at == last.header.stored_at);
            let then = folded(&story, 1 + all_of_it.expect("is there")).await;
            let then = figures(&then, &Figures::default(), Moment::Now(last.header.stored_at), &Sites::All).await;
            let as_of = figures(&whole, &Figures::default(), Moment::Time(last.header.stored_at), &Sites::All).await;
            assert_eq!(as_of, then);
        });
    }

    /// What is kept and taken further is what is computed from nothing.
    #[test]
    fn what_is_kept_is_what_is_computed((happenings, cut) in (happenings(), any::<prop::sample::Index>())) {
        let story = told(&happenings);
        run(async {
            let until = cut.index(story.commits.len());
            let world = folded(&story, until).await;
            let kept = Figures::default();
            figures(&world, &kept, Moment::Now(NOON), &Sites::All).await;
            world.journal.tell(&story.commits[until..]);
            take(&world, &story, until).await;
            let kept = figures(&world, &kept, Moment::Now(NOON), &Sites::All).await;
            assert_eq!(kept, figures(&world, &Figures::default(), Moment::Now(NOON), &Sites::All).await);
        });
    }

    /// What hinders a lock is what the rule of the lock finds in the record, but for what stands under a condition.
    #[test]
    fn what_hinders_is_what_the_lock_finds(happenings in happenings()) {
        let story = told(&happenings);
        run(async {
            let world = folded(&story, story.commits.len()).await;
            let snapshot = Figures::default().snapshot(&world.tenant, &Story::study_id(), Moment::Now(NOON)).await;
            let snapshot = snapshot.expect("reads");
            let design = design();
            let wanted = Wanted { sites: &Sites::All, site: None, names: None };
            for (id, person, plan) in plan::people(&snapshot.state, &snapshot.plans, &wanted) {
                let mut record = Participant::default();
                let of_record = story.commits.iter().filter(|commit| {
                    let stream = &commit.header.stream;
                    stream.aggregate == Aggregate::Participant && stream.id == id.to_string()
                });
                of_record.for_each(|commit| record.apply(commit).expect("folds"));
                let found: BTreeSet<Blocker> = lock::of(person, plan.expect("a plan"), &snapshot.state.names).into_iter().collect();
                let rule: BTreeSet<Blocker> = readiness(record.record().expect("registered"), &design).into_iter().collect();
                assert_eq!(found, rule);
            }
        });
    }
}

/// A state that others still read is not changed under them.
#[test]
fn a_snapshot_stays_as_it_is() {
    let story = told(&[(1, 0, 0, 0), (2, 0, 0, 1), (2, 7, 0, 1)]);
    run(async {
        let world = folded(&story, story.commits.len() - 1).await;
        let kept = Figures::default();
        let before = kept.snapshot(&world.tenant, &Story::study_id(), Moment::Now(NOON)).await.expect("reads");
        let as_it_was = (*before.state).clone();
        world.journal.tell(&story.commits[story.commits.len() - 1..]);
        take(&world, &story, story.commits.len() - 1).await;
        let after = kept.snapshot(&world.tenant, &Story::study_id(), Moment::Now(NOON)).await.expect("reads");
        assert_eq!(*before.state, as_it_was);
        assert!(!Arc::ptr_eq(&before.state, &after.state) && after.sequence() > before.sequence());
    });
}
