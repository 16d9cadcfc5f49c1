//! Compresses the description of the HTTP API, which the program contains: a seventh of its size.

#![expect(clippy::disallowed_methods, reason = "cargo names the folder for the output in the environment")]

use flate2::Compression;
use flate2::write::GzEncoder;
use std::env;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

const DOCUMENT: &str = "src/http/openapi.json";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={DOCUMENT}");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&fs::read(DOCUMENT)?)?;
    let folder = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(folder.join("openapi.json.gz"), encoder.finish()?)?;
    Ok(())
}
