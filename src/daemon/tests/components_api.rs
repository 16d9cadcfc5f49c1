use super::super::change_queue;
use super::*;
use crate::testing::LogLines;
use futures_util::FutureExt;
use std::collections::BTreeMap;

fn entry(stream: &str) -> Entry {
    let text = format!(
        r#"{{"apiVersion":"dapr.io/v1alpha1","kind":"Component","metadata":{{"name":"orders"}},"spec":{{
            "type":"bindings.aws.kinesis","version":"v1","metadata":[{{"name":"streamName","value":"{stream}"}},
            {{"name":"direction","value":"output"}}]}}}}"#
    );
    let document = Arc::new(RawDocument::parse(&text, DocumentFormat::Json).unwrap());
    Entry { document, state: State::Running, file: None, is_changed: true, error: None }
}

/// An API whose owner task answers each change with the stream `mine`, while another writer has written `theirs`.
fn api() -> (ComponentsApi, impl Future<Output = ()>) {
    let (catalog, (sender, mut requests)) = (Arc::new(Catalog::default()), change_queue::queue());
    catalog.publish(BTreeMap::from([("orders".parse().unwrap(), entry("theirs"))]));
    let owner = async move {
        while let Some(request) = requests.recv().await {
            let changed = Changed::Written { entry: Box::new(entry("mine")), is_new: false, warnings: Vec::new() };
            request.reply.send(Ok(changed)).unwrap();
        }
    };
    (ComponentsApi::new(&Settings::local("shop", std::path::Path::new("/nowhere")), catalog, sender), owner)
}

const CALLER: Caller = Caller { peer: None, token: "BINDD_ADMIN_TOKEN" };

#[tokio::test]
async fn a_change_is_answered_with_what_it_wrote_and_not_with_what_another_writer_wrote_since() {
    let (api, owner) = api();
    let (mine, theirs) = (api.catalog.etag(&entry("mine").document), api.catalog.etag(&entry("theirs").document));
    let options = ChangeOptions::default;
    let calls = async {
        let call = ComponentCall::SetDisabled { name: "orders".to_owned(), disabled: false, options: options() };
        let written = api.call(call, CALLER).await.unwrap();
        let read = api.call(ComponentCall::Get { name: "orders".to_owned() }, CALLER).await.unwrap();
        assert_eq!((written.etag.as_deref(), read.etag.as_deref()), (Some(mine.as_str()), Some(theirs.as_str())));
        assert_eq!(written.body.unwrap()["spec"]["metadata"][0]["value"], "mine");
        let object = DocumentText { text: r#"{"shards": 2}"#.into(), is_yaml: false };
        let call = crate::http::ConnectorCall::Update { id: "orders".to_owned(), object, options: options() };
        let written = crate::http::ManageConnectors::call_connector(&api, call, CALLER).await.unwrap();
        assert_eq!((written.etag, &written.body.unwrap()["stream"]), (Some(mine), &json!("mine")));
    };
    tokio::select! {
        () = calls => {}
        () = owner => {}
    }
}

#[tokio::test]
async fn a_change_that_the_owner_does_not_take_has_an_audit_line_too() {
    let log = LogLines::default();
    let recording = log.recording();
    let (sender, requests) = change_queue::queue();
    let api = ComponentsApi::new(&Settings::local("shop", std::path::Path::new("/nowhere")), Arc::default(), sender);
    let disable = || {
        let (name, options) = ("orders".to_owned(), ChangeOptions::default());
        api.call(ComponentCall::SetDisabled { name, disabled: true, options }, CALLER)
    };
    let mut waiting = disable();
    assert!((&mut waiting).now_or_never().is_none());
    drop(requests);
    let answers = [(waiting.await, "which may have been carried out or not"), (disable().await, "nothing was changed")];
    drop(recording);
    for (answer, part) in answers {
        let refusal = answer.unwrap_err();
        assert!(refusal.kind == RefusalKind::Stopping && refusal.message.contains(part), "{refusal:?}");
    }
    let lines: Vec<String> = log.lines().into_iter().filter(|line| line.starts_with("audit ")).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for (line, outcome) in lines.iter().zip(["outcome=\"unknown\"", "outcome=\"ERR_STOPPING\""]) {
        assert!(line.contains("action=\"disable\"") && line.contains(outcome), "{line}");
    }
}
