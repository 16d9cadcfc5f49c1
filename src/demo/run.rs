//! Starts all parts of the demo, and stops them in order: traffic, sidecar, shop, embedded services.

use super::counters::{Counters, Totals};
use super::samples;
use super::screen::{self, Screen};
use super::shop::{self, Shop};
use super::traffic;
use crate::daemon::{self, Running, Shutdown, StartError};
use crate::dev::{Emulators, EmulatorsError};
use crate::domain::Stop;
use crate::embedded::EmbeddedSettings;
use crate::settings::{AppEndpoint, AppProtocol, DemoSettings, Settings};
use crate::tasks::Supervisor;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Accepted orders that may wait for the screen.
const WAITING_LINES: usize = 256;
/// How long the last orders may take to arrive after the traffic has ended (`--for`).
const ARRIVAL_LIMIT: Duration = Duration::from_secs(30);
const ARRIVAL_POLL: Duration = Duration::from_millis(20);

/// `stop` stops the traffic; the traffic finishes `done` when its last order is confirmed.
#[derive(Debug)]
struct TrafficEnd {
    stop: Stop,
    done: Stop,
}

/// The demo could not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Folder, port or terminal.
    #[error("{doing}: {source}")]
    Io { doing: &'static str, source: io::Error },
    #[error(transparent)]
    Emulators(#[from] EmulatorsError),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs until `--for` is over, a signal arrives, or `POST /v1.0/shutdown` is called.
///
/// # Errors
/// When a part could not start; parts that had started are stopped first.
pub async fn run(settings: DemoSettings, stop: &Stop) -> Result<Shutdown, DemoError> {
    let started = Instant::now();
    let files = tempfile::tempdir().map_err(during("a temporary folder could not be created"))?;
    samples::write_to(files.path()).map_err(during("the sample components could not be written"))?;
    let keep = settings.keep.clone();
    let emulators = Emulators::start(EmbeddedSettings { keep, ..EmbeddedSettings::default() }).await?;
    let outcome = with_emulators(&settings, files.path().to_owned(), &emulators, stop, started).await;
    emulators.stop().await;
    outcome
}

async fn with_emulators(
    settings: &DemoSettings,
    files: PathBuf,
    emulators: &Emulators,
    stop: &Stop,
    started: Instant,
) -> Result<Shutdown, DemoError> {
    let shop_listener = TcpListener::bind("127.0.0.1:0").await.map_err(during("no port is free for the shop"))?;
    let shop_address = shop_listener.local_addr().map_err(during("the shop's port is not known"))?;
    let sidecar_settings = sidecar_settings(settings, files, shop_address).await;
    let mut files = Box::pin(daemon::load(&sidecar_settings)).await?;
    emulators.prepare(&mut files.components).await?;

    let counters = Counters::new(started);
    let (accepted, accepted_lines) = mpsc::channel(WAITING_LINES);
    let (announce, sidecar) = watch::channel(None);
    // Traffic ends with the first request to stop; the shop stays until the sidecar has delivered its last order.
    let (shop_stop, traffic_stop) = (Stop::new(), stop.child());
    let mut tasks = Supervisor::new();
    let shop = Shop { sidecar, counters: counters.clone(), accepted };
    let serving = shop::serve(shop_listener, shop, shop_stop.clone());
    tasks.spawn("shop", async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "shop ended");
        }
    });
    let running = daemon::start(&sidecar_settings, files).await?;
    let http = running.http_address();
    announce.send_replace(Some(http));
    print(&screen::welcome(http, settings.keep.as_deref()))?;
    let pause = Duration::from_secs_f64(1.0 / settings.rate);
    let traffic_end = TrafficEnd { stop: traffic_stop, done: Stop::new() };
    let (orders, done) =
        (traffic::run(http, pause, counters.clone(), traffic_end.stop.clone()), traffic_end.done.clone());
    tasks.spawn("traffic", async move {
        orders.await;
        done.finish();
    });

    let metrics = running.metrics();
    let (shared, fan_out) = (metrics.input("orders-shared"), metrics.input("orders-fanout"));
    let mut screen = Screen { counters: counters.clone(), shared, fan_out, accepted: accepted_lines };
    let shutdown = show(running, &mut screen, settings, &traffic_end, stop).await?;
    shop_stop.finish();
    while tasks.next().await.is_some() {}
    print(&summary(&counters.totals()))?;
    Ok(shutdown)
}

/// Runs screen and sidecar until a stop is requested.
async fn show(
    running: Running,
    screen: &mut Screen,
    settings: &DemoSettings,
    traffic: &TrafficEnd,
    stop: &Stop,
) -> Result<Shutdown, DemoError> {
    let counters = screen.counters.clone();
    let end = stop.child();
    let sidecar = async {
        let serving = running.run_until(&end);
        tokio::pin!(serving);
        tokio::select! {
            shutdown = &mut serving => shutdown,
            () = time_over(settings.ends_after, traffic, &counters) => {
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
                // The reader of standard output is gone (`| head`): stop in order all the same.
                traffic.stop.finish();
                end.finish();
            }
            let shutdown = sidecar.await;
            shown.map_err(during("the terminal could not be written")).map(|()| shutdown)
        }
    }
}

/// Resolves when `--for` is over and every order has arrived, or [`ARRIVAL_LIMIT`] has passed.
async fn time_over(ends_after: Option<Duration>, traffic: &TrafficEnd, counters: &Counters) {
    let Some(limit) = ends_after else { return std::future::pending().await };
    tokio::time::sleep(limit).await;
    traffic.stop.finish();
    traffic.done.finishing().await;
    let deadline = Instant::now() + ARRIVAL_LIMIT;
    while !has_arrived(&counters.totals()) && Instant::now() < deadline {
        tokio::time::sleep(ARRIVAL_POLL).await;
    }
}

const fn has_arrived(totals: &Totals) -> bool {
    totals.shared >= totals.put && totals.fan_out >= totals.put
}

async fn sidecar_settings(settings: &DemoSettings, files: PathBuf, shop: SocketAddr) -> Settings {
    let mut sidecar = Settings::local("shop", files);
    sidecar.app = Some(AppEndpoint { address: shop.ip().to_string(), port: shop.port(), protocol: AppProtocol::Http });
    sidecar.http_addresses = vec![SocketAddr::from(([127, 0, 0, 1], http_port(settings.http_port).await))];
    sidecar
}

/// The requested port; else Dapr's 3500 if it is free; else any free port.
async fn http_port(requested: Option<u16>) -> u16 {
    const DAPR_DEFAULT: u16 = 3500;
    match requested {
        Some(port) => port,
        None => TcpListener::bind(("127.0.0.1", DAPR_DEFAULT)).await.map_or(0, |_free| DAPR_DEFAULT),
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
        left => format!("{left} deliveries were still pending; with --keep the next run continues with them\n"),
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
