//! The world as each of the ports.

use super::*;

#[async_trait]
impl Journal for World {
    async fn load(&self, stream: &StreamId, after: Tail) -> Result<History, Failure> {
        self.call(|state| {
            state.loads += 1;
            if !state.journals.contains(&stream.journal) {
                return Err(Failure::missing("the journal stream"));
            }
            let commits = state.commits.iter().filter(|commit| commit.header.stream == *stream);
            let commits = commits.filter(|commit| commit.header.revision > after.revision);
            Ok(History::of(commits.map(|commit| state.open(commit)).collect()))
        })?
    }

    async fn append(&self, draft: Draft) -> Result<Receipt, AppendError> {
        tokio::task::yield_now().await;
        self.call(|state| state.append(draft))?
    }

    async fn follow(&self, _: &JournalId, _: u64) -> Result<Box<dyn Feed>, Failure> {
        unimplemented!("the write side follows nothing")
    }

    async fn head(&self, journal: &JournalId) -> Result<Position, Failure> {
        let study = journal.study.clone();
        self.call(|state| Position { study, incarnation: 1, sequence: state.commits.len() as u64 })
    }

    async fn hash_at(&self, _: &JournalId, _: u64) -> Result<Option<CommitHash>, Failure> {
        unimplemented!("the write side checks no projection")
    }

    async fn journals(&self) -> Result<Vec<JournalId>, Failure> {
        self.call(|state| state.journals.iter().cloned().collect())
    }

    async fn streams(&self, journal: &JournalId, aggregate: Aggregate) -> Result<Vec<StreamId>, Failure> {
        self.call(|state| {
            let streams = state.commits.iter().map(|commit| &commit.header.stream);
            let wanted = streams.filter(|stream| stream.journal == *journal && stream.aggregate == aggregate);
            wanted.collect::<BTreeSet<_>>().into_iter().cloned().collect()
        })
    }
}

#[async_trait]
impl Keys for World {
    async fn fence(&self, targets: &[Target]) -> Result<(), Failure> {
        self.ask("key tree", "fence".into(), |state| {
            state.fenced.extend(targets.iter().cloned());
            state.vouched += u64::from(!state.deaf);
        })
    }

    fn copies(&self) -> TreeCopies {
        if self.state().off_site { TreeCopies::OffSite } else { TreeCopies::Single }
    }

    async fn shred(&self, targets: &[Target]) -> Result<ShredReceipt, Failure> {
        let copy = self.copies();
        let now = self.now();
        self.ask("KMS", "shred".into(), |state| {
            state.root += 1;
            let (root_before, root_after) = (state.root - 1, state.root);
            let mut shredded = Vec::new();
            for target in targets {
                let doomed = state.covered(std::slice::from_ref(target));
                assert!(doomed.iter().all(|key| state.is_fenced(key)), "a key is fenced before it is destroyed");
                state.keys.retain(|key| !doomed.contains(key));
                let keys = doomed.len() as u64;
                let now = Shredded { target: target.clone(), keys, root_before, root_after };
                let before = state.receipts.entry(target.clone()).or_insert_with(|| now.clone());
                if keys > 0 {
                    *before = now;
                }
                shredded.push(before.clone());
                state.shredded.extend(doomed);
            }
            let kept = state.kms_keeps_until.filter(|until| *until > now);
            let destruction = kept.map_or(Destruction::Done, |at| Destruction::Scheduled { at });
            ShredReceipt { targets: shredded, copy, destruction }
        })
    }

    async fn probe(&self, targets: &[Target]) -> Result<u64, Failure> {
        let probe = |state: &mut State| if state.blind { 0 } else { state.covered(targets).len() as u64 };
        self.ask("key tree", "probe".into(), probe)
    }

    async fn vouch(&self) -> Result<u64, Failure> {
        let state = self.state();
        match state.down.contains("key tree") {
            true => Err(Failure::unavailable("key tree", "as ordered")),
            false => Ok(state.vouched),
        }
    }
}

#[async_trait]
impl Ledger for World {
    async fn ship(&self, stream: &StreamId) -> Result<(), Failure> {
        self.ask("ledger", "ship".into(), |state| {
            let commits = state.commits.iter().filter(|commit| commit.header.stream == *stream).count();
            state.shipped.insert(stream.clone(), commits);
        })
    }
}

#[async_trait]
impl Certifier for World {
    async fn checkpoint(&self, _: &JournalId) -> Result<(), Failure> {
        self.ask("certifier", "checkpoint".into(), |_| ())
    }
    async fn certify(&self, account: &ErasureAccount) -> Result<Certified, Failure> {
        self.ask("certifier", "certify".into(), |state| state.accounts.push(account.clone()))?;
        Ok(Certified { digest: CommitHash([7; 32]), bytes: 1 })
    }
    async fn certificate(&self, _: ErasureId) -> Result<Option<String>, Failure> {
        Ok(None)
    }
    async fn page(&self, _: ErasureId) -> Result<Option<String>, Failure> {
        Ok(None)
    }
}

#[async_trait]
impl Cells for World {
    async fn seal(&self, _: &CellPlace, _: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        unimplemented!("the write side keeps no read model")
    }
    async fn open(&self, _: &CellPlace, _: &[u8]) -> Result<Opened, Failure> {
        unimplemented!("the write side keeps no read model")
    }
}

impl ReadStore for World {
    fn get(&self, _: &str, _: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        unimplemented!("the write side keeps no read model")
    }
    fn scan(&self, _: &str, _: &[u8], _: Option<&[u8]>, _: usize) -> Result<Vec<Row>, Failure> {
        unimplemented!("the write side keeps no read model")
    }
    fn apply(&self, _: &str, _: &[Change]) -> Result<(), Failure> {
        unimplemented!("the write side keeps no read model")
    }
    fn drop_table(&self, _: &str) -> Result<(), Failure> {
        unimplemented!("the write side keeps no read model")
    }
}

#[async_trait]
impl Progress for World {
    async fn wait_for(&self, _: &Position, _: Duration) -> Result<bool, Failure> {
        self.call(|state| !state.behind)
    }
    fn reflected(&self) -> Vec<Position> {
        Vec::new()
    }
}

impl Clock for World {
    fn now(&self) -> OffsetDateTime {
        time::macros::datetime!(2026-11-22 12:00 UTC) + self.state().later
    }
}

impl Dice for World {
    fn uuid(&self) -> Uuid {
        let mut state = self.state();
        state.draws += 1;
        Uuid::from_u128(u128::from(state.draws) << 64 | 0xd1ce)
    }
    fn bytes(&self) -> [u8; 32] {
        content_hash(self.uuid().as_bytes()).0
    }
}

#[async_trait]
impl domain::port::ExportVault for World {
    async fn begin(&self, export: domain::ids::ExportId) -> Result<(), Failure> {
        self.call(|state| {
            state.held.insert(export);
        })
    }

    async fn create(&self, _: domain::ids::ExportId, _: &str) -> Result<Box<dyn domain::port::HeldFile>, Failure> {
        unimplemented!("the write side writes no files")
    }

    async fn spool(&self) -> Result<Box<dyn domain::port::HeldSpool>, Failure> {
        unimplemented!("no command puts tables together")
    }
    async fn open(&self, _: domain::ids::ExportId, _: &str) -> Result<Option<Box<dyn std::io::Read + Send>>, Failure> {
        unimplemented!("the write side reads no files")
    }

    async fn holds(&self, export: domain::ids::ExportId) -> Result<bool, Failure> {
        self.call(|state| state.held.contains(&export))
    }

    async fn destroy(&self, export: domain::ids::ExportId) -> Result<(), Failure> {
        self.call(|state| {
            state.held.remove(&export);
        })
    }

    async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Failure> {
        unimplemented!("the write side signs nothing")
    }
}
