//! What is done to whom and when: follows from the seed alone, so that it can be done again.

use std::fmt;
use std::time::Duration;

use super::chance::Chance;
use super::kind::{Kind, On};

/// One fault, planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blow {
    /// What happens.
    pub kind: Kind,
    /// How long after the round's moment it begins.
    pub begins: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// Which server, which way, how much: what each kind draws from it.
    pub choice: u64,
}

/// The faults of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// They begin when so many of a hundred commands are acknowledged.
    pub percent: usize,
    /// One, or two that overlap.
    pub blows: Vec<Blow>,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:>2} %:", self.percent)?;
        for (n, blow) in self.blows.iter().enumerate() {
            let (begins, lasts) = (blow.begins.as_secs_f32(), blow.lasts.as_secs_f32());
            write!(f, "{} {} for {lasts:.1} s", if n == 0 { "" } else { " and" }, blow.kind)?;
            if n > 0 {
                write!(f, " from +{begins:.1} s")?;
            }
        }
        Ok(())
    }
}

/// How long and how hard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where the journals are.
    pub on: On,
    /// Which faults happen: each once before one happens again.
    pub kinds: Vec<Kind>,
    /// How many rounds, each with one fault or two.
    pub rounds: u32,
    /// How many participants are written about side by side in a round; at least two.
    pub participants: u32,
    /// How long a fault may last.
    pub longest: Duration,
    /// Everything else follows from it.
    pub seed: u64,
}

/// The shortest a fault lasts.
const SHORTEST_MS: u64 = 200;

/// How long most of them last at most.
const COMMON_MS: u64 = 3_000;

impl Plan {
    /// The faults of all rounds.
    pub fn all(&self) -> Vec<Round> {
        let mut chance = Chance::of(self.seed);
        let mut waiting: Vec<Kind> = Vec::new();
        (0..self.rounds).map(|_| self.one(&mut chance, &mut waiting)).collect()
    }

    fn one(&self, chance: &mut Chance, waiting: &mut Vec<Kind>) -> Round {
        let percent = 5 + chance.up_to(75);
        let mut blows: Vec<Blow> = Vec::new();
        let first = self.next(chance, waiting, |_| true);
        blows.extend(first.map(|kind| self.blow(chance, kind, Duration::ZERO)));
        if chance.up_to(3) == 1
            && let Some(first) = blows.first().copied()
            && let Some(kind) = self.next(chance, waiting, |kind| first.kind.goes_with(kind, self.on))
        {
            let within = chance.up_to(first.lasts.as_millis() as usize) as u64;
            blows.push(self.blow(chance, kind, Duration::from_millis(within)));
        }
        Round { percent, blows }
    }

    /// Takes one that is still waiting for its turn. When all had theirs, all wait again.
    fn next(&self, chance: &mut Chance, waiting: &mut Vec<Kind>, fits: impl Fn(Kind) -> bool) -> Option<Kind> {
        if waiting.is_empty() {
            waiting.clone_from(&self.kinds);
        }
        let fitting: Vec<usize> = (0..waiting.len()).filter(|n| fits(waiting[*n])).collect();
        if fitting.is_empty() {
            return None;
        }
        Some(waiting.remove(fitting[chance.up_to(fitting.len()) - 1]))
    }

    fn blow(&self, chance: &mut Chance, kind: Kind, begins: Duration) -> Blow {
        let longest = (self.longest.as_millis() as u64).max(SHORTEST_MS);
        // One of six lasts as long as it may: longer than the platform's patience, if that is allowed.
        let most = if chance.up_to(6) == 1 { longest } else { longest.min(COMMON_MS) };
        let least = if most > COMMON_MS { most * 3 / 4 } else { SHORTEST_MS };
        let lasts = least + chance.up_to((most - least + 1) as usize) as u64 - 1;
        Blow { kind, begins, lasts: Duration::from_millis(lasts), choice: chance.any() }
    }

    /// The command that does the same again.
    pub fn command(&self) -> String {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        format!(
            "lethe soak --on {} --faults {} --seed {} --rounds {} --participants {} --longest {}",
            self.on.name(),
            kinds.join(","),
            self.seed,
            self.rounds,
            self.participants,
            self.longest.as_secs()
        )
    }
}

/// A line for each round.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |(n, round): (usize, Round)| format!("{:>4} {round}", n + 1);
        f.write_str(&self.all().into_iter().enumerate().map(line).collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64, on: On) -> Plan {
        let kinds = Kind::list("all", on).unwrap();
        Plan { on, kinds, rounds: 60, participants: 10, longest: Duration::from_secs(25), seed }
    }

    fn blows(plan: &Plan) -> Vec<Blow> {
        plan.all().into_iter().flat_map(|round| round.blows).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_one_another() {
        assert_eq!(plan(7, On::Cluster).all(), plan(7, On::Cluster).all());
        assert_ne!(plan(7, On::Cluster).all(), plan(8, On::Cluster).all());
        let (long, short) = (plan(7, On::Own), Plan { rounds: 9, ..plan(7, On::Own) });
        assert_eq!(long.all()[..9], short.all(), "fewer rounds are the same rounds");
    }

    #[test]
    fn every_fault_has_its_turn_before_one_comes_again() {
        for on in On::ALL {
            let plan = plan(3, on);
            let mut first: Vec<Kind> = blows(&plan)[..plan.kinds.len()].iter().map(|blow| blow.kind).collect();
            first.sort_unstable();
            assert_eq!(first, plan.kinds, "{}", on.name());
        }
    }

    #[test]
    fn two_at_once_are_about_different_things_and_overlap() {
        let rounds: Vec<Round> = (0..40).flat_map(|seed| plan(seed, On::Cluster).all()).collect();
        let pairs: Vec<&Round> = rounds.iter().filter(|round| round.blows.len() == 2).collect();
        assert!(pairs.len() > 200, "{}", pairs.len());
        for pair in pairs {
            let [one, other] = pair.blows[..] else { unreachable!() };
            assert!(one.kind.goes_with(other.kind, On::Cluster) && one.kind != Kind::FlipBit, "{pair}");
            assert!(other.begins <= one.lasts, "{pair}");
        }
        let own = (0..40).flat_map(|seed| plan(seed, On::Own).all());
        let killed = own.filter(|round| round.blows.iter().any(|blow| blow.kind == Kind::KillServe));
        assert!(killed.flat_map(|round| round.blows).all(|blow| blow.kind != Kind::KillNats), "it is dead already");
        assert!(rounds.iter().all(|round| (1..=80).contains(&round.percent) && !round.blows.is_empty()));
    }

    #[test]
    fn faults_last_as_long_as_they_may_and_some_outlast_the_platform() {
        let all: Vec<Blow> = (0..40).flat_map(|seed| blows(&plan(seed, On::Server))).collect();
        assert!(all.iter().all(|blow| (SHORTEST_MS..=25_000).contains(&(blow.lasts.as_millis() as u64))));
        assert!(all.iter().any(|blow| blow.lasts > Duration::from_secs(20)));
        let short = Plan { longest: Duration::from_secs(1), ..plan(1, On::Server) };
        assert!(blows(&short).iter().all(|blow| blow.lasts <= Duration::from_secs(1)));
    }

    #[test]
    fn the_command_that_repeats_it_says_all_of_it() {
        let command = plan(7, On::Own).command();
        for part in
            ["--on own", "--seed 7", "--rounds 60", "--participants 10", "--longest 25", "kill-serve,kill-nats,"]
        {
            assert!(command.contains(part), "{command}");
        }
    }
}
