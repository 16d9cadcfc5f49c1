//! Pluggable components, over real Unix sockets.

mod component;

use crate::components::api;
use crate::environment::{Environment, Sidecar};
use crate::fakes::{Behaviour, RecordingApp};
use bindd::daemon::{self, Shutdown};
use bindd::protocol::components::InvokeResponse;
use bindd::settings::Settings;
use bindd::testing::until;
use component::{Component, Program};
use std::collections::HashMap;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Status;

const SEND: &str = r#"{"operation": "send", "data": {"a": 1}, "metadata": {"to": "me"}}"#;

struct Setup {
    env: Environment,
    sockets: TempDir,
    component: Component,
    program: Program,
}

impl Setup {
    async fn start() -> Self {
        let (sockets, component) = (TempDir::new().unwrap(), Component::default());
        let program = Program::start(sockets.path(), "Acme.Mail.sock", &component);
        Self { env: Environment::start().await, sockets, component, program }
    }

    /// Writes a component of the type; its token is a secret.
    fn file(&self, name: &str, fields: &str) {
        self.env.file("secrets.json", r#"{"token": "s3cret"}"#);
        let secrets = self.env.folder().join("secrets.json");
        let head = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: ";
        let text = format!(
            "{head}{name}}}\nspec:\n  type: bindings.acme.mail\n  version: v1\n  metadata: [{{name: Token, \
             secretKeyRef: {{name: token, key: token}}}}, {fields}]\nauth: {{secretStore: files}}\n---\n{head}files}}\n\
             spec:\n  type: secretstores.local.file\n  version: v1\n  metadata: [{{name: secretsFile, value: {secrets:?}}}]\n"
        );
        self.env.file("mail.yaml", &text);
    }

    fn settings(&self, app: Option<&RecordingApp>) -> Settings {
        Settings { component_sockets: self.sockets.path().to_owned(), ..self.env.settings(app) }
    }

    async fn sidecar(&self, app: Option<&RecordingApp>) -> Sidecar {
        Sidecar::start(&self.settings(app)).await.unwrap()
    }
}

async fn with_output() -> (Setup, Sidecar) {
    let setup = Setup::start().await;
    setup.file("mail", "{name: direction, value: output}");
    let sidecar = setup.sidecar(None).await;
    (setup, sidecar)
}

async fn with_input() -> (Setup, RecordingApp, Sidecar) {
    let setup = Setup::start().await;
    setup.file("events", "{name: direction, value: input}, {name: route, value: /mail}");
    let app = RecordingApp::start().await;
    let sidecar = setup.sidecar(Some(&app)).await;
    (setup, app, sidecar)
}

#[tokio::test]
async fn an_output_gets_its_fields_and_the_requests_of_the_app() {
    let (setup, sidecar) = with_output().await;
    let fields = [("Token", "s3cret"), ("direction", "output")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(setup.component.inits(), [("mail".to_owned(), HashMap::from(fields))]);
    let metadata = HashMap::from([("id".to_owned(), "7".to_owned())]);
    setup.component.reply_with(InvokeResponse { data: "[7]".into(), metadata, content_type: "x/y".to_owned() });
    let response = sidecar.invoke("mail", SEND).await;
    assert_eq!((response.status.as_u16(), response.text()), (200, "[7]"), "{response:?}");
    assert_eq!(response.header("metadata.id"), Some("7"));
    let (instance, request) = setup.component.invoked().remove(0);
    assert_eq!((instance.as_str(), request.operation.as_str()), ("mail", "send"));
    assert_eq!(request.data, r#"{"a": 1}"#);
    assert_eq!(request.metadata.get("to").map(String::as_str), Some("me"));
    let unknown = sidecar.invoke("mail", r#"{"operation": "lend"}"#).await;
    assert!(unknown.status == 400 && unknown.text().contains("supported operations:send drop"), "{unknown:?}");
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn errors_of_the_component_keep_their_code_and_text() {
    let (setup, sidecar) = with_output().await;
    for (refusal, status, code) in [
        (Status::invalid_argument("no such mailbox"), 400, "INVALID_ARGUMENT"),
        (Status::permission_denied("no such mailbox"), 403, "PERMISSION_DENIED"),
        (Status::unknown("no such mailbox"), 502, "UNKNOWN"),
    ] {
        setup.component.refuse(Some(refusal));
        let response = sidecar.invoke("mail", SEND).await;
        assert!(
            response.status == status && response.text().contains(code) && response.text().contains("no such mailbox"),
            "{response:?}"
        );
    }
    setup.component.refuse(None);
    setup.component.reply_with(InvokeResponse { data: vec![b'1'; 5 << 20].into(), ..InvokeResponse::default() });
    let large = sidecar.invoke("mail", SEND).await;
    assert!(large.status == 502 && large.text().contains("larger than --max-body-size"), "{large:?}");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_component_that_refuses_its_fields_stops_the_start() {
    let setup = Setup::start().await;
    setup.file("mail", "{name: direction, value: output}, {name: mode, value: wrong}");
    let settings = setup.settings(None);
    let files = daemon::load(&settings).await.unwrap();
    let error = daemon::start(&settings, files).await.unwrap_err().to_string();
    assert!(error.contains("INVALID_ARGUMENT: this mode is wrong"), "{error}");
}

#[tokio::test]
async fn a_component_that_was_restarted_is_initialized_again() {
    let (mut setup, sidecar) = with_output().await;
    assert_eq!(sidecar.invoke("mail", SEND).await.status, 200);
    setup.program.kill();
    let down =
        until("a failure", async || Some(sidecar.invoke("mail", SEND).await).filter(|it| it.status == 503)).await;
    assert!(down.text().contains("cannot be reached"), "{down:?}");
    setup.program.start_again();
    assert_eq!(sidecar.invoke("mail", SEND).await.status, 200);
    assert_eq!(setup.component.inits().len(), 2);
    sidecar.stop().await;
}

#[tokio::test]
async fn events_are_delivered_and_answered_with_what_the_app_says() {
    let (setup, app, sidecar) = with_input().await;
    app.reply_with("thanks");
    setup.component.send("m1", "first").await;
    assert_eq!(setup.component.answer("m1").await, ("thanks".to_owned(), None));
    let event = app.events().remove(0);
    assert_eq!((event.route.as_str(), event.text().as_str(), event.header("origin")), ("mail", "first", "unit"));
    app.behave(Behaviour::Respond(500));
    setup.component.send("m2", "second").await;
    let (text, error) = setup.component.answer("m2").await;
    let error = error.unwrap();
    assert!(text.is_empty() && error.contains("500") && error.contains("/mail"), "{error}");
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
    assert_eq!(app.events().len(), 2, "an event is delivered once");
}

#[tokio::test]
async fn events_are_read_again_after_the_component_was_restarted() {
    let (mut setup, app, sidecar) = with_input().await;
    setup.component.send("m1", "first").await;
    setup.component.answer("m1").await;
    setup.program.kill();
    setup.program.start_again();
    setup.component.send("m2", "second").await;
    assert_eq!(setup.component.answer("m2").await.1, None);
    assert_eq!(setup.component.inits().len(), 2);
    app.until_accepted(&["first".to_owned(), "second".to_owned()]).await;
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn at_a_stop_events_in_flight_are_finished_and_later_ones_are_refused() {
    let (setup, app, sidecar) = with_input().await;
    app.behave(Behaviour::Hold);
    setup.component.send("m1", "first").await;
    app.until("the event", |events| events.len() == 1).await;
    let mut stopping = JoinSet::new();
    stopping.spawn(sidecar.stop());
    // Events that arrive before the stop request are held by the app, too.
    let mut number = 2;
    loop {
        let id = format!("m{number}");
        setup.component.send(&id, "later").await;
        let is_held = async || app.events().len() == number;
        let answered = async { setup.component.answer(&id).await };
        let error = tokio::select! {
            (_, error) = answered => error,
            () = until("the app to hold it", async || is_held().await.then_some(())) => None,
        };
        if let Some(error) = error {
            assert_eq!(error, "input binding is closed");
            break;
        }
        number += 1;
    }
    app.behave(Behaviour::Respond(200));
    assert_eq!(setup.component.answer("m1").await.1, None);
    assert_eq!(stopping.join_next().await.unwrap().unwrap(), Shutdown::Clean);
    assert_eq!(app.events().len(), number - 1);
}

#[tokio::test]
async fn a_component_that_is_added_while_the_sidecar_runs_is_found_at_the_next_reload() {
    let setup = Setup::start().await;
    let mut settings = setup.settings(None);
    settings.reload.watch = None;
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let other = Component::default();
    let _program = Program::start(setup.sockets.path(), "late.sock", &other);
    setup.file("mail", "{name: direction, value: output}");
    let text = std::fs::read_to_string(setup.env.folder().join("mail.yaml")).unwrap();
    setup.env.file("mail.yaml", &text.replace("bindings.acme.mail", "bindings.late"));
    until("the component", async || (sidecar.invoke("mail", SEND).await.status == 200).then_some(())).await;
    assert_eq!((other.invoked().len(), setup.component.invoked().len()), (1, 0));
    std::fs::remove_file(setup.env.folder().join("mail.yaml")).unwrap();
    until("its removal", async || (sidecar.invoke("mail", SEND).await.status == 404).then_some(())).await;
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn without_a_socket_the_type_is_skipped_and_a_wrong_direction_is_a_fault() {
    let mut setup = Setup::start().await;
    setup.file("mail", "{name: direction, value: sideways}");
    let error = daemon::load(&setup.settings(None)).await.unwrap_err().to_string();
    assert!(error.contains("component `mail`: field `direction`"), "{error}");
    setup.program.kill();
    assert!(daemon::load(&setup.settings(None)).await.unwrap().components.is_empty());
}

#[tokio::test]
async fn a_file_that_is_edited_while_its_component_connects_is_not_overwritten() {
    const EDITED: &str = "# of another tool\n";
    let setup = Setup::start().await;
    let managed = Settings { component_sockets: setup.sockets.path().to_owned(), ..api::settings(&setup.env, None) };
    let (sidecar, managed) = api::start_with(&managed).await;
    let document = |mode: &str| {
        serde_json::json!({
            "apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": "mail"},
            "spec": {"type": "bindings.acme.mail", "version": "v1", "metadata": [
                {"name": "direction", "value": "output"}, {"name": "mode", "value": mode}]},
        })
        .to_string()
    };
    let path = setup.env.folder().join("mail.yaml");
    let put = async |mode: &str| managed.call(http::Method::PUT, "/mail?persist=true", &document(mode)).await;
    for (problem, running) in [("exists and is not the file of this component", 404), ("was edited meanwhile", 200)] {
        setup.component.edit_at_init(path.clone(), EDITED);
        let refused = put("second").await;
        assert_eq!((refused.status.as_u16(), refused.field("errorCode").as_str()), (409, "ERR_COMPONENT_CONFLICT"));
        assert!(refused.text().contains(problem), "{}", refused.text());
        let left: Vec<_> = std::fs::read_dir(setup.env.folder()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!((left, std::fs::read_to_string(&path).unwrap().as_str()), (vec![path.clone()], EDITED));
        assert_eq!(sidecar.invoke("mail", SEND).await.status, running, "what ran before runs on");
        std::fs::remove_file(&path).unwrap();
        assert!(put("first").await.status.is_success());
    }
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}
