//! Sets the scene, runs it, and takes it down in order: traffic, sidecar, shop, embedded services.

use super::samples;
use super::screen::{self, Screen};
use super::shop::{self, Shop};
use super::tally::{Tally, Totals};
use super::traffic;
use crate::daemon::{self, Running, Shutdown, StartError};
use crate::dev::{Stage, StageError};
use crate::domain::Stop;
use crate::embedded::EmbeddedSettings;
use crate::settings::{AppEndpoint, DemoSettings, Settings};
use crate::tasks::Supervisor;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Lines of orders that may wait for the screen.
const WAITING_LINES: usize = 256;
/// How long orders that were put may still take to arrive once the traffic ended by itself (`--for`).
const SETTLE: Duration = Duration::from_secs(30);
const SETTLE_STEP: Duration = Duration::from_millis(20);

/// How the traffic is told to end, and how it says that its last order was answered.
#[derive(Debug)]
struct TrafficEnd {
    stop: Stop,
    done: Stop,
}

/// The demo could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Folder, port or terminal.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The embedded services.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The sidecar.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs until the time is over, a signal comes, or `POST /v1.0/shutdown` is called.
///
/// # Errors
/// When it could not be set up; what had been started is stopped first.
pub async fn run(settings: DemoSettings, stop: &Stop) -> Result<Shutdown, DemoError> {
    let begun = Instant::now();
    let files = tempfile::tempdir().map_err(during("a temporary folder could not be made"))?;
    samples::write_to(files.path()).map_err(during("the sample components could not be written"))?;
    let keep = settings.keep.clone();
    let stage = Stage::start(EmbeddedSettings { keep, ..EmbeddedSettings::default() }).await?;
    let outcome = on_stage(&settings, files.path().to_owned(), &stage, stop, begun).await;
    stage.stop().await;
    outcome
}

async fn on_stage(
    settings: &DemoSettings,
    files: PathBuf,
    stage: &Stage,
    stop: &Stop,
    begun: Instant,
) -> Result<Shutdown, DemoError> {
    let shop_listener = TcpListener::bind("127.0.0.1:0").await.map_err(during("no port is free for the shop"))?;
    let shop_address = shop_listener.local_addr().map_err(during("the shop's port is not known"))?;
    let sidecar_settings = sidecar_settings(settings, files, shop_address).await;
    let mut components = daemon::load(&sidecar_settings)?;
    stage.prepare(&mut components).await?;

    let tally = Tally::new(begun);
    let (taken, taken_lines) = mpsc::channel(WAITING_LINES);
    let (announce, sidecar) = watch::channel(None);
    // Traffic ends with the first wish to stop; the shop stays until the sidecar has handed over its last order.
    let (shop_stop, traffic_stop) = (Stop::new(), stop.child());
    let mut cast = Supervisor::new();
    let shop = Shop { sidecar, tally: tally.clone(), taken };
    let serving = shop::serve(shop_listener, shop, shop_stop.clone());
    cast.spawn("shop", async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "shop ended");
        }
    });
    let running = daemon::start(&sidecar_settings, components).await?;
    let http = running.http_address();
    announce.send_replace(Some(http));
    print(&screen::welcome(http, settings.keep.as_deref()))?;
    let pause = Duration::from_secs_f64(1.0 / settings.rate);
    let traffic_end = TrafficEnd { stop: traffic_stop, done: Stop::new() };
    let (orders, done) = (traffic::run(http, pause, tally.clone(), traffic_end.stop.clone()), traffic_end.done.clone());
    cast.spawn("traffic", async move {
        orders.await;
        done.finish();
    });

    let metrics = running.metrics();
    let (shared, fan_out) = (metrics.input("orders-shared"), metrics.input("orders-fanout"));
    let mut screen = Screen { tally: tally.clone(), shared, fan_out, taken: taken_lines };
    let shutdown = play(running, &mut screen, settings, &traffic_end, stop).await?;
    shop_stop.finish();
    while cast.next().await.is_some() {}
    print(&summary(&tally.totals()))?;
    Ok(shutdown)
}

/// The show itself: screen and sidecar side by side, until the end is asked for.
async fn play(
    running: Running,
    screen: &mut Screen,
    settings: &DemoSettings,
    traffic: &TrafficEnd,
    stop: &Stop,
) -> Result<Shutdown, DemoError> {
    let tally = screen.tally.clone();
    let end = stop.child();
    let sidecar = async {
        let serving = running.run_until(&end);
        tokio::pin!(serving);
        tokio::select! {
            shutdown = &mut serving => shutdown,
            () = time_over(settings.ends_after, traffic, &tally) => {
                end.finish();
                serving.await
            }
        }
    };
    tokio::pin!(sidecar);
    tokio::select! {
        shutdown = &mut sidecar => {
            traffic.stop.finish();
            Ok(shutdown)
        }
        shown = screen.run() => {
            if shown.is_err() {
                // Nobody looks any more (`| head`): come down in order all the same.
                traffic.stop.finish();
                end.finish();
            }
            let shutdown = sidecar.await;
            shown.map_err(during("the terminal could not be written")).map(|()| shutdown)
        }
    }
}

/// Resolves when the time is over and what was put has arrived, or will not within [`SETTLE`].
async fn time_over(ends_after: Option<Duration>, traffic: &TrafficEnd, tally: &Tally) {
    let Some(limit) = ends_after else { return std::future::pending().await };
    tokio::time::sleep(limit).await;
    traffic.stop.finish();
    traffic.done.asked().await;
    let deadline = Instant::now() + SETTLE;
    while !has_arrived(&tally.totals()) && Instant::now() < deadline {
        tokio::time::sleep(SETTLE_STEP).await;
    }
}

const fn has_arrived(totals: &Totals) -> bool {
    totals.shared >= totals.put && totals.fan_out >= totals.put
}

async fn sidecar_settings(settings: &DemoSettings, files: PathBuf, shop: SocketAddr) -> Settings {
    let mut sidecar = Settings::local("shop", files);
    sidecar.app = Some(AppEndpoint { address: shop.ip().to_string(), port: shop.port() });
    sidecar.http_addresses = vec![SocketAddr::from(([127, 0, 0, 1], http_port(settings.http_port).await))];
    sidecar
}

/// The port asked for; else Dapr's 3500 if it is free, so that the printed lines look familiar; else any.
async fn http_port(asked: Option<u16>) -> u16 {
    const USUAL: u16 = 3500;
    match asked {
        Some(port) => port,
        None => TcpListener::bind(("127.0.0.1", USUAL)).await.map_or(0, |_free| USUAL),
    }
}

fn summary(totals: &Totals) -> String {
    let first = totals.first_delivery.map_or_else(
        || "nothing was delivered".to_owned(),
        |took| format!("first delivery after {} ms", took.as_millis()),
    );
    let left = totals.put.saturating_sub(totals.shared) + totals.put.saturating_sub(totals.fan_out);
    let left = match left {
        0 => String::new(),
        left => format!("{left} deliveries were still to come; with --keep the next run goes on with them\n"),
    };
    format!("demo: {totals}\n{first}\n{left}")
}

fn print(text: &str) -> Result<(), DemoError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(during("the terminal could not be written"))
}

fn during(doing: &'static str) -> impl FnOnce(io::Error) -> DemoError {
    move |source| DemoError::Io { doing, source }
}
