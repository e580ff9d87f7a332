//! Tenants' accounts and their logins.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::NatsServerError;

/// A tenant that gets an account of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TenantAccount {
    tenant: String,
}

impl TenantAccount {
    /// An account for this tenant. Its id becomes part of subjects, so it is checked here too.
    ///
    /// # Errors
    /// When it is not 1 to 32 of `a-z`, `0-9` and `-`.
    pub fn new(tenant: impl Into<String>) -> Result<Self, NatsServerError> {
        let tenant = tenant.into();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=32).contains(&tenant.len()) && tenant.bytes().all(plain) {
            Ok(Self { tenant })
        } else {
            Err(NatsServerError::BadTenant { tenant })
        }
    }

    /// The tenant's id.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }
}

/// The two logins of a tenant's account.
#[derive(Debug, Clone)]
pub struct TenantLogins {
    /// For the services: reads and appends, and can neither create, change, purge nor delete a journal stream.
    pub service: NatsLogin,
    /// For the explicit commands of an operator: may also create journal streams, and in a cluster ask for another leader.
    pub provisioner: NatsLogin,
    /// For the second door, if the tenant has one: see [`DoorLogins`].
    pub door: Option<DoorLogins>,
}

/// The two sides of a tenant's second door. Those who ask have an account of their own, from which nothing can be reached but
/// the door; who answers can do nothing but that.
#[derive(Debug, Clone)]
pub struct DoorLogins {
    /// Answers requests.
    pub answers: NatsLogin,
    /// Sends them: for integrators.
    pub asks: NatsLogin,
}

impl DoorLogins {
    pub(super) fn random(account: &TenantAccount) -> Result<Self, NatsServerError> {
        let tenant = account.tenant();
        Ok(Self {
            answers: NatsLogin::random(&format!("{tenant}_door"))?,
            asks: NatsLogin::random(&format!("{tenant}_integrator"))?,
        })
    }
}

impl TenantLogins {
    pub(super) fn random(account: &TenantAccount) -> Result<Self, NatsServerError> {
        let tenant = account.tenant();
        Ok(Self {
            service: NatsLogin::random(&format!("{tenant}_service"))?,
            provisioner: NatsLogin::random(&format!("{tenant}_provisioner"))?,
            door: Some(DoorLogins::random(account)?),
        })
    }
}

/// What a client needs to connect. Of the supervised server, the password is drawn anew at each start and lives only in
/// memory and in the server's configuration file, which nobody else may read.
#[derive(Clone)]
pub struct NatsLogin {
    user: String,
    password: Zeroizing<String>,
    inbox_prefix: String,
    /// Who signs the server's certificate, if it is nobody whom the system trusts anyway.
    ca: Option<PathBuf>,
}

impl NatsLogin {
    /// Underscores are in no tenant id, so no tenant can have the name of another user.
    pub(super) fn random(user: &str) -> Result<Self, NatsServerError> {
        Ok(Self::known(user, Zeroizing::new(random_hex(24)?), None))
    }

    /// One that stands somewhere.
    pub(super) fn known(user: &str, password: Zeroizing<String>, ca: Option<&Path>) -> Self {
        let inbox_prefix = format!("_INBOX_{user}");
        Self { user: user.to_owned(), password, inbox_prefix, ca: ca.map(Path::to_path_buf) }
    }

    /// One that was handed out, as integrators get theirs.
    pub fn given(user: &str, password: String) -> Self {
        Self::known(user, Zeroizing::new(password), None)
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The only prefix under which this user may receive replies. A client that keeps the default one gets no reply.
    pub fn inbox_prefix(&self) -> &str {
        &self.inbox_prefix
    }

    /// Options with user, password and inbox prefix set.
    pub fn connect_options(&self) -> async_nats::ConnectOptions {
        let options = async_nats::ConnectOptions::with_user_and_password(self.user.clone(), self.password.to_string())
            .custom_inbox_prefix(&self.inbox_prefix);
        match &self.ca {
            Some(ca) => options.add_root_certificates(ca.clone()),
            None => options,
        }
    }
}

impl fmt::Debug for NatsLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsLogin")
            .field("user", &self.user)
            .field("password", &"(secret)")
            .field("inbox_prefix", &self.inbox_prefix)
            .finish()
    }
}

/// This many random bytes as hex digits.
#[expect(clippy::disallowed_methods, reason = "a password of this run is no fact, so no test ever needs to repeat it")]
pub(super) fn random_hex(bytes: usize) -> Result<String, NatsServerError> {
    let mut random = Zeroizing::new(vec![0_u8; bytes]);
    getrandom::fill(&mut random).map_err(NatsServerError::Random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_ids() {
        let longest = "a".repeat(32);
        for good in ["a", "acme", "acme-2", "0", longest.as_str()] {
            assert!(TenantAccount::new(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(33);
        for bad in ["", "Acme", "a_b", "a.b", "a>", "*", "ä", "a b", "$SYS", too_long.as_str()] {
            assert!(TenantAccount::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_long_new_each_time_and_not_printed() {
        let account = TenantAccount::new("acme").unwrap();
        let logins = TenantLogins::random(&account).unwrap();
        let again = TenantLogins::random(&account).unwrap();
        assert_eq!(logins.service.password().len(), 48);
        assert_ne!(logins.service.password(), logins.provisioner.password());
        assert_ne!(logins.service.password(), again.service.password());

        let printed = format!("{logins:?}");
        assert!(printed.contains("acme_service"), "{printed}");
        assert!(!printed.contains(logins.service.password()), "{printed}");
        assert!(!printed.contains(logins.provisioner.password()), "{printed}");
    }
}
