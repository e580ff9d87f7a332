//! Opening what is there: the NATS, then each tenant. Creates nothing.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use command_svc::erasure::{ErasureTrigger, ErasureWorker, OpenErasures};
use command_svc::{Commands, Watcher};
use domain::history::{Aggregate, DataSubject, JournalId, StreamId};
use domain::ids::{StudyId, TenantId};
use domain::permit::Sites;
use domain::port::{Cells, Dice, Failure, Journal, Ledger, Progress, ReadStore, Tenant, Tenants};
use door::{Door, Parts};
use infra::chance::SystemDice;
use infra::exports::ExportFolders;
use infra::journal::JetStreamJournal;
use infra::nats_server::{NatsServer, NatsServerOptions, TenantAccount, locate, locate_or_install};
use infra::off_site::{CopiedLedger, NoLedger};
use infra::oidc::FileProviders;
use infra::passkeys::SystemPasskeys;
use infra::seal::Sealer;
use infra::secrets::SystemSecrets;
use infra::store::{Engine, Opening};
use projection_svc::{JournalState, Runner, Visible, erasures, participants, studies};
use query_api::access::AccessLog;

use super::backup_watch::BackupWatch;
use super::credentials::TokenCredentials;
use super::data_dir::DataDir;
use super::elsewhere::{Elsewhere, Vault};
use super::inner::Inner;
use super::nats::Nats;
use super::operations::{Figures, Rebuilds};
use super::reauthentication::AskedAnew;
use super::record::Record;
use super::registry::{Open, Registry};
use super::restore::RestoreNote;
use super::second_door::SecondDoors;
use super::{Options, StartError};

/// How often a long start says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Opens everything under the data directory.
pub(super) async fn all(options: &Options) -> Result<Inner, StartError> {
    options.elsewhere.refuse_inside(&options.data_dir)?;
    let providers = match &options.providers {
        Some(file) => FileProviders::read(file, Arc::clone(&options.clock))?,
        None => FileProviders::none(Arc::clone(&options.clock)),
    };
    let data_dir = DataDir::take(&options.data_dir)?.with_read_store(options.read_store);
    let tenants = data_dir.tenants()?;
    let nats = nats(&options.elsewhere, options.install_nats_server, &data_dir, &tenants).await?;
    let registry = Arc::new(Registry::default());
    for id in &tenants {
        RestoreNote::refuse_half(&data_dir, id)?;
        match tenant(&nats, &data_dir, &options.elsewhere, id, &data_dir.studies(id)?).await {
            Ok(open) => registry.add(open),
            // A damaged tenant is not served, and said by name. If it is the only one, there is nothing to serve.
            Err(error) if tenants.len() == 1 => return Err(error),
            Err(error) => {
                tracing::error!(tenant = %id, %error, "this tenant is not served");
                registry.refuse(id.clone(), error.to_string());
            }
        }
    }
    let dice: Arc<dyn Dice> = Arc::new(SystemDice);
    let tenants: Arc<dyn Tenants> = Arc::clone(&registry) as _;
    let trigger = ErasureTrigger::default();
    let waits = Arc::new(trigger.clone());
    let clock = Arc::clone(&options.clock);
    let asked = Arc::new(AskedAnew::new(Arc::clone(&registry), Arc::clone(&clock)));
    let asking = Arc::clone(&asked) as _;
    let commands = Commands::asking(Arc::clone(&tenants), Arc::clone(&clock), Arc::clone(&dice), trigger, asking);
    let watcher = Watcher::new(Arc::clone(&commands), options.detection.clone());
    let access = AccessLog::new(
        Arc::clone(&tenants),
        Arc::clone(&clock),
        Arc::clone(&dice),
        Arc::clone(&watcher) as _,
        infra::telemetry::current_traceparent,
    );
    let door = Door::new(Parts {
        tenants: Arc::clone(&tenants),
        commands: Arc::clone(&commands),
        tokens: Arc::new(TokenCredentials { tenants: Arc::clone(&registry), clock: Arc::clone(&clock) }),
        secrets: Arc::new(SystemSecrets),
        passkeys: Arc::new(SystemPasskeys),
        providers: Arc::new(providers),
        clock: Arc::clone(&clock),
        dice: Arc::clone(&dice),
        watching: watcher,
        rules: options.door.clone(),
    });
    asked.ask(&door);
    let worker = ErasureWorker::new(Arc::clone(&commands), Arc::new(ProjectedErasures));
    let (randomising, exporting, sweeping) = (Arc::clone(&commands), Arc::clone(&commands), Arc::clone(&commands));
    let queries = query_api::Queries::new(tenants, waits, Arc::clone(&clock));
    commands.export_with(Arc::clone(&queries) as _);
    let operator_token = dice.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let inner = Inner {
        access,
        asked_anew: asked,
        clock,
        data_dir,
        elsewhere: options.elsewhere.clone(),
        nats,
        queries,
        registry,
        commands,
        door,
        public_url: options.door.public_url.clone().map_or_else(OnceLock::new, OnceLock::from),
        certificate: OnceLock::new(),
        metrics: options.metrics.clone(),
        backups: options.schedule.as_ref().map(|schedule| BackupWatch::new(schedule.every)),
        figures: Figures::new(),
        rebuilds: Rebuilds::default(),
        operator_token,
        dice,
        second_doors: SecondDoors::default(),
        erasing: tokio::spawn(async move {
            let tending = exporting.keep_tending_exports();
            tokio::join!(worker.run(), randomising.finish_randomisations(), tending, sweeping.keep_sweeping());
        }),
    };
    Ok(inner)
}

/// The NATS that others run, or one's own, started.
pub(super) async fn nats(
    elsewhere: &Elsewhere,
    install: bool,
    data_dir: &DataDir,
    tenants: &[TenantId],
) -> Result<Nats, StartError> {
    if let Some(elsewhere) = &elsewhere.nats {
        return Ok(Nats::elsewhere(elsewhere.clone()));
    }
    let found =
        tokio::task::spawn_blocking(move || if install { locate_or_install(|step| note!("{step}")) } else { locate() });
    let binary = found.await.map_err(|error| Failure::unavailable("the nats-server", error))??;
    let accounts = tenants.iter().map(|tenant| TenantAccount::new(tenant.as_str())).collect::<Result<_, _>>()?;
    let options = NatsServerOptions::within(binary, data_dir.folder("nats"), accounts);
    Ok(Nats::own(NatsServer::start(options).await?))
}

/// Opens one tenant: its journal must hold every study that was created, and everything that its read models have seen.
pub(super) async fn tenant(
    nats: &Nats,
    data_dir: &DataDir,
    elsewhere: &Elsewhere,
    id: &TenantId,
    studies: &[StudyId],
) -> Result<Open, StartError> {
    let client = nats.service(id).await?;
    let vault = elsewhere.open(id).await?;
    let keys = vault.key_tree(&client, id, &data_dir.tenant(id));
    // A site that was left behind, or a root key that is lost, is found out now, not at the first read.
    tolerate_silence(id, keys.attach().await)?;
    keys.structure_key().await?;
    let listening = keys.listen().await?;
    let sealer = Arc::new(Sealer::new(Arc::clone(&keys)));
    let own = JournalId { tenant: id.clone(), study: None };
    let expected: Vec<JournalId> =
        std::iter::once(own).chain(studies.iter().map(|study| journal_of(id, study))).collect();
    if !studies.contains(&StudyId::access_log()) {
        tracing::error!(tenant = %id, "there is no access log, so nobody is shown anything: `lethe tenant create {id}` makes it");
    }
    let journal: Arc<dyn Journal> =
        Arc::new(JetStreamJournal::open(client.clone(), id, Arc::clone(&sealer), &expected, nats.lane()).await?);
    let record = Record::new(id, &data_dir.tenant(id), &client, &keys, &vault);
    record.checkpoints.check_at_start(&expected).await?;
    let ledger = ledger(&vault, &client, id, &expected).await?;
    let cells: Arc<dyn Cells> = sealer;
    let store = read_store(data_dir.read_store(), &data_dir.tenant(id).join("store"))?;
    let runner = Runner::open(id.clone(), Arc::clone(&journal), Arc::clone(&cells), Arc::clone(&store))?;
    let runner = Arc::new(runner);
    runner.start().await?;
    let progress: Arc<dyn Progress> = Arc::clone(&runner) as _;
    catch_up(id, journal.as_ref(), progress.as_ref(), &runner).await?;
    let ports = Arc::new(Tenant {
        id: id.clone(),
        journal,
        keys: Arc::clone(&keys) as _,
        cells,
        store,
        progress,
        ledger,
        certifier: Arc::clone(&record.certificates) as _,
        exports: Arc::new(ExportFolders::new(
            data_dir.tenant(id).join("exports"),
            Arc::clone(&keys),
            Arc::clone(&vault.kms.signer),
        )),
    });
    Ok(Open { ports, runner, keys, vault, client, record, _listening: listening })
}

/// The off-site ledger, with everything in it that the journal holds.
async fn ledger(
    vault: &Vault,
    client: &infra::journal::Client,
    id: &TenantId,
    journals: &[JournalId],
) -> Result<Arc<dyn Ledger>, StartError> {
    let Some(off_site) = &vault.off_site else {
        return Ok(Arc::new(NoLedger));
    };
    let ledger = CopiedLedger::new(Arc::clone(off_site), client.clone(), id);
    tolerate_silence(id, ledger.catch_up(journals).await.map(drop))?;
    Ok(Arc::new(ledger))
}

/// An off-site target that does not answer must not keep a site from serving: nothing is destroyed before it answers,
/// and if another site has taken over meanwhile, the root of this one's tree is dead and opens nothing.
fn tolerate_silence(id: &TenantId, outcome: Result<(), Failure>) -> Result<(), Failure> {
    match outcome {
        Err(failure @ Failure::Unavailable { .. }) => {
            tracing::error!(tenant = %id, %failure, "the off-site target does not answer: serving without it, no erasure completes");
            Ok(())
        }
        other => other,
    }
}

/// Waits until the read models have taken in what the journal held at the start: half of it would be wrong answers.
async fn catch_up(
    id: &TenantId,
    journal: &dyn Journal,
    progress: &dyn Progress,
    runner: &Runner,
) -> Result<(), StartError> {
    for stream in journal.journals().await? {
        let head = journal.head(&stream).await?;
        while !progress.wait_for(&head, TELL_EVERY).await? {
            let stopped = runner.health().into_iter().find_map(|health| match health.state {
                JournalState::Stopped { reason } => Some(reason),
                JournalState::Following | JournalState::Retrying { .. } => None,
            });
            if let Some(reason) = stopped {
                return Err(Failure::damaged(format!("the journal of tenant {id}"), reason).into());
            }
            let reached: Vec<String> = progress.reflected().iter().map(ToString::to_string).collect();
            tracing::info!(tenant = %id, reached = reached.join(","), head = %head, "the read models catch up with the journal");
        }
    }
    Ok(())
}

fn read_store(engine: Engine, dir: &Path) -> Result<Arc<dyn ReadStore>, StartError> {
    let (store, opening) = infra::store::open(engine, dir)?;
    if let Opening::SetAside(path) = opening {
        tracing::warn!(path = %path.display(), "the read models did not open: they are set aside and built anew");
    }
    Ok(store)
}

/// How many other persons a trial of the erased is held against.
const CONTROLS: usize = 4;

/// The erasures that are open, as the read models know them.
struct ProjectedErasures;

#[async_trait]
impl OpenErasures for ProjectedErasures {
    async fn open(&self, tenant: &Tenant) -> Result<Vec<StreamId>, Failure> {
        let mut streams = Vec::new();
        for study in studies::list(tenant).await? {
            let mut after = None;
            loop {
                let page = erasures::list(tenant, &study.study, true, &Visible::none(), after.as_deref(), 100).await?;
                let stream = |erasure: &erasures::Erasure| {
                    StreamId::in_study(&tenant.id, &study.study, Aggregate::Privacy, erasure.participant)
                };
                streams.extend(page.items.iter().map(stream));
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        Ok(streams)
    }

    /// Participants of the same study with forms, of whom nothing was erased: each has keys that must open.
    async fn others(&self, tenant: &Tenant, stream: &StreamId) -> Result<Vec<DataSubject>, Failure> {
        let Some(study) = &stream.journal.study else { return Ok(Vec::new()) };
        let (mut found, mut after) = (Vec::new(), None);
        // A look at the first few hundred is enough: where nearly all are erased, the trial goes without a control.
        for _ in 0..4 {
            let page = participants::list(tenant, study, &Sites::All, after.as_deref(), 100).await?;
            let whole =
                page.items.into_iter().filter(|one| one.forms > 0 && one.erased.is_empty() && one.redacted == 0);
            found.extend(
                whole.map(|one| DataSubject(one.participant.0)).filter(|one| stream.data_subject() != Some(*one)),
            );
            match page.next {
                Some(next) if found.len() < CONTROLS => after = Some(next),
                Some(_) | None => break,
            }
        }
        found.truncate(CONTROLS);
        Ok(found)
    }
}

/// The journal stream of a study.
pub(super) fn journal_of(tenant: &TenantId, study: &StudyId) -> JournalId {
    JournalId { tenant: tenant.clone(), study: Some(study.clone()) }
}
