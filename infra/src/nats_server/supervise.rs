//! Starts the server, keeps it running, adds tenants, ends it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::accounts::{TenantAccount, TenantLogins};
use super::config::Layout;
use super::error::NatsServerError;
use super::keep::Keeper;
use super::launch::Shared;
use super::{orphan, ready};

const POLL: Duration = Duration::from_millis(50);
const ACCOUNT_PATIENCE: Duration = Duration::from_secs(30);

/// What a supervised server needs to know.
#[derive(Debug, Clone)]
pub struct NatsServerOptions {
    /// The binary, from [`locate`](super::locate).
    pub binary: PathBuf,
    /// Where JetStream stores. One server at a time.
    pub store_dir: PathBuf,
    /// Where the configuration file goes, with the logins of this run.
    pub config_dir: PathBuf,
    /// Where the server's own log goes.
    pub log_dir: PathBuf,
    /// Who gets an account.
    pub tenants: Vec<TenantAccount>,
    /// How long a start may take. Reading a large store takes seconds.
    pub start_patience: Duration,
}

impl NatsServerOptions {
    /// All three folders within one, and two minutes to start.
    pub fn within(binary: impl Into<PathBuf>, folder: impl Into<PathBuf>, tenants: Vec<TenantAccount>) -> Self {
        let folder = folder.into();
        Self {
            binary: binary.into(),
            store_dir: folder.join("store"),
            config_dir: folder.join("config"),
            log_dir: folder.join("log"),
            tenants,
            start_patience: Duration::from_secs(120),
        }
    }
}

/// What the server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// It runs and is healthy.
    Running {
        /// Its process id.
        pid: u32,
        /// How many times it had to be started anew.
        restarts: u32,
    },
    /// It ended by itself and is being started again.
    Restarting,
    /// It was shut down.
    Stopped,
}

/// A nats-server that runs as long as this value lives. Clients connect to [`url`](Self::url) with a tenant's login and reconnect by
/// themselves after a crash: address and passwords stay the same.
pub struct NatsServer {
    shared: Arc<Shared>,
    address: String,
    state: watch::Receiver<ServerState>,
    stop: watch::Sender<bool>,
    task: AbortHandle,
    /// One change of the accounts at a time.
    changing: tokio::sync::Mutex<()>,
}

impl NatsServer {
    /// Starts it and waits until it is healthy.
    ///
    /// # Errors
    /// When another process uses the store, a server of an earlier run does not end, the server ends or does not get healthy in time, or
    /// it cannot read a journal stream that is on disk.
    pub async fn start(options: NatsServerOptions) -> Result<Self, NatsServerError> {
        let layout = Layout::prepare(&options.store_dir, &options.config_dir, &options.log_dir)?;
        let lock = orphan::lock(&layout)?;
        orphan::end(&options.binary, &layout).await?;
        let shared = Arc::new(Shared::new(options, layout)?);

        let launched = shared.launch().await?;
        let address = launched.address.clone();
        // From here on the port stays, so that clients find the server again after a restart.
        shared.settings().port = address.rsplit(':').next().and_then(|port| port.parse().ok());
        shared.settings().write(&shared.layout)?;

        let (state_sender, state) = watch::channel(ServerState::Running { pid: launched.process.pid(), restarts: 0 });
        let (stop, stopped) = watch::channel(false);
        let keeper = Keeper { launched: Some(launched), shared: shared.clone(), state: state_sender, stopped, lock };
        let task = tokio::spawn(keeper.keep_running()).abort_handle();
        Ok(Self { shared, address, state, stop, task, changing: tokio::sync::Mutex::new(()) })
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        &self.address
    }

    /// The logins of a tenant, if it has an account.
    pub fn credentials(&self, tenant: &str) -> Option<TenantLogins> {
        let account = TenantAccount::new(tenant).ok()?;
        self.shared.settings().tenants.get(&account).cloned()
    }

    /// The server's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        match *self.state.borrow() {
            ServerState::Running { pid, .. } => Some(pid),
            ServerState::Restarting | ServerState::Stopped => None,
        }
    }

    /// What it is doing, now and as it changes.
    pub fn state(&self) -> watch::Receiver<ServerState> {
        self.state.clone()
    }

    /// Gives a tenant an account on the running server and waits until its login works. The other tenants' connections stay.
    /// A tenant that has one already keeps its logins.
    ///
    /// # Errors
    /// When the server refuses the configuration or the login does not work in time. Then the tenant has no account.
    pub async fn add_tenant(&self, account: TenantAccount) -> Result<TenantLogins, NatsServerError> {
        let _one_at_a_time = self.changing.lock().await;
        if let Some(logins) = self.credentials(account.tenant()) {
            return Ok(logins);
        }
        let logins = TenantLogins::random(&account)?;
        self.shared.change(|settings| settings.tenants.insert(account.clone(), logins.clone()))?;
        match self.admit(&account, &logins).await {
            Ok(()) => Ok(logins),
            Err(error) => {
                self.shared.change(|settings| settings.tenants.remove(&account))?;
                Err(error)
            }
        }
    }

    async fn admit(&self, account: &TenantAccount, logins: &TenantLogins) -> Result<(), NatsServerError> {
        let mut detail = String::new();
        let admitted = timeout(ACCOUNT_PATIENCE, async {
            loop {
                match self.try_to_admit(logins).await {
                    // The server may be restarting at this moment, so this is tried again.
                    Ok(Err(reason)) => detail = reason,
                    Ok(Ok(())) => return Ok(()),
                    Err(refused) => return Err(refused),
                }
                sleep(POLL).await;
            }
        });
        let admitted = admitted.await;
        admitted.unwrap_or_else(|_| {
            let (tenant, seconds) = (account.tenant().to_owned(), ACCOUNT_PATIENCE.as_secs());
            Err(NatsServerError::AccountNotReady { tenant, seconds, detail })
        })
    }

    async fn try_to_admit(&self, logins: &TenantLogins) -> Result<Result<(), String>, NatsServerError> {
        let system = self.shared.settings().system.clone();
        // Twice: imports of an account that is new to the server lead nowhere until it reads its configuration again (seen with 2.15.1;
        // what others open and use stays).
        for _ in 0..2 {
            match ready::reload(&self.address, &system).await {
                Err(reason) => return Ok(Err(reason)),
                Ok(Err(detail)) => return Err(NatsServerError::ConfigRefused { detail }),
                Ok(Ok(())) => {}
            }
        }
        Ok(ready::login_works(&self.address, &logins.service).await)
    }

    /// Ends the server and waits until it is gone. May be called more than once.
    pub async fn shutdown(&self) {
        let _ = self.stop.send(true);
        // An error means that the task is gone, and with it the server.
        let _ = self.state.clone().wait_for(|state| *state == ServerState::Stopped).await;
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
