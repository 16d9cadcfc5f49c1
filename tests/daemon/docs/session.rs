//! The commands of each page, run from top to bottom as a reader would type them.
//!
//! `bindd dev` starts a sidecar with embedded AWS in this process, and the `curl` lines are sent to it. The comment after
//! or above a `curl` line begins with the expected status; JSON after `STATUS: ` is the expected body. A block of language
//! `http` shows a callback that the app must receive. Of other commands of bindd, only the arguments are parsed.

use super::page::{Page, pages, root};
use super::shell::{self, Command, Variables};
use super::yaml;
use crate::calls::{self, Response as Answer, send_bytes};
use crate::fakes::RecordingApp;
use bindd::daemon::{self, Running};
use bindd::dev::Emulators;
use bindd::domain::Stop;
use bindd::embedded::EmbeddedSettings;
use bindd::settings::{self, AppEndpoint, AppProtocol, Command as Parsed, ComponentsApiSettings, DevSettings};
use bindd::testing::until;
use serde_json::Value;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;

/// Prefixes of command lines that run bindd.
const PREFIXES: [&[&str]; 2] = [&["cargo", "run", "--"], &["bindd"]];

#[tokio::test]
async fn every_command_of_the_pages_works_as_documented() {
    let mut curls = 0;
    for page in pages() {
        let mut session = Session::new();
        for block in page.blocks() {
            match block.language {
                "sh" => {
                    for command in shell::commands(block.text, &mut session.variables) {
                        curls += usize::from(command.words[0] == "curl");
                        Box::pin(session.perform(&page, &command)).await;
                    }
                }
                "yaml" => session.write(block.text),
                "http" => session.expect_callback(&page, block.text).await,
                _ => {}
            }
        }
        session.stop().await;
    }
    assert!(curls > 20, "only {curls} curl lines were found");
}

struct Session {
    variables: Variables,
    folder: TempDir,
    app: Option<RecordingApp>,
    sidecar: Option<(Running, Emulators)>,
}

impl Session {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self { variables: Variables::new(), folder, app: None, sidecar: None }
    }

    /// Writes a block that begins with the name of a file which the repository does not have.
    fn write(&self, block: &str) {
        let Some(name) = yaml::file_name(block).filter(|name| !root().join(name).exists()) else { return };
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, block).unwrap();
    }

    async fn perform(&mut self, page: &Page, command: &Command) {
        if command.words[0] == "curl" {
            return self.curl(page, command).await;
        }
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        // The variable is not set in this process, whose other tests have other settings.
        let token = words.first().and_then(|word| word.strip_prefix("BINDD_ADMIN_TOKEN="));
        let words = if token.is_some() { &words[1..] } else { &words[..] };
        let Some(prefix) = PREFIXES.into_iter().find(|prefix| words.starts_with(prefix)) else { return };
        let is_known = |word: &&&str| token.is_none() || **word != "--enable-components-api";
        let args = ["bindd"].iter().chain(words[prefix.len()..].iter().filter(is_known)).map(OsString::from);
        match settings::parse(args) {
            Ok(Parsed::Dev(mut settings)) => {
                let token = token.filter(|_| words.contains(&"--enable-components-api"));
                let variable = "BINDD_ADMIN_TOKEN";
                settings.run.components_api =
                    token.map(|token| ComponentsApiSettings { token: token.into(), variable });
                self.start(*settings).await;
            }
            Ok(_) => {}
            Err(usage) => assert_eq!(usage.code, 0, "{}: {words:?}: {usage}", page.path.display()),
        }
    }

    /// Starts what `bindd dev` starts, on free ports and with an app that records what it gets.
    async fn start(&mut self, mut dev: DevSettings) {
        self.stop().await;
        for path in &mut dev.run.resources_paths {
            let written = self.folder.path().join(&path);
            *path = if written.exists() { written } else { root().join(&path) };
        }
        dev.run.http_addresses = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        dev.run.metrics_address = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        dev.run.profile_addresses.iter_mut().for_each(|address| address.set_port(0));
        if dev.run.app.is_some() {
            let app = RecordingApp::start().await;
            let address = app.address();
            dev.run.app = Some(AppEndpoint {
                address: address.ip().to_string(),
                port: address.port(),
                protocol: AppProtocol::Http,
            });
            self.app = Some(app);
        }
        let mut files = daemon::load(&dev.run).await.unwrap();
        let stage = Emulators::start(EmbeddedSettings::default()).await.unwrap();
        stage.prepare(&mut files.components).await.unwrap();
        let prepare = Arc::new(stage.endpoints());
        let running = daemon::start_prepared(&dev.run, files, Some(prepare)).await.unwrap();
        let address = running.http_address();
        until("the sidecar to be ready", async || {
            (calls::get(address, "/v1.0/healthz").await.status == 204).then_some(())
        })
        .await;
        self.sidecar = Some((running, stage));
    }

    async fn curl(&self, page: &Page, command: &Command) {
        let (running, _) =
            self.sidecar.as_ref().unwrap_or_else(|| panic!("nothing runs yet in {}", page.path.display()));
        let (authority, request, body) = shell::request(&command.words);
        let address = match authority.as_str() {
            "127.0.0.1:3500" | "localhost:3500" => running.http_address(),
            "127.0.0.1:9090" | "localhost:9090" => running.metrics_address().unwrap(),
            "127.0.0.1:7777" => running.profile_address().unwrap(),
            _ => panic!("{authority} is not the address of a sidecar"),
        };
        let answer = send_bytes(address, request, body).await;
        let place = format!("{}: {:?}: {}", page.path.display(), command, String::from_utf8_lossy(&answer.body));
        assert_answer(&answer, &command.comment, &place);
    }

    /// Waits for a delivery as shown: path and body, and every header, of which `…` leaves the end open.
    async fn expect_callback(&self, page: &Page, block: &str) {
        let app = self.app.as_ref().unwrap_or_else(|| panic!("no app runs in {}", page.path.display()));
        let (head, body) = block.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let route =
            lines.next().unwrap().strip_prefix("POST /").and_then(|line| line.strip_suffix(" HTTP/1.1")).unwrap();
        let is_shown = |event: &crate::fakes::Event| event.route == route && event.text() == body;
        app.until(block, |events| events.iter().any(is_shown)).await;
        let event = app.events().into_iter().find(is_shown).unwrap();
        for line in lines {
            let (name, shown) = line.split_once(": ").unwrap();
            let value = event.header(name);
            let fits = shown.strip_suffix('…').map_or(shown == value, |start| value.starts_with(start));
            assert!(fits && !value.is_empty(), "{}: {name} is {value:?}, not {shown:?}", page.path.display());
        }
    }

    async fn stop(&mut self) {
        let Some((running, stage)) = self.sidecar.take() else { return };
        let stop = Stop::new();
        stop.finish();
        running.run_until(&stop).await;
        stage.stop().await;
    }
}

fn assert_answer(answer: &Answer, comment: &str, place: &str) {
    let digits = comment.find(|c: char| !c.is_ascii_digit()).unwrap_or(comment.len());
    assert!(digits == 3, "no status is documented: {place}");
    assert_eq!(answer.status.as_str(), &comment[..digits], "{place}");
    if let Some(body) = comment[digits..].strip_prefix(": ").and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), body, "{place}");
    }
}
