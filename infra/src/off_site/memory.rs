//! An off-site target in memory, for tests and models.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::port::{Failure, HeadTag, OffSite, SwapError};

use super::{TARGET, check_name, same};

/// Keeps everything as long as one of its clones lives.
#[derive(Debug, Clone, Default)]
pub struct MemoryOffSite(Arc<Mutex<Kept>>);

#[derive(Debug, Clone, Default)]
struct Kept {
    objects: BTreeMap<String, Vec<u8>>,
    head: Option<Vec<u8>>,
    swaps: u64,
    is_away: bool,
}

impl MemoryOffSite {
    /// Loses or changes an object, as a bad disk would.
    pub fn damage(&self, name: &str, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
        let mut kept = self.lock();
        if let Some(bytes) = kept.objects.remove(name)
            && let Some(changed) = change(bytes)
        {
            kept.objects.insert(name.to_owned(), changed);
        }
    }

    /// Another target that begins as this one is now.
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.lock().clone())))
    }

    /// From now on it does not answer; or it does again.
    pub fn be_away(&self, is_away: bool) {
        self.lock().is_away = is_away;
    }

    /// What is there, unless it is away.
    fn answer(&self) -> Result<MutexGuard<'_, Kept>, Failure> {
        let kept = self.lock();
        if kept.is_away { Err(Failure::unavailable(TARGET, "it is away")) } else { Ok(kept) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Every change is complete at once, so a poisoned map is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl OffSite for MemoryOffSite {
    async fn head(&self) -> Result<Option<(Vec<u8>, HeadTag)>, Failure> {
        let kept = self.answer()?;
        Ok(kept.head.clone().map(|head| (head, HeadTag(kept.swaps.to_string()))))
    }

    async fn swap_head(&self, expected: Option<&HeadTag>, bytes: &[u8]) -> Result<HeadTag, SwapError> {
        let mut kept = self.answer()?;
        let stands = kept.head.is_some().then(|| kept.swaps.to_string());
        if stands.as_ref() != expected.map(|tag| &tag.0) {
            return Err(SwapError::Moved);
        }
        kept.head = Some(bytes.to_vec());
        kept.swaps += 1;
        Ok(HeadTag(kept.swaps.to_string()))
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        check_name(name)?;
        let mut kept = self.answer()?;
        match kept.objects.get(name) {
            Some(there) => same(name, there, bytes),
            None => {
                kept.objects.insert(name.to_owned(), bytes.to_vec());
                Ok(())
            }
        }
    }

    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        check_name(name)?;
        Ok(self.answer()?.objects.get(name).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        Ok(self.answer()?.objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
