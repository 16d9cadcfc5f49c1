//! What a seed decides before its run begins.

use super::clock::{RATES, WorkerClock};
use super::kcl_table::KclVersion;
use bindd::consumer::{ConsumerSettings, DeliverySettings, OnPoison, Order, Partial, SharedLimits, WallClock};
use bindd::domain::{DrainLimits, InitialPosition, Timestamp, WorkerId};
use bindd::resilience::Backoff;
use std::time::Duration;

/// The start of the stream's clock.
const CLOCK_START: i64 = 1_700_000_000_000;
/// With this status the app refuses poison.
pub(crate) const POISON_STATUS: u16 = 422;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Without faults and crashes, so that no record may be delivered twice.
    pub(crate) is_clean: bool,
    pub(crate) shards: u32,
    pub(crate) keys: u64,
    pub(crate) max_workers: usize,
    pub(crate) initial: InitialPosition,
    pub(crate) lease: Duration,
    pub(crate) checkpoint_interval: Duration,
    pub(crate) drain: Duration,
    pub(crate) delivery: DeliverySettings,
    pub(crate) has_dead_letters: bool,
    /// The app refuses some records for ever.
    pub(crate) has_poison: bool,
    /// Each fifth key takes a second longer.
    pub(crate) has_slow_keys: bool,
    /// The app tells which events of a batch it refused. Otherwise it refuses the whole batch.
    pub(crate) replies_by_event: bool,
    pub(crate) has_aggregates: bool,
    /// Some records have 10 MiB.
    pub(crate) has_large_records: bool,
    pub(crate) is_trimmed: bool,
    /// The stream may be deleted and created again under the same name.
    pub(crate) is_replaced: bool,
    /// Workers of this KCL share the table.
    pub(crate) kcl: Option<KclVersion>,
    /// Some calls of a clean run take so long, which is longer than a lease lasts.
    pub(crate) slow_call: Option<Duration>,
    /// Records whose size is a multiple of this are filtered.
    pub(crate) filter: Option<usize>,
    /// Records go through a transform, which takes time and changes nothing.
    pub(crate) has_transform: bool,
    pub(crate) app_timeout: Duration,
    pub(crate) iterator_lifetime: Duration,
    /// Shards are read by enhanced fan-out and not by polling.
    pub(crate) fan_out: bool,
    pub(crate) subscription_lifetime: Duration,
    pub(crate) faults: Duration,
}

impl Plan {
    pub(crate) fn new(random: &mut fastrand::Rng) -> Self {
        let is_clean = random.u32(0..5) == 0;
        let lease = Duration::from_millis(*random.choice(&[2_000, 4_000, 10_000]).unwrap());
        let has_poison = !is_clean && random.u32(0..3) == 0;
        let has_large_records = random.u32(0..8) == 0;
        let initial = match random.u32(0..5) {
            0 | 1 => InitialPosition::Latest,
            2 => InitialPosition::AtTimestamp(Timestamp::from_millis(CLOCK_START + 5_000)),
            _ => InitialPosition::TrimHorizon,
        };
        let mut plan = Self {
            is_clean,
            shards: random.u32(1..=4),
            keys: random.u64(1..16),
            max_workers: random.usize(1..=3),
            initial,
            lease,
            checkpoint_interval: Duration::from_millis(*random.choice(&[200, 1_000, 3_000]).unwrap()),
            drain: Duration::from_secs(12),
            delivery: delivery(random, has_poison, has_large_records),
            has_dead_letters: random.bool(),
            has_poison,
            has_slow_keys: random.u32(0..4) == 0,
            replies_by_event: random.bool(),
            has_aggregates: random.u32(0..3) == 0,
            has_large_records,
            is_trimmed: !is_clean && random.u32(0..8) == 0,
            is_replaced: !is_clean && random.u32(0..8) == 0,
            kcl: None,
            slow_call: None,
            filter: None,
            has_transform: false,
            app_timeout: Duration::from_secs(random.u64(2..=6)),
            iterator_lifetime: Duration::from_secs(*random.choice(&[3, 300]).unwrap()),
            fan_out: random.u32(0..3) == 0,
            subscription_lifetime: Duration::from_secs(*random.choice(&[8, 20, 300]).unwrap()),
            faults: Duration::from_secs(45),
        };
        if random.u32(0..6) == 0 && !plan.is_replaced {
            plan.kcl = Some(if random.bool() { KclVersion::V2 } else { KclVersion::V3 });
            // The KCL reports no gaps, and does not know when the start at LATEST of another worker was.
            plan.is_trimmed = false;
            plan.initial =
                if plan.initial == InitialPosition::Latest { InitialPosition::TrimHorizon } else { plan.initial };
        }
        if is_clean && lease <= Duration::from_secs(4) && random.bool() {
            (plan.slow_call, plan.app_timeout) = (Some(lease.mul_f64(1.5)), lease * 3);
            // Some slow calls in a row must not end a drain, as what was accepted beyond them would be repeated.
            plan.drain = Duration::from_secs(80);
        }
        // What is too old stays too old, so a halted record would never be delivered.
        if !is_clean && random.u32(0..4) == 0 && (plan.has_dead_letters || plan.delivery.on_poison == OnPoison::Drop) {
            plan.delivery.max_record_age = Some(Duration::from_secs(random.u64(4..20)));
        }
        // Without a hint, only halving finds the record that a batch fails for; and only a batch of one has its status.
        let has_status = !plan.delivery.permanent_statuses.is_empty();
        plan.delivery.bisect_on_error |= has_poison && (!plan.replies_by_event || has_status);
        plan.has_transform = random.u32(0..3) == 0;
        // A KCL has no filter.
        plan.filter = (plan.kcl.is_none() && random.u32(0..3) == 0).then(|| random.usize(2..6));
        plan
    }

    pub(crate) fn settings(&self, worker: WorkerId, clock: &WorkerClock, seed: u64) -> ConsumerSettings {
        let wall_clock = clock.clone();
        ConsumerSettings {
            initial_position: self.initial,
            lease_duration: clock.lasts(self.lease),
            checkpoint_interval: clock.lasts(self.checkpoint_interval),
            drain_limits: DrainLimits { urgent: self.drain, retire: self.drain },
            handoff_limit: self.drain.max(Duration::from_secs(20)),
            retry: self.delivery.retry,
            delivery: self.delivery.clone(),
            clock: WallClock::new(move || wall_clock.now()),
            limits: SharedLimits::new(64 << 20, None, seed),
            seed,
            ..ConsumerSettings::for_binding("orders".parse().unwrap(), worker)
        }
    }

    /// Whether the app does not receive records of this size.
    pub(crate) fn is_filtered(&self, size: usize) -> bool {
        self.filter.is_some_and(|divisor| size.is_multiple_of(divisor))
    }

    /// Regular scans of the leases by one worker: for a small table every two seconds, or each fifth of the lease duration.
    pub(crate) fn scans_per_minute(&self) -> usize {
        let shortest = (self.shortest_lease() / 5).min(Duration::from_secs(2)).mul_f64(0.8);
        usize::try_from(60_000 / shortest.as_millis()).unwrap_or(usize::MAX)
    }

    /// The lease duration by the slowest clock.
    fn longest_lease(&self) -> Duration {
        self.lease.div_f64(RATES.0)
    }

    /// The lease duration by the fastest clock: no other worker takes a lease earlier.
    pub(crate) fn shortest_lease(&self) -> Duration {
        self.lease.div_f64(RATES.1)
    }

    /// Whether a poison record is given up one day.
    pub(crate) fn gives_up(&self) -> bool {
        let DeliverySettings { max_attempts, max_record_age, .. } = &self.delivery;
        max_attempts.is_some() || max_record_age.is_some() || self.has_permanent_status()
    }

    /// Whether the app's refusal of poison says that it is final.
    pub(crate) fn has_permanent_status(&self) -> bool {
        self.delivery.permanent_statuses.contains(&POISON_STATUS)
    }

    /// Whether a record that is given up leaves the way free.
    pub(crate) fn passes_poison(&self) -> bool {
        self.gives_up() && (self.has_dead_letters || self.delivery.on_poison == OnPoison::Drop)
    }

    /// Whether records may be dropped.
    pub(crate) fn drops(&self) -> bool {
        self.gives_up() && !self.has_dead_letters && self.delivery.on_poison == OnPoison::Drop
    }

    /// Whether records may be halted until the next start.
    pub(crate) fn halts(&self) -> bool {
        self.gives_up() && !self.passes_poison()
    }

    /// How long a shard may be without an owner after the faults: lease expiry, the longest pause after a failed take, two
    /// scans.
    pub(crate) fn takeover_limit(&self) -> Duration {
        let lease = self.longest_lease();
        lease * 2 + (lease / 2).mul_f64(1.2) * 2 + Duration::from_secs(3)
    }

    /// After this time every lease of a crashed worker has a new owner, and the workers have equal shares: lease expiry, six
    /// lease durations in which a moved lease is not moved again, and some lease scans. Before that, a worker may stop while
    /// another one hands a lease over to it.
    pub(crate) fn rebalance_time(&self) -> Duration {
        self.longest_lease() * 9 + Duration::from_secs(20)
    }
}

fn delivery(random: &mut fastrand::Rng, has_poison: bool, has_large_records: bool) -> DeliverySettings {
    let is_batched = random.bool();
    let budgets: &[usize] = if has_large_records { &[16 << 20] } else { &[8 << 10, 64 << 10, 16 << 20] };
    DeliverySettings {
        order: *random.choice(&[Order::Key, Order::Key, Order::Shard, Order::None]).unwrap(),
        concurrency_per_shard: random.usize(1..=8),
        concurrency: random.usize(2..=24),
        max_in_flight_records: random.usize(20..200),
        max_buffered_bytes: *random.choice(budgets).unwrap(),
        batch_size: if is_batched { random.usize(2..=10) } else { 1 },
        batch_bytes: *random.choice(&[512, 6 << 20]).unwrap(),
        batch_window: Duration::from_millis(if is_batched { *random.choice(&[0, 50, 500]).unwrap() } else { 0 }),
        bisect_on_error: random.bool(),
        retry: Backoff::millis(100, 2_000),
        max_attempts: (random.u32(0..3) == 0).then(|| random.u32(3..=6)),
        max_record_age: None,
        permanent_statuses: if has_poison && random.bool() { vec![POISON_STATUS] } else { Vec::new() },
        partial: *random.choice(&[Partial::Lowest, Partial::Exact]).unwrap(),
        app_down_release: None,
        on_poison: *random.choice(&[OnPoison::HaltKey, OnPoison::HaltShard, OnPoison::Drop]).unwrap(),
    }
}
