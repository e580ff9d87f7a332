//! UmaDB over gRPC, by its own Rust client: an append that is refused if the person's tag was written to since.

use umadb_client::{AsyncUmaDbClient, UmaDbClient};
use umadb_dcb::{DcbAppendCondition, DcbEvent, DcbEventStoreAsync as _, DcbQuery, DcbQueryItem};
use uuid::Uuid;

use crate::rounds::Person;
use crate::{Fault, ask, seal};

/// A connection carries many clients; these are as many as the raw limit beside has.
const CONNECTIONS: usize = 16;

pub(crate) struct Store(Vec<AsyncUmaDbClient>);

impl Store {
    pub(crate) async fn open(url: &str) -> Result<Self, Fault> {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(UmaDbClient::new(url.to_owned()).connect_async().await?);
        }
        Ok(Self(clients))
    }

    fn client(&self, person: Uuid) -> &AsyncUmaDbClient {
        &self.0[person.as_bytes()[0] as usize % self.0.len()]
    }
}

fn theirs(person: Uuid) -> DcbQuery {
    DcbQuery::new().item(DcbQueryItem::new().types(["Saved"]).tags([person.to_string()]))
}

impl ask::Store for Store {
    async fn append(&self, person: &Person, text: &str) -> Result<(), Fault> {
        let event = DcbEvent::default().event_type("Saved").tags([person.id.to_string()]).data(seal::seal(
            &person.key,
            person.id,
            text,
        )?);
        let seen = u64::try_from(person.at()).ok().filter(|at| *at > 0);
        let condition = DcbAppendCondition::new(theirs(person.id)).after(seen);
        let position = self.client(person.id).append(vec![event], Some(condition), None).await?;
        person.is_at(i64::try_from(position)?);
        Ok(())
    }

    async fn read(&self, person: Uuid, key: &seal::Key) -> Result<Vec<String>, Fault> {
        let mut events = self.client(person).read(Some(theirs(person)), None, false, None).await?;
        let mut texts = Vec::new();
        loop {
            let batch = events.next_batch().await?;
            if batch.is_empty() {
                return Ok(texts);
            }
            for event in batch {
                texts.push(seal::open(key, person, &event.event.data)?);
            }
        }
    }
}
