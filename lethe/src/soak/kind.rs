//! The kinds of faults, and where each can happen.

use std::fmt;
use std::str::FromStr;

/// Where the platform under test has its journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// On a nats-server of its own, which it supervises.
    Own,
    /// On a nats-server of others, behind a proxy.
    Server,
    /// On three nats-servers of others, each behind a proxy.
    Cluster,
}

impl On {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Own, Self::Server, Self::Cluster];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Server => "server",
            Self::Cluster => "cluster",
        }
    }
}

impl FromStr for On {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|on| on.name() == text);
        found.ok_or_else(|| format!("one of: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `serve` is killed (SIGKILL), and started again later.
    KillServe,
    /// A nats-server is killed (SIGKILL). What supervises it starts it again.
    KillNats,
    /// `serve` is stopped (SIGSTOP), and goes on later.
    StopServe,
    /// A nats-server is stopped (SIGSTOP), and goes on later.
    StopNats,
    /// The disk with a journal is full.
    FullJournal,
    /// The disk with the read models, the checkpoints and the key map is full.
    FullReads,
    /// Every fsync of `serve` takes longer.
    SlowDisk,
    /// The clock of `serve` jumps, hours ahead or back; half of the time it is started anew with it.
    Clock,
    /// Connections to nats-servers are cut, and new ones refused.
    Cut,
    /// What goes over these connections arrives late.
    Delay,
    /// One direction of these connections is closed.
    HalfClose,
    /// Nothing gets through, without a word; later it arrives.
    Silence,
    /// What nats-servers answer never arrives, though what they are told does.
    LostReplies,
    /// The server that leads the study's journal is killed.
    KillLeader,
    /// The leader of the study's journal is told to step down.
    StepDown,
    /// A bit is flipped on the disk of one server, while that is down.
    FlipBit,
}

/// What a fault is about. Two at once are about different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Serve,
    ItsDisk,
    Servers,
    Wire,
    /// Needs everything else to be whole.
    Alone,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::KillServe,
        Self::KillNats,
        Self::StopServe,
        Self::StopNats,
        Self::FullJournal,
        Self::FullReads,
        Self::SlowDisk,
        Self::Clock,
        Self::Cut,
        Self::Delay,
        Self::HalfClose,
        Self::Silence,
        Self::LostReplies,
        Self::KillLeader,
        Self::StepDown,
        Self::FlipBit,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillServe => "kill-serve",
            Self::KillNats => "kill-nats",
            Self::StopServe => "stop-serve",
            Self::StopNats => "stop-nats",
            Self::FullJournal => "full-journal",
            Self::FullReads => "full-reads",
            Self::SlowDisk => "slow-disk",
            Self::Clock => "clock",
            Self::Cut => "cut",
            Self::Delay => "delay",
            Self::HalfClose => "half-close",
            Self::Silence => "silence",
            Self::LostReplies => "lost-replies",
            Self::KillLeader => "kill-leader",
            Self::StepDown => "step-down",
            Self::FlipBit => "flip-bit",
        }
    }

    /// Whether it can happen to a platform there.
    pub fn fits(self, on: On) -> bool {
        match self {
            Self::Cut | Self::Delay | Self::HalfClose | Self::Silence | Self::LostReplies => on != On::Own,
            Self::KillLeader | Self::StepDown | Self::FlipBit => on == On::Cluster,
            _ => true,
        }
    }

    fn target(self) -> Target {
        match self {
            Self::KillServe | Self::StopServe | Self::Clock => Target::Serve,
            Self::FullReads | Self::SlowDisk => Target::ItsDisk,
            Self::KillNats | Self::StopNats | Self::FullJournal | Self::KillLeader => Target::Servers,
            Self::Cut | Self::Delay | Self::HalfClose | Self::Silence | Self::LostReplies => Target::Wire,
            Self::StepDown | Self::FlipBit => Target::Alone,
        }
    }

    /// Whether both may be there at once.
    pub(super) fn goes_with(self, other: Self, on: On) -> bool {
        let (one, two) = (self.target(), other.target());
        // A nats-server that `serve` supervises goes with it.
        let goes_too =
            on == On::Own && [self, other].contains(&Self::KillServe) && [one, two].contains(&Target::Servers);
        one != two && one != Target::Alone && two != Target::Alone && !goes_too
    }

    /// Those that a list names: names with commas between them, or `all` that fit.
    ///
    /// # Errors
    /// A name that is none, or of one that cannot happen there.
    pub fn list(text: &str, on: On) -> Result<Vec<Self>, String> {
        if text == "all" {
            return Ok(Self::ALL.into_iter().filter(|kind| kind.fits(on)).collect());
        }
        let one = |name: &str| {
            let kind: Self = name.trim().parse()?;
            if kind.fits(on) { Ok(kind) } else { Err(format!("{kind} cannot happen with --on {}", on.name())) }
        };
        text.split(',').map(one).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("`{text}` is none of: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_faults_that_can_happen_there() {
        assert_eq!(Kind::list("kill-serve, cut", On::Server), Ok(vec![Kind::KillServe, Kind::Cut]));
        assert!(Kind::list("cut", On::Own).unwrap_err().contains("--on own"));
        assert!(Kind::list("fire", On::Own).unwrap_err().contains("kill-serve"));
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
    }
}
