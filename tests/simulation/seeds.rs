//! Which seeds run, and the runtime that each of them runs on.

use std::time::Duration;

const SEEDS: u64 = 400;
const PARTS: u64 = 4;
/// Far more than a seed needs, in the time of the paused clock.
const TIMEOUT: Duration = Duration::from_secs(3_600);

/// The seeds of one simulation: `PREFIX_SEEDS` says how many (400 if unset), `PREFIX_FIRST` the first one.
pub(crate) struct Seeds {
    prefix: &'static str,
    first: u64,
    pub(crate) count: u64,
}

impl Seeds {
    pub(crate) fn from_environment(prefix: &'static str) -> Self {
        Self {
            prefix,
            first: number(&format!("{prefix}_FIRST")).unwrap_or(0),
            count: number(&format!("{prefix}_SEEDS")).unwrap_or(SEEDS),
        }
    }

    /// One of four parts, which run in parallel.
    pub(crate) fn part(&self, part: u64) -> impl Iterator<Item = u64> {
        (self.first..self.first + self.count).filter(move |seed| seed % PARTS == part)
    }

    /// Runs one seed to its end.
    pub(crate) fn simulate<T>(&self, seed: u64, run: impl Future<Output = Result<T, String>>) -> T {
        let prefix = self.prefix;
        self.outcome(run).unwrap_or_else(|violation| {
            panic!("seed {seed}: {violation}\nrun only this seed: {prefix}_FIRST={seed} {prefix}_SEEDS=1 cargo test --test simulation")
        })
    }

    /// Runs one seed to its end. The error is the violation that was found.
    pub(crate) fn outcome<T>(&self, run: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        // The pauses of some retries are random without a seed of their own.
        fastrand::seed(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(TIMEOUT, run).await.unwrap_or_else(|_| Err("the run did not end".to_owned()))
        })
    }
}

fn number(variable: &str) -> Option<u64> {
    // The only reader of the environment in this test.
    let (_, value) = std::env::vars().find(|(name, _)| name == variable)?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} must be a number, it is `{value}`")))
}
