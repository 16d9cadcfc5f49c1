//! Profiles of the `bindd` binary.
#![cfg(target_os = "linux")]

use crate::calls::{Response, get, post, send};
use bindd::testing::{until, within};
use flate2::read::GzDecoder;
use http::Request;
use prost::Message;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// The part of `profile.proto` that names functions and values.
#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "7")]
    drop_frames: i64,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    name: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(int64, tag = "2")]
    name: i64,
}

impl Profile {
    fn decode_gzip(bytes: &[u8]) -> Self {
        let mut profile = Vec::new();
        GzDecoder::new(bytes).read_to_end(&mut profile).unwrap();
        Self::decode(&profile[..]).unwrap()
    }

    fn of(response: &Response) -> Self {
        assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
        assert_eq!(response.header("content-type"), Some("application/octet-stream"));
        Self::decode_gzip(&response.body)
    }

    fn text(&self, index: i64) -> &str {
        &self.string_table[usize::try_from(index).unwrap()]
    }

    fn types(&self) -> Vec<&str> {
        self.sample_type.iter().map(|kind| self.text(kind.name)).collect()
    }

    fn has_own_functions(&self) -> bool {
        self.function.iter().any(|function| self.text(function.name).contains("bindd::"))
    }
}

/// A sidecar without components in a separate process.
struct Program {
    child: Child,
    folder: TempDir,
}

impl Program {
    async fn start(arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_bindd"))
            .args(["--app-id", "shop", "--dapr-http-port", "0", "--dapr-grpc-port", "0", "--enable-metrics=false"])
            .args(arguments)
            .env("TMPDIR", folder.path().join("tmp"))
            .env_remove("PPROF_ALLOC_SAMPLE_RATE")
            .stdin(Stdio::null())
            .stderr(File::create(folder.path().join("log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let program = Self { child, folder };
        program.line("bindd is serving").await;
        fs::create_dir(program.temporary()).unwrap();
        program
    }

    fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn line(&self, text: &str) -> String {
        until(text, async || self.log().lines().find(|line| line.contains(text)).map(str::to_owned)).await
    }

    async fn address(&self, line: &str) -> SocketAddr {
        let line = self.line(line).await;
        let rest = &line[line.find("127.0.0.1:").unwrap()..];
        rest[..rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c))).unwrap_or(rest.len())].parse().unwrap()
    }

    async fn api(&self) -> SocketAddr {
        self.address("bindd is serving").await
    }

    async fn profiles(&self) -> SocketAddr {
        self.address("HTTP profiling server listening on: ").await
    }

    /// Begins a CPU profile that would take longer than any test, and waits until it is being recorded.
    async fn long_profile(&self) -> TcpStream {
        let address = self.profiles().await;
        let request = format!("GET /debug/pprof/profile?seconds=300 HTTP/1.0\r\nhost: {address}\r\n\r\n");
        let (client, refused) = until("the profiler to be in use", async || {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(request.as_bytes()).await.unwrap();
            // If this one came first, the long one was refused.
            let other = get(address, "/debug/pprof/profile?seconds=1").await;
            (other.status == 500).then_some((client, other))
        })
        .await;
        assert!(refused.text().contains("cpu profiling already in use"), "{}", refused.text());
        assert_eq!(refused.header("x-go-pprof"), Some("1"), "go tool pprof prints the text then");
        client
    }
}

const PROFILED: [&str; 3] = ["--enable-profiling", "--profile-port", "0"];

#[tokio::test]
async fn a_cpu_profile_has_the_functions_that_ran() {
    let program = Program::start(&PROFILED).await;
    let (api, profiles) = (program.api().await, program.profiles().await);
    let load = async {
        loop {
            post(api, "/v1.0/bindings/none", r#"{"operation":"create"}"#).await;
        }
    };
    let response = tokio::select! {
        response = get(profiles, "/debug/pprof/profile?seconds=1") => response,
        () = load => unreachable!(),
    };
    let profile = Profile::of(&response);
    assert_eq!((profile.types(), profile.period), (vec!["samples", "cpu"], 10_000_000));
    assert!(profile.sample.iter().all(|sample| sample.value[0] > 0 && sample.value[1] == sample.value[0] * 10_000_000));
    assert!(profile.has_own_functions(), "{:?}", profile.string_table);
    assert_eq!(response.header("content-disposition"), Some("attachment; filename=\"profile\""));
}

#[tokio::test]
async fn one_cpu_profile_is_recorded_at_a_time_and_ends_when_its_client_goes() {
    let program = Program::start(&PROFILED).await;
    drop(program.long_profile().await);
    let address = program.profiles().await;
    let next = until("the profiler to be free", async || {
        Some(get(address, "/debug/pprof/profile?seconds=1").await).filter(|response| response.status == 200)
    })
    .await;
    Profile::of(&next);
}

#[tokio::test]
async fn a_stop_ends_the_recording() {
    let arguments = [&PROFILED[..], &["--dapr-graceful-shutdown-seconds", "600"]].concat();
    let mut program = Program::start(&arguments).await;
    let mut client = program.long_profile().await;
    let id = Pid::from_raw(i32::try_from(program.child.id().unwrap()).unwrap()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    let mut response = Vec::new();
    within("the profile", client.read_to_end(&mut response)).await.unwrap();
    let head = response.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    assert!(response.starts_with(b"HTTP/1.0 200 OK\r\n"), "{}", String::from_utf8_lossy(&response[..head]));
    assert_eq!(Profile::decode_gzip(&response[head + 4..]).types(), ["samples", "cpu"]);
    let status = within("the end", program.child.wait()).await.unwrap();
    assert!(status.success(), "{status}: {}", program.log());
}

#[tokio::test]
async fn a_heap_profile_has_the_functions_that_allocated() {
    let program = Program::start(&PROFILED).await;
    let body = format!(r#"{{"operation":"create","data":"{}"}}"#, "x".repeat(3 << 20));
    for _ in 0..10 {
        assert_eq!(post(program.api().await, "/v1.0/bindings/none", &body).await.status, 404);
    }
    let profile = Profile::of(&get(program.profiles().await, "/debug/pprof/heap").await);
    assert_eq!(profile.types(), ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]);
    assert_eq!(profile.period, 512 << 10);
    assert!(profile.text(profile.drop_frames).contains("pprof_alloc"), "the profiler itself is not shown");
    let allocated: i64 = profile.sample.iter().map(|sample| sample.value[1]).sum();
    assert!(allocated > 10 << 20, "{allocated} of the more than 30 MiB of the bodies");
    assert!(profile.has_own_functions(), "{:?}", profile.string_table);
}

#[tokio::test]
async fn without_a_folder_for_temporary_files_the_error_says_what_to_set() {
    let program = Program::start(&PROFILED).await;
    fs::remove_dir(program.temporary()).unwrap();
    let address = program.profiles().await;
    let refused = get(address, "/debug/pprof/profile?seconds=1").await;
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("set the environment variable TMPDIR"), "{}", refused.text());
    fs::create_dir(program.temporary()).unwrap();
    Profile::of(&get(address, "/debug/pprof/profile?seconds=1").await);
}

#[tokio::test]
async fn other_pages_are_those_of_go_or_say_what_there_is() {
    let program = Program::start(&PROFILED).await;
    let address = program.profiles().await;
    let index = get(address, "/debug/pprof/").await;
    assert_eq!((index.status.as_u16(), index.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(index.text().contains("<a href=\"heap\">"), "{}", index.text());
    let line = get(address, "/debug/pprof/cmdline").await;
    assert!(
        line.text().ends_with("\0--enable-metrics=false\0--enable-profiling\0--profile-port\x000"),
        "{:?}",
        line.text()
    );
    let unknown = get(address, "/debug/pprof/goroutine?debug=2").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("/debug/pprof/heap"), "{}", unknown.text());
    let too_long = get(address, "/debug/pprof/profile?seconds=301").await;
    assert_eq!((too_long.status.as_u16(), too_long.text()), (400, "seconds is at most 300: take several profiles\n"));
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let page = Request::get("/debug/pprof/cmdline").header(name, value);
        assert_eq!(send(address, page, "").await.status, 403, "{name}");
    }
}

#[tokio::test]
async fn nothing_is_served_by_default() {
    // The start would fail if it opened this port.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let program = Program::start(&["--profile-port", &port]).await;
    assert!(!program.log().contains("profiling server"), "{}", program.log());
    let environment = fs::read(format!("/proc/{}/environ", program.child.id().unwrap())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("PPROF_ALLOC"), "the heap is not sampled");
}
