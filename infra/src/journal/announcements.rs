//! Fences, announced on the tenant's account. Nothing is stored: whoever does not listen has a lease that ends.

use async_nats::{Client, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use domain::ids::TenantId;
use domain::port::Failure;
use futures_util::StreamExt as _;
use serde_json::json;

use super::names::fenced_subject;
use super::wire::Wire;
use crate::keys::{Announced, Announcements};

/// Announcements through the connection of a tenant's service login.
#[derive(Debug, Clone)]
pub struct NatsAnnouncements {
    client: Client,
    subject: String,
}

impl NatsAnnouncements {
    /// Those of a tenant. Asks nothing yet.
    pub fn new(client: Client, tenant: &TenantId) -> Self {
        Self { client, subject: fenced_subject(tenant) }
    }
}

#[async_trait]
impl Announcements for NatsAnnouncements {
    async fn fenced(&self) -> Result<(), Failure> {
        let sent = self.client.publish(self.subject.clone(), Bytes::new()).await;
        sent.map_err(|error| Failure::unavailable("the NATS server", error))?;
        self.client.flush().await.map_err(|error| Failure::unavailable("the NATS server", error))
    }

    async fn listen(&self) -> Result<Box<dyn Announced>, Failure> {
        let heard = self.client.subscribe(self.subject.clone()).await;
        let heard = heard.map_err(|error| Failure::unavailable("the NATS server", error))?;
        // The server has taken the subscription in when it answers what was asked after it.
        let asked = Wire::new(self.client.clone()).api("INFO", json!({})).await;
        asked.map_err(|refusal| refusal.into_failure("the NATS server"))?;
        Ok(Box::new(Heard(heard)))
    }
}

struct Heard(Subscriber);

#[async_trait]
impl Announced for Heard {
    async fn next(&mut self) -> bool {
        self.0.next().await.is_some()
    }
}
