//! Time of shaping one record of 1 KiB on one core: event patterns, programs in jq and expressions of keys.
//!
//! ```sh
//! cargo bench --bench shaping
//! ```
//!
//! Each row is the best batch of a second: other load on the machine only makes a batch slower.

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use bindd::event_pattern::{Fields, Filter, Scalar};
use bindd::jq::Program;
use tokio::time::Instant;

type Failure = Box<dyn std::error::Error>;

const DURATION: Duration = Duration::from_secs(1);
/// Runs of a batch: few enough that some batches are not interrupted.
const RUNS: u32 = 100;

const PATTERNS: [(&str, bool); 5] = [
    (r#"{"partitionKey":[{"prefix":"order-"}]}"#, true),
    (r#"{"data":{"id":[{"prefix":"order-"}]}}"#, true),
    (r#"{"data":{"total":[{"numeric":[">",100]}],"customer":{"city":["Paris"]}}}"#, true),
    (r#"{"data":{"customer":{"city":["Berlin","Oslo"]}}}"#, false),
    (r#"{"data":{"lines":{"sku":["SKU-000009"]}}}"#, true),
];

const TRANSFORMS: [&str; 9] = [
    ".",
    ".customer",
    "{id, total, customer: .customer.id}",
    "del(.secret)",
    "with_entries(.key |= ({\"total\": \"amount\"}[.] // .))",
    ". + {key: $metadata.partitionKey}",
    ".lines[]",
    ".lines |= map(select(.quantity > 1))",
    ".secret |= sub(\"[a-z]+[0-9]\"; \"…\")",
];

const KEYS: [&str; 2] = [".customer.id", r#""\(.customer.id)-\(.id)""#];

const CONDITIONS: [&str; 1] = [".total > 100"];

/// The record of an output.
struct Record {
    data: String,
    key: &'static str,
}

impl Fields for Record {
    fn data(&self) -> &[u8] {
        self.data.as_bytes()
    }

    fn field(&self, name: &str) -> Option<Scalar<'_>> {
        (name == "partitionKey").then(|| Scalar::String(self.key.into()))
    }
}

/// An order of 1 KiB.
fn record() -> Record {
    let line = |n| format!(r#"{{"sku":"SKU-{n:06}","quantity":{},"price":19.90,"name":"An article"}}"#, n % 3);
    let lines: Vec<String> = (0..10).map(line).collect();
    let lines = lines.join(",");
    let data = format!(
        r#"{{"id":"order-000042","total":199.00,"secret":"s3cr3t","customer":{{"id":"c-17","name":"Ada","city":"Paris"}},"lines":[{lines}],"note":"{}"}}"#,
        "x".repeat(217)
    );
    Record { data, key: "order-000042" }
}

/// Microseconds of one run, in the best of all batches.
fn measure(mut run: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let (began, mut best) = (Instant::now(), f64::INFINITY);
    while began.elapsed() < DURATION {
        let batch = Instant::now();
        for _ in 0..RUNS {
            run()?;
        }
        best = best.min(batch.elapsed().as_secs_f64() * 1e6 / f64::from(RUNS));
    }
    Ok(best)
}

fn main() -> Result<(), Failure> {
    let record = record();
    let data = record.data.as_bytes();
    let metadata = || [("partitionKey", record.key)];
    let mut out = std::io::stdout();
    writeln!(out, "record of {} bytes", data.len())?;
    let mut row = |kind: &str, text: &str, time: f64| writeln!(out, "{kind:<10} {time:>8.2} µs  {text}");
    for (text, expected) in PATTERNS {
        let filter = Filter::compile(text, &["partitionKey"])?;
        let time = measure(|| {
            let is_match = filter.matches(black_box(&record));
            if is_match == expected { Ok(()) } else { Err("the pattern decided wrongly".into()) }
        })?;
        row("pattern", text, time)?;
    }
    for text in TRANSFORMS {
        let program = Program::compile(text)?;
        let time = measure(|| {
            black_box(program.run(black_box(data), metadata())?);
            Ok(())
        })?;
        row("transform", text, time)?;
    }
    for text in KEYS {
        let program = Program::compile(text)?;
        let time = measure(|| {
            black_box(program.run_text(black_box(data), metadata())?);
            Ok(())
        })?;
        row("key", text, time)?;
    }
    for text in CONDITIONS {
        let program = Program::compile(text)?;
        let time = measure(|| {
            black_box(program.run_condition(black_box(data), metadata())?);
            Ok(())
        })?;
        row("condition", text, time)?;
    }
    Ok(())
}
