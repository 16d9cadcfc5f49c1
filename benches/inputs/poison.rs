//! One shard with 40 keys and an app that takes 20 ms: the rate of the others while one key is rejected, compared with the
//! rate while nothing is rejected. The others go on until the shard's window is full, so the time is short.

use crate::app::App;
use crate::programs::Program;
use crate::stats::as_f64;
use crate::stream_server::StreamServer;
use crate::{Failure, Run, print_line};
use std::time::Duration;

const START_LIMIT: Duration = Duration::from_secs(120);

pub(crate) async fn run(run: &Run) -> Result<(), Failure> {
    print_line("\n### Poison key: one shard, 40 keys, app 20 ms\n")?;
    print_line("| | records/s | × without poison | rejected |")?;
    print_line("|---|--:|--:|--:|")?;
    let mut healthy = None;
    for (name, poison) in [("nothing is rejected", None), ("one key is rejected", Some("key-7".to_owned()))] {
        let server = StreamServer { shards: 1, records: 10_000, size: 64, keys: 40 };
        let app = App { time_ms: 20, poison, ..App::default() };
        let (stream, app) = (Program::stream(&server).await?, Program::app(&app).await?);
        let mut bindd = Program::bindd(run, app.addresses[0], Some(&stream), &[])?;
        app.until(0, 1, &mut bindd, START_LIMIT).await?;
        let before = app.numbers().await?;
        tokio::time::sleep(Duration::from_secs_f64(run.seconds)).await;
        let after = app.numbers().await?;
        let rate = as_f64(after[0] - before[0]) / run.seconds;
        let reference = *healthy.get_or_insert(rate);
        print_line(format!("| {name} | {rate:.0} | {:.2} | {} |", rate / reference, after[2]))?;
    }
    Ok(())
}
