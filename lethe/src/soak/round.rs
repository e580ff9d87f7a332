//! One round: write, kill, start again, check. And the end of all.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::cast::{Clients, TENANT};
use super::history::Person;
use super::tide::Tide;
use super::write::{LEAVING, STAYING, invent};
use super::{Outcome, Plan, Server, Soak, check};
use crate::cli::{ApiError, CliError, Client};

/// How long writers may wait for an answer after a kill, and a nats-server may take to be started again.
const PATIENCE: Duration = Duration::from_secs(120);

const POLL: Duration = Duration::from_millis(20);

/// Of how many one leaves.
const LEAVERS: u32 = 5;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Serve,
    NatsServer,
}

impl Victim {
    /// In turn; the seed says who is first.
    fn of(seed: u64, round: u32) -> Self {
        if (seed ^ u64::from(round)) & 1 == 0 { Self::Serve } else { Self::NatsServer }
    }
}

impl Soak {
    pub(super) async fn round(&mut self, plan: &Plan, round: u32) -> Result<(), CliError> {
        let leavers = plan.participants.div_ceil(LEAVERS);
        let mut people: Vec<Person> = (0..plan.participants).map(|n| invent(round, n, n < leavers)).collect();
        self.enrol(&mut people[..leavers as usize]).await?;
        let planned: usize = people.iter().map(|person| person.plan.len()).sum();
        // After the first erasure is approved, so that there is one under way in every round.
        let moment = LEAVING + self.chance.up_to((planned * 9 / 10).saturating_sub(LEAVING));
        self.write_and_kill(&mut people, Victim::of(plan.seed, round), moment).await?;
        let clients = self.clients()?;
        self.outcome.cut_off += people.iter().map(unanswered).sum::<usize>();
        check::clear_doubts(&clients, &mut people).await?;
        let position = check::position_now(&clients, round).await?;
        let (faults, completed) = check::all(&clients, &people, &position).await?;
        self.outcome.faults.extend(faults);
        self.outcome.erasures_completed += completed;
        self.outcome.erasures += people.iter().filter(|person| asked(person)).count();
        self.outcome.acknowledged += people.iter().map(acknowledged).sum::<usize>();
        self.outcome.rounds += 1;
        self.people.append(&mut people);
        Ok(())
    }

    /// Those who leave have everything stored before, so that there is something to forget.
    async fn enrol(&self, leavers: &mut [Person]) -> Result<(), CliError> {
        let (clients, tide) = (self.clients()?, Tide::new());
        let written = join_all(leavers.iter_mut().map(|person| person.write(&clients, &tide))).await;
        written.into_iter().collect::<Result<(), ApiError>>()?;
        if let Some(person) = leavers.iter().find(|person| unanswered(person) > 0) {
            return Err(CliError::unavailable(format!("{} was not answered though nothing was killed", person.at)));
        }
        leavers.iter_mut().for_each(Person::leave);
        Ok(())
    }

    /// Everybody writes side by side; when `moment` commands are acknowledged, the victim is killed and started again.
    async fn write_and_kill(&mut self, people: &mut [Person], victim: Victim, moment: usize) -> Result<(), CliError> {
        let (clients, tide) = (self.clients()?, Tide::new());
        let staying = people.iter().filter(|person| person.erasure.is_none()).count() * STAYING;
        let leaving = people.len() - staying / STAYING;
        // One leaves after the other, so that the kill finds erasures at every step; the first before all else.
        let begins = |n: usize| if n < leaving { staying * 9 / 10 * n / leaving } else { LEAVING };
        let writers = people.iter_mut().enumerate().map(|(n, person)| {
            let (clients, tide) = (&clients, &tide);
            async move { if tide.reaches(begins(n)).await { person.write(clients, tide).await } else { Ok(()) } }
        });
        let killing = async {
            let reached = tide.reaches(moment).await;
            tide.end();
            if reached {
                self.kill(victim).await
            } else {
                Err(CliError::unavailable("the writing stopped before the kill"))
            }
        };
        let writing = async {
            let written = tokio::select! {
                written = join_all(writers) => written.into_iter().collect::<Result<(), ApiError>>().map_err(CliError::from),
                () = silence(&tide) => Err(CliError::unavailable("after the kill a command got neither an answer nor an end")),
            };
            tide.end();
            written
        };
        let (written, killed) = tokio::join!(writing, killing);
        written?;
        self.recover(killed?).await
    }

    /// Kills the victim. Returns the process id of the nats-server, if that was it.
    async fn kill(&mut self, victim: Victim) -> Result<Option<u32>, CliError> {
        match victim {
            Victim::Serve => {
                self.server.take().map_or_else(|| Err(gone()), Server::kill)?;
                self.outcome.kills_of_serve += 1;
                Ok(None)
            }
            Victim::NatsServer => {
                let pid = self.server()?.kill_nats_server()?;
                self.outcome.kills_of_nats_server += 1;
                Ok(Some(pid))
            }
        }
    }

    /// Starts `serve` again; a nats-server it must start again by itself.
    async fn recover(&mut self, nats_server: Option<u32>) -> Result<(), CliError> {
        if self.server.is_none() {
            self.server = Some(self.ground.serve().await?);
        }
        let server = self.server()?;
        let deadline = Instant::now() + PATIENCE;
        while server.nats_server().is_none_or(|pid| Some(pid) == nats_server) {
            if Instant::now() > deadline {
                return Err(CliError::unavailable("the nats-server that was killed is not started again"));
            }
            tokio::time::sleep(POLL).await;
        }
        check::ready(&server.url).await
    }

    /// Everybody of all rounds once more, the counts, a rebuild; then `serve` must end in order.
    pub(super) async fn end(mut self) -> Result<Outcome, CliError> {
        let clients = self.clients()?;
        if self.outcome.faults.is_empty() {
            let position = check::position_now(&clients, self.outcome.rounds).await?;
            let (faults, completed) = check::all(&clients, &self.people, &position).await?;
            self.outcome.faults = faults;
            self.outcome.erasures_completed = completed;
            // A mark was registered at the end of each round, and one now.
            let registered = self.people.iter().filter(|person| person.has(|sent| sent.name() == "register")).count();
            let marks = self.outcome.rounds as usize + 1;
            self.outcome.faults.extend(check::counts(&clients, &position, registered + marks, completed).await?);
        }
        let server = self.server()?;
        let operator = Client::new(&server.url, &server.operator_token);
        self.outcome.rebuild_differences = check::rebuild(&operator, TENANT).await?;
        if self.server.take().is_none_or(|server| !server.stop()) {
            return Err(CliError::failed("serve", "it did not end in order"));
        }
        Ok(self.outcome)
    }

    fn server(&self) -> Result<&Server, CliError> {
        self.server.as_ref().ok_or_else(gone)
    }

    fn clients(&self) -> Result<Clients, CliError> {
        Ok(self.cast.at(self.server()?))
    }
}

fn gone() -> CliError {
    CliError::unavailable("serve is not running")
}

/// Comes back when nothing has happened for long after the kill.
async fn silence(tide: &Tide) {
    tide.ended().await;
    tokio::time::sleep(PATIENCE).await;
}

fn acknowledged(person: &Person) -> usize {
    person.sent.iter().filter(|sent| sent.answer.is_some()).count()
}

/// How much was sent without an answer, or not sent at all.
fn unanswered(person: &Person) -> usize {
    person.plan.len() + person.sent.len() - acknowledged(person)
}

fn asked(person: &Person) -> bool {
    person.has(|sent| sent.name() == "request-erasure")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_killed_in_turn_and_the_seed_says_who_is_first() {
        let victims = |seed| std::array::from_fn::<_, 4, _>(|round| Victim::of(seed, round as u32));
        use Victim::*;
        assert_eq!(victims(2), [Serve, NatsServer, Serve, NatsServer]);
        assert_eq!(victims(7), [NatsServer, Serve, NatsServer, Serve]);
    }
}
