//! Time of a program in jq for one record of 1 KiB, on one core.
//!
//! ```sh
//! cargo bench --bench shaping
//! ```

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use bindd::jq::Program;
use tokio::time::Instant;

type Failure = Box<dyn std::error::Error>;

const PROGRAMS: [&str; 7] = [
    ".",
    "{id, total: .total, customer: .customer.id}",
    "del(.secret)",
    ".customer.id",
    ".total > 100",
    "{id, lines: [.lines[] | {sku, quantity}]}",
    ".lines |= map(select(.quantity > 1))",
];

const DURATION: Duration = Duration::from_secs(1);
const NO_METADATA: [(&str, &str); 0] = [];

/// An order of about 1 KiB.
fn record() -> String {
    let line = |n| format!(r#"{{"sku":"SKU-{n:06}","quantity":{},"price":19.90,"name":"An article"}}"#, n % 3);
    let lines: Vec<String> = (0..10).map(line).collect();
    let lines = lines.join(",");
    format!(
        r#"{{"id":"order-000042","total":199.00,"secret":"s3cr3t","customer":{{"id":"c-17","name":"Ada","city":"Paris"}},"lines":[{lines}],"note":"{}"}}"#,
        "x".repeat(150)
    )
}

fn main() -> Result<(), Failure> {
    let record = record();
    let mut out = std::io::stdout();
    writeln!(out, "record of {} bytes", record.len())?;
    for text in PROGRAMS {
        let program = Program::compile(text)?;
        let (begun, mut runs) = (Instant::now(), 0u32);
        while begun.elapsed() < DURATION {
            for _ in 0..100 {
                black_box(program.run(black_box(record.as_bytes()), NO_METADATA)?);
            }
            runs += 100;
        }
        writeln!(out, "{:>8.2} µs  {text}", begun.elapsed().as_secs_f64() * 1e6 / f64::from(runs))?;
    }
    Ok(())
}
