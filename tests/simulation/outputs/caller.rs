//! A caller that sends records, waits for results, and sometimes cancels.

use super::ledger::Ledger;
use super::plan::{FaultMode, Plan};
use bindd::domain::{NewRecord, PartitionKey};
use bindd::producer::{OutgoingRecord, Producer, PutOptions};
use bindd::testing::POISON;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) number: u64,
    pub(crate) plan: Arc<Plan>,
    pub(crate) producer: Arc<Producer>,
    pub(crate) ledger: Ledger,
    pub(crate) random: fastrand::Rng,
}

impl Caller {
    pub(crate) async fn run(mut self) {
        for _ in 0..self.plan.rounds {
            tokio::time::sleep(self.plan.pause.mul_f64(self.random.f64())).await;
            self.round().await;
        }
    }

    async fn round(&mut self) {
        let options = PutOptions {
            fail_if_throttled: self.random.u32(0..10) == 0 && self.plan.faults == FaultMode::Faulty,
            ..PutOptions::until(Instant::now() + self.timeout())
        };
        let count = match self.random.u32(0..4) {
            0 | 1 => 1,
            2 => self.random.u64(2..8),
            _ => self.random.u64(2..60),
        };
        let is_bulk = count >= 8 || self.random.bool();
        let ids: Vec<usize> = (0..count).map(|_| self.new_record(options.deadline)).collect();
        let cancel_after = (self.plan.faults == FaultMode::Faulty && self.random.u32(0..8) == 0)
            .then(|| Duration::from_millis(self.random.u64(0..80)));
        let work = async {
            if is_bulk {
                self.put_all(&ids, options).await;
            } else {
                join_all(ids.iter().map(|id| self.put(*id, options.clone()))).await;
            }
        };
        match cancel_after {
            // A result that arrives at the same time as the cancellation counts.
            Some(after) => tokio::time::timeout(after, work).await.unwrap_or_else(|_| self.ledger.cancelled(&ids)),
            None => work.await,
        }
    }

    async fn put(&self, id: usize, options: PutOptions) {
        self.ledger.set_single(id);
        let options = PutOptions { ends_batch: self.plan.ends_batch(id), ..options };
        let result = self.producer.put(self.ledger.record(id), options).await;
        self.ledger.completed(id, result);
    }

    async fn put_all(&self, ids: &[usize], options: PutOptions) {
        let record =
            |id: &usize| OutgoingRecord { record: self.ledger.record(*id), ends_batch: self.plan.ends_batch(*id) };
        let records = ids.iter().map(record).collect();
        let results = self.producer.put_all(records, options).await;
        if results.len() != ids.len() {
            self.ledger.report(format!("{} records got {} results", ids.len(), results.len()));
        }
        ids.iter().zip(results).for_each(|(id, result)| self.ledger.completed(*id, result));
    }

    fn timeout(&mut self) -> Duration {
        match self.plan.faults {
            FaultMode::None => Duration::from_secs(60),
            FaultMode::Faulty if self.random.u32(0..4) == 0 => Duration::from_millis(self.random.u64(0..300)),
            FaultMode::Faulty => Duration::from_millis(self.random.u64(300..10_000)),
        }
    }

    fn new_record(&mut self, deadline: Instant) -> usize {
        let key = if self.random.u32(0..3) == 0 {
            format!("shared-{}", self.random.u64(0..3))
        } else {
            format!("caller-{}-{}", self.number, self.random.u64(0..self.plan.keys))
        };
        let partition_key: Option<PartitionKey> = (!self.plan.is_keyless).then(|| key.parse().unwrap());
        // The same for all records of a key, since it decides about order too.
        let has_hash = !self.plan.is_keyless && key.len().is_multiple_of(2) && self.plan.keys > 2;
        let spread =
            key.bytes().fold(1_u128, |hash, byte| hash.wrapping_mul(0x1_0000_01b3_0000_0193) ^ u128::from(byte));
        let explicit_hash_key = has_hash.then_some(spread);
        let has_faults = self.plan.faults == FaultMode::Faulty;
        let mark = if has_faults && self.random.u32(0..60) == 0 { POISON } else { b"record" };
        let max = self.plan.producer.max_record_size - key.len();
        let size = match self.random.u32(0..40) {
            0 => max,
            1 if has_faults => max + self.random.usize(1..50),
            _ => self.random.usize(1..=self.plan.size).min(max),
        };
        self.ledger.open(self.number, deadline, |id| NewRecord {
            data: self.plan.data(mark, id, size),
            partition_key,
            explicit_hash_key,
        })
    }
}
