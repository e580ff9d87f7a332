//! Each fault: how it begins and how it ends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::history::JournalId;
use domain::ids::TenantId;
use infra::journal::{Replicas, connect};
use infra::nats_server::NatsElsewhere;

use super::cast::TENANT;
use super::field::Field;
use super::history::{Finding, Wrong};
use super::kind::Kind;
use super::plan::Blow;
use super::proxy::{Way, Weather};
use super::server::{parent, signal};
use crate::cli::CliError;
use crate::demo::study::STUDY;

/// A fault that has begun.
pub(super) struct Struck {
    kind: Kind,
    /// The nats-server whom it is about, where there are several.
    name: Option<String>,
    /// The process that was killed or stopped.
    pub(super) pid: Option<u32>,
}

/// The journal stream of the study, on the servers.
fn stream() -> String {
    format!("EVT_{TENANT}_{STUDY}")
}

impl Field {
    /// Begins a fault.
    pub(super) async fn begin(&mut self, blow: &Blow) -> Result<Struck, CliError> {
        let names = self.names();
        let chosen = (!names.is_empty()).then(|| names[blow.choice as usize % names.len()].clone());
        let mut struck = Struck { kind: blow.kind, name: chosen, pid: None };
        match blow.kind {
            Kind::KillServe => self.kill_serve()?,
            Kind::KillNats | Kind::KillLeader => self.kill_nats(&mut struck).await?,
            Kind::StopServe => struck.pid = Some(halt(self.server()?.pid())?),
            Kind::StopNats => struck.pid = Some(halt(self.nats_pid(struck.name.as_deref())?)?),
            Kind::FullJournal => self.disk_of(&struck)?.fill()?,
            Kind::FullReads => self.reads()?.fill()?,
            Kind::SlowDisk => self.shim()?.slow_down(Duration::from_millis(50 + blow.choice % 450))?,
            Kind::Clock => self.jump(blow.choice).await?,
            Kind::Cut => self.weather(blow, Weather::Cut),
            Kind::Delay => self.weather(blow, Weather::Delay(Duration::from_millis(5 + blow.choice % 195))),
            Kind::HalfClose => self.weather(blow, Weather::HalfClosed(way(blow.choice))),
            Kind::Silence => self.weather(blow, Weather::Silent),
            Kind::LostReplies => self.weather(blow, Weather::Mute),
            Kind::StepDown => self.step_down(blow.choice).await?,
            Kind::FlipBit => {
                let name = struck.name.clone().unwrap_or_default();
                self.servers()?.stop(&name).await?;
                flip(&self.stream_of(&name, &stream())?, blow.choice)?;
            }
        }
        Ok(struck)
    }

    /// What has to be done again and again while a fault lasts.
    pub(super) fn keep_up(&mut self, struck: &Struck) -> Result<(), CliError> {
        match struck.kind {
            Kind::FullJournal => self.disk_of(struck)?.fill(),
            Kind::FullReads => self.reads()?.fill(),
            _ => Ok(()),
        }
    }

    /// Ends a fault. `serve`, if it was killed, is started when all have ended. What is found on the way is returned.
    pub(super) async fn end(&mut self, struck: &Struck) -> Result<Vec<Finding>, CliError> {
        match struck.kind {
            Kind::KillServe | Kind::StepDown => {}
            Kind::KillNats | Kind::KillLeader => {
                if let (Some(name), Some(servers)) = (&struck.name, &mut self.servers) {
                    servers.relaunch(name)?;
                }
            }
            Kind::StopServe | Kind::StopNats => {
                // The own nats-server of a `serve` that was killed meanwhile may be gone with it, stopped as it was.
                if let Some(pid) = struck.pid
                    && !signal("CONT", pid)
                    && parent(pid).is_some()
                {
                    return Err(CliError::failed(format!("process {pid}"), "it cannot be told to go on"));
                }
            }
            Kind::FullJournal => return self.free_journal(struck).await,
            Kind::FullReads => self.reads()?.free()?,
            Kind::SlowDisk => self.shim()?.slow_down(Duration::ZERO)?,
            Kind::Clock => self.shim()?.move_clock(0)?,
            Kind::LostReplies => {
                // What waits to be delivered is lost with the connection.
                self.all_weather(Weather::Cut);
                self.all_weather(Weather::Clear);
            }
            Kind::Cut | Kind::Delay | Kind::HalfClose | Kind::Silence => self.all_weather(Weather::Clear),
            Kind::FlipBit => return self.name_and_refill(struck).await,
        }
        Ok(Vec::new())
    }

    fn kill_serve(&mut self) -> Result<(), CliError> {
        self.server.take().map_or_else(|| Err(CliError::unavailable("serve is not running")), super::Server::kill)
    }

    async fn kill_nats(&mut self, struck: &mut Struck) -> Result<(), CliError> {
        let Some(servers) = &mut self.servers else {
            struck.pid = Some(self.server()?.kill_nats_server()?);
            return Ok(());
        };
        if struck.kind == Kind::KillLeader {
            struck.name = Some(servers.leader(&stream()).await?);
        }
        servers.kill(struck.name.as_deref().unwrap_or_default()).await
    }

    /// Up to two days ahead or back; every other time `serve` is started anew with that clock.
    async fn jump(&mut self, choice: u64) -> Result<(), CliError> {
        let hours = 1 + i64::try_from(choice / 4 % 48).unwrap_or(0);
        self.shim()?.move_clock(if choice & 1 == 0 { hours } else { -hours } * 3600)?;
        if choice & 2 == 0 {
            self.kill_serve()?;
            self.serve_if_it_can().await?;
        }
        Ok(())
    }

    /// Half of the time all connections, otherwise those to one server.
    fn weather(&self, blow: &Blow, weather: Weather) {
        let one = (blow.choice / 8) as usize % self.proxies.len().max(1);
        let all = blow.choice & 4 == 0;
        self.proxies.iter().enumerate().filter(|(n, _)| all || *n == one).for_each(|(_, proxy)| proxy.set(weather));
    }

    fn all_weather(&self, weather: Weather) {
        self.proxies.iter().for_each(|proxy| proxy.set(weather));
    }

    /// Another server is to lead the study's journal.
    async fn step_down(&mut self, choice: u64) -> Result<(), CliError> {
        let servers = self.servers()?;
        let leader = servers.leader(&stream()).await?;
        let others: Vec<String> = servers.names().into_iter().filter(|name| *name != leader).collect();
        let urls: Vec<String> = servers.addresses().iter().map(|address| format!("nats://{address}")).collect();
        let nats = NatsElsewhere::new(&urls, servers.credentials(), None, 3).map_err(CliError::input)?;
        let logins = nats.credentials(TENANT).map_err(CliError::input)?;
        let service = connect(logins.service.connect_options(), &nats.url(), "lethe-soak").await?;
        let provisioner = connect(logins.provisioner.connect_options(), &nats.url(), "lethe-soak").await?;
        let tenant: TenantId = TENANT.parse().map_err(|_| CliError::input("the tenant"))?;
        let study = STUDY.parse().map_err(|_| CliError::input("the study"))?;
        let journal = JournalId { tenant: tenant.clone(), study: Some(study) };
        Ok(Replicas::new(service, provisioner, &tenant).lead(&journal, &others[choice as usize % others.len()]).await?)
    }

    /// A nats-server whose disk was full gives up JetStream until it is started again. The own one is looked after by
    /// `serve`; those of others by who runs them, and here that is this.
    async fn free_journal(&mut self, struck: &Struck) -> Result<Vec<Finding>, CliError> {
        self.disk_of(struck)?.free()?;
        if let (Some(name), Some(servers)) = (&struck.name, &mut self.servers) {
            servers.stop(name).await?;
            servers.relaunch(name)?;
        }
        Ok(Vec::new())
    }

    /// Whoever looks is told which server is damaged. Then it is emptied and fills itself from the others.
    async fn name_and_refill(&mut self, struck: &Struck) -> Result<Vec<Finding>, CliError> {
        let name = struck.name.clone().unwrap_or_default();
        self.servers()?.start(&name).await?;
        let (code, said) = self.verify_settled().await?;
        let is_named = code == Some(1) && said.lines().any(|line| line.contains(&name) && line.contains("damages"));
        let (stream, mut findings) = (self.stream_of(&name, &stream())?, Vec::new());
        let log = self.ground.folder.join("nats").join(format!("{name}.log"));
        if !is_named && !complains(&log) {
            let what =
                format!("the flipped bit on {name} was named neither by it nor by verify (exit {code:?}): {said}");
            findings.push(Finding { wrong: Wrong::Lost, what });
        }
        let servers = self.servers()?;
        servers.stop(&name).await?;
        std::fs::remove_dir_all(&stream).map_err(|error| CliError::failed(stream.display(), error))?;
        servers.start(&name).await?;
        let (code, said) = self.verify_settled().await?;
        if code != Some(0) {
            let what = format!("{name}, filled anew, is not whole (exit {code:?}): {said}");
            findings.push(Finding { wrong: Wrong::NotLinear, what });
        }
        Ok(findings)
    }

    fn disk_of(&mut self, struck: &Struck) -> Result<&mut super::disk::Disk, CliError> {
        let names = self.names();
        let index = names.iter().position(|name| Some(name) == struck.name.as_ref()).unwrap_or(0);
        self.journal_disks.get_mut(index).ok_or_else(|| CliError::unavailable("there is no disk to fill"))
    }

    fn reads(&mut self) -> Result<&mut super::disk::Disk, CliError> {
        self.reads_disk.as_mut().ok_or_else(|| CliError::unavailable("there is no disk to fill"))
    }

    fn shim(&self) -> Result<&super::shim::Shim, CliError> {
        self.shim.as_ref().ok_or_else(|| CliError::unavailable("serve has no shim"))
    }

    fn servers(&mut self) -> Result<&mut super::Servers, CliError> {
        self.servers.as_mut().ok_or_else(|| CliError::unavailable("there are no nats-servers of others"))
    }
}

/// Stops a process where it stands.
fn halt(pid: u32) -> Result<u32, CliError> {
    if signal("STOP", pid) { Ok(pid) } else { Err(CliError::failed(format!("process {pid}"), "it cannot be stopped")) }
}

fn way(choice: u64) -> Way {
    if choice & 1 == 0 { Way::ToServer } else { Way::ToClient }
}

/// Whether a nats-server said that something on its disk is not as it should be.
fn complains(log: &Path) -> bool {
    let log = std::fs::read_to_string(log).unwrap_or_default().to_lowercase();
    ["checksum", "corrupt", "bad msg", "truncat"].iter().any(|word| log.contains(word))
}

/// Flips a bit in the middle of what is stored: after the subject of a commit, and not of the last one.
fn flip(stream: &Path, choice: u64) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::failed(stream.display(), error);
    let mut blocks: Vec<PathBuf> = std::fs::read_dir(stream.join("msgs"))
        .map_err(failed)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "blk"))
        .collect();
    blocks.sort();
    let block = blocks.first().ok_or_else(|| CliError::failed(stream.display(), "it has no blocks"))?;
    let mut bytes = std::fs::read(block).map_err(failed)?;
    let subject = format!("evt.{TENANT}.{STUDY}.participant.");
    let starts: Vec<usize> = bytes
        .windows(subject.len())
        .enumerate()
        .filter(|(_, window)| *window == subject.as_bytes())
        .map(|(at, _)| at)
        .collect();
    let Some((_, earlier)) = starts.split_last().filter(|(_, earlier)| !earlier.is_empty()) else {
        return Err(CliError::failed(block.display(), "it holds too few commits to damage one"));
    };
    // Beyond the subject's end and the headers, before the next record.
    let at = earlier[choice as usize % earlier.len()] + subject.len() + 200;
    bytes[at] ^= 1 << (choice / 7 % 8);
    std::fs::write(block, bytes).map_err(failed)
}
