//! The terminal: updated in place where it is one, plain lines otherwise.

use super::shop::Taken;
use super::tally::{Tally, Totals};
use crate::telemetry::InputMetrics;
use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tokio::sync::mpsc;

/// How many of the newest orders a terminal shows.
const SHOWN: usize = 6;
const REFRESH: Duration = Duration::from_millis(250);
/// Plain output has a line of totals this often.
const REPORT: Duration = Duration::from_secs(2);

/// What the screen reads.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) tally: Tally,
    pub(super) shared: InputMetrics,
    pub(super) fan_out: InputMetrics,
    pub(super) taken: mpsc::Receiver<Taken>,
}

impl Screen {
    /// Shows what happens until every sender of orders is gone. Cancel-safe.
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
                taken = self.taken.recv() => match taken {
                    Some(taken) => writeln!(io::stdout(), "{}", line(&taken))?,
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
                taken = self.taken.recv() => match taken {
                    Some(taken) => {
                        newest.truncate(SHOWN - 1);
                        newest.push_front(line(&taken));
                    }
                    None => return Ok(()),
                },
                _ = refresh.tick() => drawn = self.draw(&newest, drawn)?,
            }
        }
    }

    /// Goes up over what was drawn last and draws anew; gives the number of lines drawn.
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
        status(&self.tally.totals(), self.shared.lag(), self.fan_out.lag())
    }
}

fn status(totals: &Totals, shared: Duration, fan_out: Duration) -> String {
    format!("so far: {totals}; lag shared {:.1} s, fan-out {:.1} s", shared.as_secs_f64(), fan_out.as_secs_f64())
}

fn line(taken: &Taken) -> String {
    format!("  app took {} by {} from {}", taken.order, taken.way, taken.shard)
}

/// What is printed once at the beginning.
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
