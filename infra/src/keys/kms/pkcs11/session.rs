//! The way into a token: modules that are loaded once, sessions that are used again.
//!
//! Who writes is alone at a module in this process: SoftHSM shows other threads what it has only half written. Against
//! other processes nothing can be locked, so an answer that may be another one in a moment is asked for again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use domain::ids::TenantId;
use domain::port::{Failure, KmsError};
use zeroize::Zeroizing;

use super::super::config::KmsOpenError;
use super::super::secret::SecretSource;
use super::roots::only_failure;
use super::{Pkcs11Module, TokenChoice};

/// Every module that this process has loaded. A module may be initialised once in a process and is never let go.
static MODULES: Mutex<BTreeMap<PathBuf, Module>> = Mutex::new(BTreeMap::new());

/// How long to wait before a token is asked again what it could not say because somebody else is writing.
pub(super) const PAUSES: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(80),
    Duration::from_millis(160),
];

/// What a token must be able to do.
const NEEDED: [(MechanismType, &str); 4] = [
    (MechanismType::AES_KEY_GEN, "CKM_AES_KEY_GEN"),
    (MechanismType::AES_GCM, "CKM_AES_GCM"),
    (MechanismType::ECC_EDWARDS_KEY_PAIR_GEN, "CKM_EC_EDWARDS_KEY_PAIR_GEN"),
    (MechanismType::EDDSA, "CKM_EDDSA"),
];

/// A module that is loaded.
#[derive(Clone)]
struct Module {
    library: Pkcs11,
    /// Whose turn it is: one that writes, or any number that read.
    turn: Arc<RwLock<()>>,
}

pub(super) struct Token {
    pub(super) tenant: TenantId,
    pub(super) device: String,
    module: Module,
    choice: TokenChoice,
    pin: SecretSource,
    /// A PIN that was refused. It is not tried again: a token locks itself after a few.
    refused: Mutex<Option<Zeroizing<String>>>,
    idle: Mutex<Vec<Session>>,
    exportable: AtomicBool,
    /// Whether the tenant was seen at home here. Then a token in which it is not is a token that lost its objects.
    known: AtomicBool,
}

/// Why a call to a token did not do its work.
pub(super) enum Fault {
    /// The token said so.
    Token(Error),
    /// It may be otherwise in a moment.
    Passing(Failure),
    /// Another reason, final.
    Other(KmsError),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Token(error)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Other(failure.into())
    }
}

impl From<Fault> for KmsError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Token(error) => unavailable(error).into(),
            Fault::Passing(failure) => failure.into(),
            Fault::Other(error) => error,
        }
    }
}

impl Token {
    pub(super) fn open(module: Pkcs11Module, tenant: TenantId) -> Result<Self, KmsOpenError> {
        let loaded = load(&module.path, &module.token)?;
        let mut token = Self {
            tenant,
            device: String::new(),
            module: loaded,
            choice: module.token,
            pin: module.pin,
            refused: Mutex::default(),
            idle: Mutex::default(),
            exportable: AtomicBool::new(false),
            known: AtomicBool::new(false),
        };
        let failed = |failure: Failure| {
            let cause = match failure {
                Failure::Unavailable { cause, .. } => cause,
                other => other.to_string(),
            };
            KmsOpenError::new(
                format!("the token {} cannot be used: {cause}", token.choice),
                "check that the token is there, that its PIN is right, and its configuration (docs/kms.md)",
            )
        };
        let device = token.patiently(|| token.describe_device());
        token.device = device.map_err(|error| failed(only_failure(error)))?;
        let exportable = token.writing(|session| {
            token.is_at_home(session)?;
            token.any_is_exportable(session)
        });
        token.exportable = AtomicBool::new(exportable.map_err(|error| failed(only_failure(error)))?);
        Ok(token)
    }

    fn describe_device(&self) -> Result<String, Fault> {
        let slot = self.slot()?;
        let able = self.module.library.get_mechanism_list(slot)?;
        let missing: Vec<&str> = NEEDED.iter().filter(|(it, _)| !able.contains(it)).map(|(_, name)| *name).collect();
        if !missing.is_empty() {
            return Err(Failure::unavailable("PKCS#11 token", format!("it cannot do {}", missing.join(", "))).into());
        }
        let info = self.module.library.get_token_info(slot)?;
        let [maker, model, serial, label] =
            [info.manufacturer_id(), info.model(), info.serial_number(), info.label()].map(str::trim);
        Ok(format!("{model} of {maker}, serial number {serial}, token {label}"))
    }

    pub(super) fn is_exportable(&self) -> bool {
        self.exportable.load(Ordering::Relaxed)
    }

    pub(super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    pub(super) fn be_known(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    /// Does something in a session that is logged in, beside others that only read.
    pub(super) fn reading<T>(&self, work: impl Fn(&Session) -> Result<T, Fault>) -> Result<T, KmsError> {
        self.patiently(|| {
            let _shared = self.module.turn.read().unwrap_or_else(PoisonError::into_inner);
            self.once(&work)
        })
    }

    /// Does something that makes or destroys objects, alone at the module. It may be done again from its start.
    pub(super) fn writing<T>(&self, work: impl Fn(&Session) -> Result<T, Fault>) -> Result<T, KmsError> {
        self.patiently(|| {
            let _alone = self.module.turn.write().unwrap_or_else(PoisonError::into_inner);
            self.once(&work)
        })
    }

    /// Looks again while the answer is one that passes, with the turn given up in between.
    fn patiently<T>(&self, look: impl Fn() -> Result<T, Fault>) -> Result<T, KmsError> {
        for pause in PAUSES {
            let why = match look() {
                Err(Fault::Token(error)) if is_passing(&error) => error.to_string(),
                Err(Fault::Passing(failure)) => failure.to_string(),
                result => return Ok(result?),
            };
            tracing::debug!(tenant = %self.tenant, why, "the token is asked again");
            std::thread::sleep(pause);
        }
        Ok(look()?)
    }

    /// A session that has died is opened anew, once.
    fn once<T>(&self, work: impl Fn(&Session) -> Result<T, Fault>) -> Result<T, Fault> {
        let idle = lock(&self.idle).pop();
        if let Some(session) = idle {
            match work(&session) {
                Err(Fault::Token(error)) if is_dead(&error) => {
                    tracing::warn!(tenant = %self.tenant, %error, "a session of the token has died");
                    lock(&self.idle).clear();
                }
                result => return self.put_back(session, result),
            }
        }
        let session = self.enter()?;
        let result = work(&session);
        self.put_back(session, result)
    }

    /// Takes the login away from under the pool: what is left in it are sessions that nobody logged in.
    #[cfg(test)]
    pub(super) fn end_sessions(&self) {
        let mut idle = lock(&self.idle);
        let count = idle.len();
        idle.clear();
        let slot = slot_of(&self.module.library, &self.choice).ok().flatten().expect("a slot");
        idle.extend((0..count).map(|_| self.module.library.open_rw_session(slot).expect("a session")));
    }

    fn put_back<T>(&self, session: Session, result: Result<T, Fault>) -> Result<T, Fault> {
        // A session that failed may still be in the middle of something.
        if !matches!(result, Err(Fault::Token(_) | Fault::Passing(_))) {
            lock(&self.idle).push(session);
        }
        result
    }

    fn enter(&self) -> Result<Session, Fault> {
        let session = self.module.library.open_rw_session(self.slot()?)?;
        let pin = self.pin.read().map_err(|error| Failure::unavailable("PKCS#11 token", error))?;
        if lock(&self.refused).as_ref() == Some(&pin) {
            let detail = format!("it has refused the PIN in {}", self.pin);
            return Err(Failure::unavailable("PKCS#11 token", detail).into());
        }
        match session.login(UserType::User, Some(&AuthPin::from(pin.as_str()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => {
                if matches!(error, Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange, _)) {
                    *lock(&self.refused) = Some(pin);
                }
                Err(error.into())
            }
        }
    }

    fn slot(&self) -> Result<Slot, Fault> {
        // While another process writes to a token, SoftHSM shows it without its label.
        let none = || Failure::unavailable("PKCS#11 token", format!("the module has no token with {}", self.choice));
        slot_of(&self.module.library, &self.choice)?.ok_or_else(|| Fault::Passing(none()))
    }
}

/// The slot of a token. One beside it that cannot be read does not matter.
fn slot_of(library: &Pkcs11, choice: &TokenChoice) -> Result<Option<Slot>, Error> {
    let mut unread = None;
    for slot in library.get_slots_with_token()? {
        match choice {
            TokenChoice::Slot(number) if slot.id() == *number => return Ok(Some(slot)),
            TokenChoice::Slot(_) => {}
            TokenChoice::Label(label) => match library.get_token_info(slot) {
                Ok(info) if info.label().trim() == label => return Ok(Some(slot)),
                Ok(_) => {}
                Err(error) => unread = Some(error),
            },
        }
    }
    unread.map_or(Ok(None), Err)
}

/// Whether the token is there with all that it says of itself.
fn is_whole(library: &Pkcs11, choice: &TokenChoice) -> bool {
    let info = slot_of(library, choice).ok().flatten().and_then(|slot| library.get_token_info(slot).ok());
    info.is_some_and(|info| info.user_pin_initialized())
}

/// Loads a module, once. SoftHSM reads its tokens when it is initialised, and keeps what it found of one to which
/// another process wrote just then (each login does): nothing, or the half of it. So a module in which the token is not
/// whole is initialised again.
fn load(path: &Path, choice: &TokenChoice) -> Result<Module, KmsOpenError> {
    let bad = |error: &dyn std::fmt::Display| {
        let next = "give the path of the vendor's PKCS#11 library (for SoftHSM install Debian's package softhsm2)";
        KmsOpenError::new(format!("cannot load the module {}: {error}", path.display()), next)
    };
    let path = std::fs::canonicalize(path).map_err(|error| bad(&error))?;
    let mut modules = lock(&MODULES);
    if let Some(module) = modules.get(&path) {
        return Ok(module.clone());
    }
    let library = Pkcs11::new(&path).map_err(|error| bad(&error))?;
    let initialise = || library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    match initialise() {
        Ok(()) => {
            for pause in PAUSES {
                if is_whole(&library, choice) {
                    break;
                }
                std::thread::sleep(pause);
                library.clone().finalize().and_then(|()| initialise()).map_err(|error| bad(&error))?;
            }
        }
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(bad(&error)),
    }
    let module = Module { library, turn: Arc::default() };
    modules.insert(path, module.clone());
    Ok(module)
}

/// A session whose login is gone shows no keys, and no error either.
pub(super) fn is_logged_in(session: &Session) -> Result<(), Fault> {
    match session.get_session_info()?.session_state() {
        SessionState::RwUser => Ok(()),
        _ => Err(Error::Pkcs11(RvError::UserNotLoggedIn, Function::GetSessionInfo).into()),
    }
}

/// Whether a new session may do better: a token that was taken out and put back, a server behind it that began anew.
fn is_dead(error: &Error) -> bool {
    let Error::Pkcs11(error, _) = error else { return false };
    matches!(
        error,
        RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::UserNotLoggedIn
            | RvError::TokenNotPresent
            | RvError::DeviceRemoved
            | RvError::DeviceError
            | RvError::OperationActive
    )
}

/// Whether it may go otherwise in a moment: an object that another process destroyed between finding and reading it,
/// or has not written to its end; the token itself, which each login writes to.
fn is_passing(error: &Error) -> bool {
    let Error::Pkcs11(error, _) = error else { return false };
    matches!(
        error,
        RvError::ObjectHandleInvalid
            | RvError::KeyHandleInvalid
            | RvError::GeneralError
            | RvError::FunctionFailed
            | RvError::UserPinNotInitialized
            | RvError::TokenNotRecognized
    )
}

pub(super) fn unavailable(error: Error) -> Failure {
    Failure::unavailable("PKCS#11 token", error)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
