//! One round: write, strike, recover, check. And the end of all.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use super::cast::{Cast, Clients, TENANT};
use super::field::Field;
use super::history::{Finding, Person, Wrong};
use super::kind::Kind;
use super::plan::{Blow, Plan, Round};
use super::reach::{Reach, Said};
use super::strike::Struck;
use super::tide::Tide;
use super::write::{LEAVING, STAYING, invent};
use super::{Outcome, Soak, check};
use crate::cli::{ApiError, CliError, Client};

/// How often a fault that needs it is kept up.
const KEEP_UP: Duration = Duration::from_millis(100);

/// Of how many one leaves.
const LEAVERS: u32 = 5;

/// After how many rounds all read models are built anew and compared, between the first and the last.
const REBUILD_EVERY: u32 = 10;

impl Soak {
    pub(super) async fn round(&mut self, plan: &Plan, number: u32, round: &Round) -> Result<(), CliError> {
        let leavers = plan.participants.div_ceil(LEAVERS);
        let mut people: Vec<Person> = (0..plan.participants).map(|n| invent(number, n, n < leavers)).collect();
        self.enrol(&mut people[..leavers as usize]).await?;
        self.write_and_strike(&mut people, round).await?;
        let clients = self.clients()?;
        check::clear_doubts(&clients, &mut people).await?;
        let position = check::position_now(&clients, number).await?;
        let (findings, completed) = check::all(&clients, &people, &position).await?;
        self.outcome.findings.extend(findings);
        self.outcome.erasures_completed += completed;
        self.outcome.erasures += people.iter().filter(|person| asked(person)).count();
        self.outcome.acknowledged += people.iter().map(acknowledged).sum::<usize>();
        self.outcome.rounds += 1;
        self.people.append(&mut people);
        let hit_reads = round.blows.iter().any(|blow| blow.kind == Kind::FullReads);
        if hit_reads || self.outcome.rounds.is_multiple_of(REBUILD_EVERY) {
            self.rebuild().await?;
        }
        Ok(())
    }

    /// Those who leave have everything stored before, so that there is something to forget.
    async fn enrol(&self, leavers: &mut [Person]) -> Result<(), CliError> {
        let (reach, tide, said) = (Reach::new(self.clients()?), Tide::new(), Said::default());
        let written = join_all(leavers.iter_mut().map(|person| person.write(&reach, &tide, &said))).await;
        written.into_iter().collect::<Result<(), ApiError>>()?;
        leavers.iter_mut().for_each(Person::leave);
        Ok(())
    }

    /// Everybody writes side by side; when so many commands are acknowledged as the plan says, the faults strike.
    async fn write_and_strike(&mut self, people: &mut [Person], round: &Round) -> Result<(), CliError> {
        let planned: usize = people.iter().map(|person| person.plan.len()).sum();
        // After the first erasure is approved, so that there is one under way in every round.
        let moment = LEAVING + planned.saturating_sub(LEAVING) * round.percent / 100;
        let (reach, tide, said) = (Reach::new(self.clients()?), Tide::new(), Said::default());
        let staying = people.iter().filter(|person| person.erasure.is_none()).count() * STAYING;
        let leaving = people.len() - staying / STAYING;
        // One leaves after the other, so that the faults find erasures at every step; the first before all else.
        let begins = |n: usize| if n < leaving { staying * 9 / 10 * n / leaving } else { LEAVING };
        let writers = people.iter_mut().enumerate().map(|(n, person)| {
            let (reach, tide, said) = (&reach, &tide, &said);
            async move {
                tide.reaches(begins(n)).await;
                person.write(reach, tide, said).await
            }
        });
        let (field, cast, outcome) = (&mut self.field, &self.cast, &mut self.outcome);
        let striking = async {
            tide.reaches(moment).await;
            strike(field, round, cast, &reach, outcome).await
        };
        let writing = async {
            let written = join_all(writers).await;
            tide.end();
            written.into_iter().collect::<Result<(), ApiError>>().map_err(CliError::from)
        };
        // A platform that does not come back is told at once, not when the last writer has given up.
        tokio::try_join!(writing, striking)?;
        let failures = said.take();
        self.outcome.in_doubt += failures.in_doubt;
        self.outcome.unavailable += failures.unavailable;
        self.outcome.findings.extend(failures.findings);
        Ok(())
    }

    async fn rebuild(&mut self) -> Result<(), CliError> {
        let server = self.field.server()?;
        let operator = Client::new(&server.url, &server.operator_token);
        self.outcome.rebuild_differences += check::rebuild(&operator, TENANT).await?;
        self.outcome.rebuilds += 1;
        Ok(())
    }

    /// Everybody of all rounds once more, the counts, a rebuild, the whole record; then `serve` must end in order.
    pub(super) async fn end(mut self) -> Result<Outcome, CliError> {
        let clients = self.clients()?;
        if self.outcome.findings.is_empty() {
            let position = check::position_now(&clients, self.outcome.rounds).await?;
            let (findings, completed) = check::all(&clients, &self.people, &position).await?;
            self.outcome.findings = findings;
            self.outcome.erasures_completed = completed;
            // A mark was registered at the end of each round, and one now.
            let registered = self.people.iter().filter(|person| person.has(|sent| sent.name() == "register")).count();
            let marks = self.outcome.rounds as usize + 1;
            self.outcome.findings.extend(check::counts(&clients, &position, registered + marks, completed).await?);
        }
        self.rebuild().await?;
        let (code, said) = self.field.verify_settled().await?;
        if code != Some(0) {
            let what = format!("lethe verify journal (exit {code:?}): {said}");
            self.outcome.findings.push(Finding { wrong: Wrong::NotLinear, what });
        }
        if self.field.server.take().is_none_or(|server| !server.stop()) {
            return Err(CliError::failed("serve", "it did not end in order"));
        }
        Ok(self.outcome)
    }

    fn clients(&self) -> Result<Clients, CliError> {
        Ok(self.cast.at(self.field.server()?))
    }
}

/// Begins and ends each fault at its time, then waits until the platform is back.
async fn strike(
    field: &mut Field,
    round: &Round,
    cast: &Cast,
    reach: &Reach,
    outcome: &mut Outcome,
) -> Result<(), CliError> {
    let begun = Instant::now();
    let mut under_way: Vec<(Blow, Struck)> = Vec::new();
    let mut waiting = round.blows.clone();
    let mut killed = None;
    while !waiting.is_empty() || !under_way.is_empty() {
        let now = begun.elapsed();
        if let Some(next) = waiting.iter().position(|blow| blow.begins <= now) {
            let blow = waiting.remove(next);
            let struck = field.begin(&blow).await.map_err(|error| error.during(format!("{} begins", blow.kind)))?;
            if blow.kind == Kind::KillNats {
                killed = struck.pid;
            }
            *outcome.faults.entry(blow.kind).or_default() += 1;
            if field.server.is_some() {
                reach.moved(cast.at(field.server()?));
            }
            under_way.push((blow, struck));
        } else if let Some(over) = under_way.iter().position(|(blow, _)| blow.begins + blow.lasts <= now) {
            let (blow, struck) = under_way.remove(over);
            let findings = field.end(&struck).await.map_err(|error| error.during(format!("{} ends", blow.kind)))?;
            outcome.findings.extend(findings);
        } else {
            for (_, struck) in &under_way {
                field.keep_up(struck)?;
            }
            sleep(KEEP_UP).await;
        }
    }
    if let Some(status) = field.server.as_mut().and_then(super::Server::ended) {
        field.server = None;
        let what = format!("round with {round}: serve ended by itself ({status})");
        outcome.findings.push(Finding { wrong: Wrong::Down, what });
    }
    if field.server.is_none() {
        field.serve().await?;
    }
    reach.moved(cast.at(field.server()?));
    field.settle(killed).await
}

fn acknowledged(person: &Person) -> usize {
    person.sent.iter().filter(|sent| sent.answer.is_some()).count()
}

fn asked(person: &Person) -> bool {
    person.has(|sent| sent.name() == "request-erasure")
}
