//! Participants' states between commands: that they save reading, and that nobody can tell otherwise.

use domain::history::DataSubject;
use domain::port::Keys as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::states::States;

fn command(json: Value) -> participant::Command {
    serde_json::from_value(json).expect("a command")
}

fn save(item: &str, value: &str) -> participant::Command {
    let item = json!({"group": "G", "item": item, "value": value, "reason": "it was read again"});
    command(json!({"type": "save-items", "visit": "V1", "form": "VS", "items": [item]}))
}

fn consent() -> participant::Command {
    command(json!({"type": "give-consent", "version": "1"}))
}

/// A client of one process.
struct Client<'a>(&'a Commands, &'a Tenant);

impl Client<'_> {
    fn request(&self) -> Request {
        self.0.request(person(Role::Investigator, 1))
    }

    async fn send(&self, command: &participant::Command) -> Result<Done, Refusal> {
        self.send_as(command, &self.request()).await
    }

    async fn send_as(&self, command: &participant::Command, request: &Request) -> Result<Done, Refusal> {
        self.0.execute::<Participant>(self.1, &participant(1), command, request).await
    }

    /// Sends what changes the form as it was left by this revision.
    async fn send_after(&self, tag: u64, command: &participant::Command) -> Result<Done, Refusal> {
        let request = Request { expected: Some(Revision(tag)), ..self.request() };
        self.send_as(command, &request).await
    }

    async fn enrol(&self) {
        for command in [register(1), consent()] {
            self.send(&command).await.expect("taken");
        }
    }
}

fn told(result: &Result<Done, Refusal>) -> String {
    match result {
        Ok(done) => format!("{done:?}"),
        Err(refusal) => format!("{refusal:?}"),
    }
}

#[tokio::test]
async fn a_write_to_a_known_stream_reads_nothing_and_an_answer_without_a_write_reads_the_news() {
    let (world, commands, tenant, _) = live_study().await;
    let client = Client(&commands, &tenant);
    client.enrol().await;
    let before = world.loads();
    client.send(&save("SYSBP", "120")).await.expect("saved");
    assert_eq!(world.loads() - before, 0);
    assert_eq!(client.send(&save("SYSBP", "120")).await.expect("so already").events, 0);
    assert_eq!(world.loads() - before, 2, "the news of the stream and of the study");
    let refused = client.send(&save("SYSBP", "a word")).await;
    assert!(matches!(refused, Err(Refusal::Rejected(_))), "{refused:?}");
    assert_eq!(world.loads() - before, 4);
}

#[tokio::test]
async fn what_another_process_writes_is_seen_whatever_the_answer() {
    let (world, commands, tenant, _) = live_study().await;
    let other = another_process(&world);
    let (here, there) = (Client(&commands, &tenant), Client(&other, &tenant));
    here.enrol().await;
    there.send(&save("SYSBP", "120")).await.expect("saved");
    let done = here.send(&save("SYSBP", "120")).await.expect("so already");
    assert_eq!((done.revision.0, done.tag.0, done.events), (3, 3, 0), "nothing to do: the other process did it");

    there.send_after(3, &save("AETERM", "headache")).await.expect("saved");
    let refused = here.send_after(3, &save("SYSBP", "130")).await;
    assert!(refused.is_err(), "somebody touched the form since: {refused:?}");
    let done = here.send_after(4, &save("SYSBP", "130")).await.expect("saved");
    assert_eq!(done.revision.0, 5);

    there.send_after(5, &save("AETERM", "nausea")).await.expect("saved");
    let done = here.send_after(6, &save("SYSBP", "140")).await.expect("decided anew behind the other one");
    assert_eq!((done.revision.0, done.tag.0), (7, 7));

    there.send(&command(json!({"type": "withdraw-consent"}))).await.expect("withdrawn");
    let refused = here.send_after(7, &save("SYSBP", "150")).await;
    assert!(matches!(refused, Err(Refusal::Rejected(_))), "the consent is gone: {refused:?}");
    let events = world.events(&participant(1));
    assert_eq!(events.iter().filter(|event| *event == "items-saved").count(), 5, "{events:?}");
}

#[tokio::test]
async fn a_freeze_by_another_process_is_seen() {
    let (world, commands, tenant, _) = live_study().await;
    let other = another_process(&world);
    let here = Client(&commands, &tenant);
    here.enrol().await;
    here.send(&save("SYSBP", "120")).await.expect("saved");
    let study = StreamId::in_study(&acme(), &cardio(), Aggregate::Study, cardio());
    let freeze = domain::study::Command::FreezeData { site: None, reason: None };
    let manager = other.request(person(Role::DataManager, 2));
    other.execute::<Study>(&tenant, &study, &freeze, &manager).await.expect("frozen");
    let refused = here.send_after(3, &save("AETERM", "headache")).await;
    let Err(Refusal::Rejected(answer)) = refused else { panic!("not refused: {refused:?}") };
    assert_eq!(domain::rejection::Rejection::code(&answer), "frozen");
}

#[tokio::test]
async fn a_command_is_carried_out_once_whether_its_state_is_kept_gone_or_of_another_process() {
    let (world, commands, tenant, _) = live_study().await;
    let client = Client(&commands, &tenant);
    client.enrol().await;
    let request = client.request();
    let first = client.send_as(&save("SYSBP", "120"), &request).await.expect("saved");
    client.send_after(3, &save("AETERM", "headache")).await.expect("saved");
    let written = world.commits();
    let (restarted, person) = (another_process(&world), DataSubject(Uuid::from_u128(1)));
    for round in ["kept", "gone", "kept again"] {
        assert_eq!(client.send_as(&save("SYSBP", "120"), &request).await.expect("as before"), first, "{round}");
        let other_body = client.send_as(&save("SYSBP", "121"), &request).await;
        assert!(matches!(other_body, Err(Refusal::KeyReused)), "{round}: {other_body:?}");
        if round == "kept" {
            commands.states.forget(person);
        }
    }
    let restarted = Client(&restarted, &tenant);
    for round in ["cold", "warm"] {
        assert_eq!(restarted.send_as(&save("SYSBP", "120"), &request).await.expect("as before"), first, "{round}");
    }
    assert_eq!(world.commits(), written, "nothing was written twice");
}

#[tokio::test]
async fn after_a_fence_nothing_that_was_opened_before_it_is_used_or_kept() {
    let (world, commands, tenant, _) = live_study().await;
    let client = Client(&commands, &tenant);
    client.enrol().await;
    client.send(&save("SYSBP", "120")).await.expect("saved");
    assert_eq!(commands.states.held().0, 1);
    let scope = domain::scope::Scope::HealthClinical;
    let target = domain::port::Target { data_subject: DataSubject(Uuid::from_u128(1)), scope, part: None };
    world.fence(&[target]).await.expect("fenced");
    // What stands there can no longer be compared with, so the same value is no longer what is there already.
    let result = client.send(&save("SYSBP", "120")).await;
    assert!(result.is_err(), "{result:?}");
    client.send(&consent()).await.expect("so already");
    assert_eq!(commands.states.held().0, 1, "kept as it is opened now");
    world.fence(&[]).await.expect("fenced");
    commands.sweep().await;
    assert_eq!(commands.states.held(), (0, 0), "what is not vouched for leaves memory");
    client.send(&consent()).await.expect("so already");
    world.set_down("key tree", true);
    commands.sweep().await;
    assert_eq!(commands.states.held(), (0, 0), "nor stays what nobody can vouch for");
}

/// A marker takes what earlier commits say, also for who has not heard of the fence yet.
#[tokio::test]
async fn behind_a_marker_nothing_is_known_of_what_it_took() {
    let scope = domain::scope::Scope::HealthClinical;
    let marker = command(json!({"type": "fence", "erasure": Uuid::from_u128(9), "scopes": [scope], "values": []}));
    for marked_here in [true, false] {
        let (world, commands, tenant, _) = live_study().await;
        let other = another_process(&world);
        let client = Client(&commands, &tenant);
        client.enrol().await;
        client.send(&save("SYSBP", "120")).await.expect("saved");
        world.set_deaf();
        let target = domain::port::Target { data_subject: DataSubject(Uuid::from_u128(1)), scope, part: None };
        world.fence(&[target]).await.expect("fenced");
        let principal = Principal::system(acme(), Environment::Test);
        let marked = Request { principal, ..client.request() };
        let by = if marked_here { &commands } else { &other };
        Client(by, &tenant).send_as(&marker, &marked).await.expect("marked");
        assert_eq!(commands.states.held().0, usize::from(!marked_here));
        let told = client.send_after(3, &save("SYSBP", "120")).await;
        assert!(told.is_err(), "it was told that this is what stands there: {told:?}");
    }
}

/// What happens to the participant, or around.
#[derive(Debug, Clone)]
enum Act {
    Send { by: usize, what: participant::Command, expected: Option<u64> },
    Again { by: usize, of: usize },
    Freeze(bool),
    Restrict(bool),
    Fence(domain::scope::Scope),
    Forget,
}

fn act() -> impl Strategy<Value = Act> {
    let what = prop_oneof![
        4 => ("(SYSBP|AETERM)", "(120|121|a word)").prop_map(|(item, value)| save(&item, &value)),
        1 => Just(consent()),
        1 => Just(command(json!({"type": "withdraw-consent"}))),
        1 => (1..4_u8).prop_map(|day| command(
            json!({"type": "start-visit", "visit": "V1", "on": format!("2026-01-0{day}"), "reason": "it was misread"})
        )),
        1 => Just(command(json!({"type": "complete-form", "visit": "V1", "form": "VS"}))),
        1 => Just(command(json!({"type": "reopen-form", "visit": "V1", "form": "VS", "reason": "more came"}))),
    ];
    let scope = prop_oneof![Just(domain::scope::Scope::HealthClinical), Just(domain::scope::Scope::HealthFreeText),];
    prop_oneof![
        12 => (0..2_usize, what, proptest::option::weighted(0.5, 0..12_u64))
            .prop_map(|(by, what, expected)| Act::Send { by, what, expected }),
        2 => (0..2_usize, 0..8_usize).prop_map(|(by, of)| Act::Again { by, of }),
        1 => any::<bool>().prop_map(Act::Freeze),
        1 => any::<bool>().prop_map(Act::Restrict),
        1 => scope.prop_map(Act::Fence),
        1 => Just(Act::Forget),
    ]
}

/// Two processes over one world, with states kept or not.
struct Site {
    world: Arc<World>,
    processes: [Arc<Commands>; 2],
    tenant: Arc<Tenant>,
    sent: Vec<(participant::Command, Request)>,
}

impl Site {
    async fn new(keeps: bool) -> Self {
        let (world, _, tenant, _) = live_study().await;
        let process = || {
            let mut commands = another_process(&world);
            if !keeps {
                Arc::get_mut(&mut commands).expect("held by nobody else yet").states = States::bounded(0, 0);
            }
            commands
        };
        let processes = [process(), process()];
        let site = Self { world, processes, tenant, sent: vec![] };
        Client(&site.processes[0], &site.tenant).enrol().await;
        site
    }

    async fn system(&self, command: Value) -> String {
        let principal = Principal::system(acme(), Environment::Test);
        let request = Request { principal, ..self.processes[1].request(person(Role::Investigator, 1)) };
        let command = self::command(command);
        told(&self.processes[1].execute::<Participant>(&self.tenant, &participant(1), &command, &request).await)
    }

    async fn play(&mut self, act: &Act) -> String {
        match act {
            Act::Send { by, what, expected } => {
                let client = Client(&self.processes[*by], &self.tenant);
                let request = Request { expected: expected.map(Revision), ..client.request() };
                let result = client.send_as(what, &request).await;
                self.sent.push((what.clone(), request));
                told(&result)
            }
            Act::Again { by, of } => match self.sent.get(*of) {
                Some((what, request)) => told(&Client(&self.processes[*by], &self.tenant).send_as(what, request).await),
                None => String::new(),
            },
            Act::Freeze(on) => {
                let study = StreamId::in_study(&acme(), &cardio(), Aggregate::Study, cardio());
                let kind = if *on { "freeze-data" } else { "unfreeze-data" };
                let command: domain::study::Command =
                    serde_json::from_value(json!({"type": kind, "reason": "a review"})).expect("a command");
                let request = self.processes[1].request(person(Role::DataManager, 2));
                told(&self.processes[1].execute::<Study>(&self.tenant, &study, &command, &request).await)
            }
            Act::Restrict(on) => {
                let kind = if *on { "restrict" } else { "lift-restriction" };
                self.system(json!({"type": kind})).await
            }
            Act::Fence(scope) => {
                let data_subject = DataSubject(Uuid::from_u128(1));
                let target = domain::port::Target { data_subject, scope: *scope, part: None };
                self.world.fence(&[target]).await.expect("fenced");
                self.system(json!({"type": "fence", "erasure": Uuid::from_u128(9), "scopes": [scope], "values": []}))
                    .await
            }
            Act::Forget => {
                self.processes.iter().for_each(|process| process.states.forget(DataSubject(Uuid::from_u128(1))));
                String::new()
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whoever_keeps_states_answers_and_writes_as_one_who_keeps_none(acts in proptest::collection::vec(act(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (mut keeping, mut plain) = (Site::new(true).await, Site::new(false).await);
            for (n, act) in acts.iter().enumerate() {
                let (one, other) = (keeping.play(act).await, plain.play(act).await);
                prop_assert_eq!(one, other, "act {} of {:?}", n, &acts);
            }
            prop_assert_eq!(keeping.world.events(&participant(1)), plain.world.events(&participant(1)));
            prop_assert!(plain.processes.iter().all(|process| process.states.held().0 == 0));
            Ok(())
        })?;
    }
}
