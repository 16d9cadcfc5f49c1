use super::*;
use crate::bindings::secretstores::server::Server;
use secrecy::ExposeSecret as _;
use tokio::task::LocalSet;

fn key(namespace: &str, secret: &str) -> SecretKey {
    SecretKey { store: "kubernetes".to_owned(), namespace: namespace.to_owned(), secret: secret.to_owned() }
}

/// The store of a pod in the namespace `own`, and its files.
fn store(server: &Server) -> (Kubernetes, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("ca.crt", server.authority.as_str()), ("token", "t0ken\n"), ("namespace", "own")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let account = ServiceAccount { server: server.url.clone(), folder: folder.path().to_owned() };
    (Kubernetes::new(account, KubernetesSpec::default(), None), folder)
}

#[tokio::test]
async fn a_secret_is_read_with_the_token_over_the_trusted_connection() {
    LocalSet::new()
        .run_until(async {
            let body = r#"{"kind": "Secret", "data": {"user": "dQ==", "bin": "/w==", "empty": ""}}"#;
            let (server, task) = Server::start(true, &[(200, body)]).await;
            let (store, _folder) = store(&server);
            let values = store.get(&key("", "db.main")).await.unwrap();
            let user = values["user"].expose_secret();
            assert_eq!((user, values.contains_key("bin"), values.len()), ("u", false, 2));
            store.get(&key("other", "db")).await.unwrap();
            let requests = server.script.requests();
            assert!(requests[0].starts_with("GET /api/v1/namespaces/own/secrets/db.main HTTP/1.1"), "{requests:?}");
            assert!(requests[0].to_lowercase().contains("authorization: bearer t0ken\r\n"), "{requests:?}");
            assert!(requests[1].starts_with("GET /api/v1/namespaces/other/secrets/db "), "{requests:?}");
            task.abort();
        })
        .await;
}

#[tokio::test]
async fn refusals_say_what_to_do_and_show_no_value() {
    LocalSet::new()
        .run_until(async {
            let answers = [(403, "{}"), (404, "{}"), (500, "{}"), (200, r#"{"data": "s3cret"}"#)];
            let (server, task) = Server::start(true, &answers).await;
            let (store, _folder) = store(&server);
            for kind in [FailureKind::Denied, FailureKind::NotFound, FailureKind::Transient, FailureKind::Permanent] {
                let error = store.get(&key("", "db")).await.unwrap_err();
                assert!(error.kind() == kind && !error.to_string().contains("s3cret"), "{error}");
            }
            for name in ["../x", "a/b", ""] {
                assert_eq!(store.get(&key("", name)).await.unwrap_err().kind(), FailureKind::Caller, "{name}");
            }
            assert_eq!(server.script.requests().len(), 4);
            task.abort();
        })
        .await;
}

#[tokio::test]
async fn a_server_of_another_authority_gets_no_token() {
    LocalSet::new()
        .run_until(async {
            let (server, task) = Server::start(true, &[(200, "{}")]).await;
            let (store, folder) = store(&server);
            let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap().cert.pem();
            std::fs::write(folder.path().join("ca.crt"), other).unwrap();
            assert_eq!(store.get(&key("", "db")).await.unwrap_err().kind(), FailureKind::Transient);
            assert!(server.script.requests().is_empty());
            task.abort();
        })
        .await;
}
