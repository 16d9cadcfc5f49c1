//! The output: updated in place on a terminal, plain lines otherwise.

use super::counters::{Counters, Totals};
use super::shop::AcceptedOrder;
use crate::telemetry::InputMetrics;
use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tokio::sync::mpsc;

/// Newest orders that a terminal shows.
const SHOWN: usize = 6;
const REFRESH: Duration = Duration::from_millis(250);
/// Interval of the line of totals in plain output.
const REPORT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Screen {
    pub(super) counters: Counters,
    pub(super) shared: InputMetrics,
    pub(super) fan_out: InputMetrics,
    pub(super) accepted: mpsc::Receiver<AcceptedOrder>,
}

impl Screen {
    /// Shows orders and totals until every sender of orders is dropped. Cancel-safe.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(super) async fn run(&mut self) -> io::Result<()> {
        if io::stdout().is_terminal() { self.in_place().await } else { self.plain().await }
    }

    async fn plain(&mut self) -> io::Result<()> {
        let mut report = tokio::time::interval(REPORT);
        report.tick().await;
        loop {
            tokio::select! {
                accepted = self.accepted.recv() => match accepted {
                    Some(accepted) => writeln!(io::stdout(), "{}", line(&accepted))?,
                    None => return Ok(()),
                },
                _ = report.tick() => writeln!(io::stdout(), "{}", self.status())?,
            }
        }
    }

    async fn in_place(&mut self) -> io::Result<()> {
        let mut refresh = tokio::time::interval(REFRESH);
        let mut newest = VecDeque::with_capacity(SHOWN);
        let mut drawn = 0;
        loop {
            tokio::select! {
                accepted = self.accepted.recv() => match accepted {
                    Some(accepted) => {
                        newest.truncate(SHOWN - 1);
                        newest.push_front(line(&accepted));
                    }
                    None => return Ok(()),
                },
                _ = refresh.tick() => drawn = self.draw(&newest, drawn)?,
            }
        }
    }

    /// Overwrites the lines drawn before; returns the number of lines.
    fn draw(&self, newest: &VecDeque<String>, drawn: usize) -> io::Result<usize> {
        let mut out = io::stdout().lock();
        if drawn > 0 {
            write!(out, "\x1b[{drawn}A")?;
        }
        writeln!(out, "\x1b[2K{}", self.status())?;
        for text in newest {
            writeln!(out, "\x1b[2K{text}")?;
        }
        out.flush()?;
        Ok(1 + newest.len())
    }

    fn status(&self) -> String {
        status(&self.counters.totals(), self.shared.lag(), self.fan_out.lag())
    }
}

fn status(totals: &Totals, shared: Duration, fan_out: Duration) -> String {
    format!("so far: {totals}; lag shared {:.1} s, fan-out {:.1} s", shared.as_secs_f64(), fan_out.as_secs_f64())
}

fn line(accepted: &AcceptedOrder) -> String {
    format!("  app accepted {} by {} from {}", accepted.order, accepted.mode, accepted.shard)
}

/// Printed once at the start.
pub(super) fn welcome(http: std::net::SocketAddr, kept: Option<&std::path::Path>) -> String {
    let keeping = kept.map_or_else(
        || "nothing is kept; `--keep DIR` keeps stream, table and checkpoints".to_owned(),
        |folder| format!("kept in {}", folder.display()),
    );
    format!(
        "bindd demo: embedded Kinesis and DynamoDB, sidecar on http://{http}, a small shop as the app ({keeping})\n\
         an order goes POST orders-out -> stream -> orders-shared and orders-fanout -> shop -> POST orders-table\n\
         try it by hand:\n  \
         curl -i http://{http}/v1.0/bindings/orders-out -d '{{\"operation\":\"create\",\"data\":{{\"id\":\"mine-1\",\"goods\":\"tea\",\"quantity\":2}},\"metadata\":{{\"partitionKey\":\"me\"}}}}'\n  \
         curl -i http://{http}/v1.0/bindings/orders-table -d '{{\"operation\":\"create\",\"data\":{{\"id\":\"row-1\",\"price\":12.50}}}}'\n  \
         curl -i http://{http}/v1.0/healthz\n  \
         curl http://{http}/v1.0/metadata\n\
         Ctrl-C stops it\n"
    )
}
