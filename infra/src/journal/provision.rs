//! Creates journal streams: by an explicit command only, never at start.
//!
//! On a standalone server a create against a store that cannot be read (a wrong or missing encryption key) deletes that
//! store. So the services may not create anything, their login is not allowed to, and a missing journal stream is an
//! error that says what to do.

use async_nats::Client;
use domain::history::JournalId;
use domain::ids::TenantId;
use serde_json::{Map, Value, json};

use super::names::{journal_filter, journal_stream, keys_filter, keys_stream};
use super::refusal::{Code, Refusal};
use super::wire::Wire;

/// The metadata key of a journal stream's incarnation: one at first, one more with every restore.
pub(super) const INCARNATION: &str = "lethe.incarnation";

/// The metadata key of the list of incarnations (`1:1,2:501`: each with its first sequence) of a journal stream that
/// was restored.
pub const INCARNATIONS: &str = "lethe.incarnations";

/// The metadata key of the format version.
pub(super) const FORMAT: &str = "lethe.format";

const FORMAT_VERSION: &str = "1";

/// No message ids are used, so there is nothing to remember; the window cannot be zero.
const DUPLICATE_WINDOW_NS: u64 = 1_000_000_000;

/// Why a journal stream could not be provisioned.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// One of that name exists with other settings.
    #[error(
        "the journal stream {name} exists with other settings ({differences}): Lethe does not change them; \
         check who made it, and set it right or restore it from a backup"
    )]
    Differs {
        /// Its name.
        name: String,
        /// Setting by setting: what is and what should be.
        differences: String,
    },
    /// The server did not do it.
    #[error("could not create the journal stream {name}: {refusal}")]
    Refused {
        /// Its name.
        name: String,
        /// Why.
        refusal: Refusal,
    },
}

/// What provisioning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provisioned {
    /// It is new.
    Created,
    /// It was there already, as it should be.
    Existed,
}

/// Creates journal streams. Needs the connection of the provisioner's login.
#[derive(Debug, Clone)]
pub struct Provisioner {
    wire: Wire,
    replicas: usize,
}

impl Provisioner {
    /// One replica on the embedded server, three in a cluster.
    pub fn new(client: Client, replicas: usize) -> Self {
        Self { wire: Wire::new(client), replicas }
    }

    /// The tenant's own journal stream and that of its keys.
    ///
    /// # Errors
    /// See [`ProvisionError`].
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Provisioned, ProvisionError> {
        let keys = self.ensure(keys_settings(tenant)).await?;
        let events = self.ensure(journal_settings(&JournalId { tenant: tenant.clone(), study: None })).await?;
        Ok(if keys == Provisioned::Created { keys } else { events })
    }

    /// The journal stream of a study.
    ///
    /// # Errors
    /// See [`ProvisionError`].
    pub async fn journal(&self, journal: &JournalId) -> Result<Provisioned, ProvisionError> {
        self.ensure(journal_settings(journal)).await
    }

    /// The journal stream of a study, or the tenant's own, into which a backup is to be restored. Its messages keep the
    /// incarnations in which they were written; the last one is new, and begins after them.
    ///
    /// # Errors
    /// See [`ProvisionError`]; one that is there and has other incarnations differs, too.
    pub async fn restored(
        &self,
        journal: &JournalId,
        incarnations: &[(u64, u64)],
    ) -> Result<Provisioned, ProvisionError> {
        let settings = journal_settings(journal);
        let (name, wanted) = (settings.name.clone(), incarnations_text(incarnations));
        let last = incarnations.last().map_or(1, |(incarnation, _)| *incarnation);
        let metadata = [(INCARNATION, last.to_string()), (INCARNATIONS, wanted.clone())];
        let provisioned = self.ensure_with(settings, &metadata).await?;
        let info = self.wire.api(&format!("STREAM.INFO.{name}"), json!({})).await;
        let info = info.map_err(|refusal| ProvisionError::Refused { name: name.clone(), refusal })?;
        let found = &info["config"]["metadata"][INCARNATIONS];
        if found.as_str() == Some(&wanted) {
            return Ok(provisioned);
        }
        Err(ProvisionError::Differs { name, differences: format!("{INCARNATIONS} is {found}, not {wanted:?}") })
    }

    async fn ensure(&self, settings: Settings) -> Result<Provisioned, ProvisionError> {
        self.ensure_with(settings, &[(INCARNATION, "1".to_owned())]).await
    }

    async fn ensure_with(
        &self,
        mut settings: Settings,
        metadata: &[(&str, String)],
    ) -> Result<Provisioned, ProvisionError> {
        settings.fields.insert("num_replicas".to_owned(), self.replicas.into());
        let name = settings.name.clone();
        let refused = |refusal| ProvisionError::Refused { name: name.clone(), refusal };
        match self.wire.api(&format!("STREAM.INFO.{name}"), json!({})).await {
            Ok(info) => existing(&settings, &info),
            Err(Refusal::Server(error)) if error.code() == Code::NoSuchStream => {
                let request = settings.with_metadata(metadata);
                // Somebody may have been quicker: an equal one is no error, another one is 10058.
                self.wire.api(&format!("STREAM.CREATE.{name}"), request).await.map_err(refused)?;
                Ok(Provisioned::Created)
            }
            Err(refusal) => Err(refused(refusal)),
        }
    }
}

fn incarnations_text(incarnations: &[(u64, u64)]) -> String {
    let each = incarnations.iter().map(|(incarnation, first)| format!("{incarnation}:{first}"));
    each.collect::<Vec<_>>().join(",")
}

fn existing(settings: &Settings, info: &Value) -> Result<Provisioned, ProvisionError> {
    let differences = settings.differences(info);
    if differences.is_empty() {
        Ok(Provisioned::Existed)
    } else {
        Err(ProvisionError::Differs { name: settings.name.clone(), differences: differences.join(", ") })
    }
}

/// How a journal stream must be set up. The number of replicas and the incarnation differ from place to place.
pub(super) struct Settings {
    pub(super) name: String,
    fields: Map<String, Value>,
}

/// A journal stream of events: nothing in it is ever deleted or replaced.
pub(super) fn journal_settings(journal: &JournalId) -> Settings {
    Settings::new(journal_stream(journal), &journal_filter(journal), -1)
}

/// The journal stream of the key tree: the last message of each node.
pub(super) fn keys_settings(tenant: &TenantId) -> Settings {
    Settings::new(keys_stream(tenant), &keys_filter(tenant), 1)
}

impl Settings {
    fn new(name: String, filter: &str, per_subject: i64) -> Self {
        let fields = json!({
            "name": name,
            "subjects": [filter],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "max_msgs_per_subject": per_subject,
            "duplicate_window": DUPLICATE_WINDOW_NS,
            "allow_direct": true,
            "allow_atomic": true,
            "allow_rollup_hdrs": false,
            "deny_delete": true,
            "deny_purge": true,
            "compression": "none",
            "metadata": { FORMAT: FORMAT_VERSION },
        });
        let Value::Object(fields) = fields else { unreachable!("the literal above is an object") };
        Self { name, fields }
    }

    fn with_metadata(&self, metadata: &[(&str, String)]) -> Value {
        let mut fields = self.fields.clone();
        for (name, value) in metadata {
            fields["metadata"][*name] = value.as_str().into();
        }
        Value::Object(fields)
    }

    /// What differs in a journal stream that is there, from the answer to STREAM.INFO.
    pub(super) fn differences(&self, info: &Value) -> Vec<String> {
        let there = &info["config"];
        let differs = |name: &str, wanted: &Value, found: &Value| {
            let absent = found.is_null() && wanted == &Value::Bool(false);
            (wanted != found && !absent).then(|| format!("{name} is {found}, not {wanted}"))
        };
        let plain = self.fields.iter().filter(|(name, _)| *name != "metadata");
        let mut differences: Vec<String> =
            plain.filter_map(|(name, wanted)| differs(name, wanted, &there[name])).collect();
        differences.extend(differs(FORMAT, &FORMAT_VERSION.into(), &there["metadata"][FORMAT]));
        differences
    }
}
