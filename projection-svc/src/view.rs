//! How readers get at rows: the table that serves, opened as far as they may see.

use domain::port::{Failure, ReadStore, Tenant};
use domain::scope::Scope;

use crate::cells::{self, OpenRow, Place};
use crate::projection::Projection;
use crate::row::RowKey;
use crate::shown::Visible;
use crate::tables;

/// A row with its key.
pub(crate) type Found<R> = (RowKey, OpenRow<R>);

/// One row of a projection, every cell opened.
pub(crate) async fn get<P: Projection>(tenant: &Tenant, key: &RowKey) -> Result<Option<P::Row>, Failure> {
    Ok(get_visible::<P>(tenant, key, &Visible::all()).await?.map(|open| open.row))
}

/// One row of a projection, opened as far as `visible` goes.
pub(crate) async fn get_visible<P: Projection>(
    tenant: &Tenant,
    key: &RowKey,
    visible: &Visible,
) -> Result<Option<OpenRow<P::Row>>, Failure> {
    let store = tenant.store.as_ref();
    match served::<P, _>(store, |table| store.get(table, &key.bytes()))? {
        Some(bytes) => open::<P>(tenant, key, &bytes, |scope| visible.contains(scope)).await.map(Some),
        None => Ok(None),
    }
}

/// Some rows of a projection, opened as far as `visible` goes, in this order; those that are not there are left out.
pub(crate) async fn get_many<P: Projection>(
    tenant: &Tenant,
    keys: &[RowKey],
    visible: &Visible,
) -> Result<Vec<Found<P::Row>>, Failure> {
    let store = tenant.store.as_ref();
    let stored: Vec<Vec<u8>> = keys.iter().map(RowKey::bytes).collect();
    let rows = served::<P, _>(store, |table| store.get_many(table, &stored))?;
    let mut found = Vec::with_capacity(rows.len());
    for (key, bytes) in keys.iter().zip(rows) {
        if let Some(bytes) = bytes {
            let open = open::<P>(tenant, key, &bytes, |scope| visible.contains(scope)).await?;
            found.push((key.clone(), open));
        }
    }
    Ok(found)
}

/// Up to `limit` rows whose key begins as `prefix` does, after the key that ends with `after`.
pub(crate) async fn scan<P: Projection>(
    tenant: &Tenant,
    prefix: &RowKey,
    after: Option<&str>,
    limit: usize,
    visible: &Visible,
) -> Result<Vec<Found<P::Row>>, Failure> {
    let store = tenant.store.as_ref();
    let after = after.map(|after| RowKey { rest: after.to_owned(), ..prefix.clone() }.bytes());
    let rows = served::<P, _>(store, |table| store.scan(table, &prefix.bytes(), after.as_deref(), limit))?;
    let mut found = Vec::with_capacity(rows.len());
    for (key, bytes) in rows {
        if let Some(key) = RowKey::parse(&key) {
            let open = open::<P>(tenant, &key, &bytes, |scope| visible.contains(scope)).await?;
            found.push((key, open));
        }
    }
    Ok(found)
}

/// Every row of a projection that has few.
pub(crate) async fn all<P: Projection>(tenant: &Tenant) -> Result<Vec<P::Row>, Failure> {
    let store = tenant.store.as_ref();
    let mut found = Vec::new();
    for (key, bytes) in served::<P, _>(store, |table| store.scan(table, b"", None, usize::MAX))? {
        if let Some(key) = RowKey::parse(&key) {
            found.push(open::<P>(tenant, &key, &bytes, |_| true).await?.row);
        }
    }
    Ok(found)
}

/// The same with the keys, opened as far as `visible` goes.
pub(crate) async fn whole<P: Projection>(tenant: &Tenant, visible: &Visible) -> Result<Vec<Found<P::Row>>, Failure> {
    let store = tenant.store.as_ref();
    let mut found = Vec::new();
    for (key, bytes) in served::<P, _>(store, |table| store.scan(table, b"", None, usize::MAX))? {
        if let Some(key) = RowKey::parse(&key) {
            let open = open::<P>(tenant, &key, &bytes, |scope| visible.contains(scope)).await?;
            found.push((key, open));
        }
    }
    Ok(found)
}

/// Reads from the table that serves. A rebuild may have switched to another one meanwhile and dropped this one, which
/// then looks empty: so the answer counts only if the table still serves after it was read.
fn served<P: Projection, T>(store: &dyn ReadStore, read: impl Fn(&str) -> Result<T, Failure>) -> Result<T, Failure> {
    loop {
        let table = tables::live_table(store, P::NAME)?;
        let answer = read(&table);
        if tables::live_table(store, P::NAME)? == table {
            return answer;
        }
    }
}

async fn open<P: Projection>(
    tenant: &Tenant,
    key: &RowKey,
    bytes: &[u8],
    wanted: impl Fn(Scope) -> bool,
) -> Result<OpenRow<P::Row>, Failure> {
    cells::show(tenant.cells.as_ref(), Place { projection: P::NAME, key }, bytes, wanted).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::Overviews;
    use crate::tables::Live;
    use crate::testing::MemoryStore;
    use domain::port::Change;

    #[test]
    fn a_table_that_was_switched_away_while_it_was_read_is_not_believed() {
        let store = MemoryStore::default();
        tables::prepare(&store, Overviews::NAME, Overviews::VERSION).expect("prepares");
        for table in ["overview@1", "overview@2"] {
            store.apply(table, &[Change::Put { key: b"a".into(), value: b"1".into() }]).expect("writes");
        }
        let found = served::<Overviews, _>(&store, |table| {
            if table == "overview@1" {
                // A rebuild gets in between the look at which table serves and the look into it.
                tables::switch(&store, Overviews::NAME, Live { generation: 2, version: Overviews::VERSION })?;
            }
            store.get(table, b"a")
        });
        assert_eq!(found.expect("reads"), Some(b"1".to_vec()));
    }
}
