use super::*;
use crate::manifest::DocumentFormat;

fn document(name: &str) -> Arc<RawDocument> {
    let text = format!(r#"{{"kind":"Component","metadata":{{"name":"{name}"}},"spec":{{"type":"bindings.cron"}}}}"#);
    Arc::new(RawDocument::parse(&text, DocumentFormat::Json).unwrap())
}

#[test]
fn only_so_many_documents_are_kept_that_the_files_do_not_have() {
    let mut api = ApiChanges::new(Arc::default(), None);
    for number in 0..MAX_OVERLAY {
        let name = format!("c{number}");
        assert_eq!(api.check_room(&name), Ok(()), "{name}");
        api.overlay.set(&name, Some(document(&name)), None);
    }
    assert_eq!(api.check_room("c0"), Ok(()), "it takes the place of its own document");
    let refusal = api.check_room("one-more").unwrap_err();
    assert!(refusal.kind == RefusalKind::Full && refusal.message.contains("persist this one"), "{refusal:?}");
}
