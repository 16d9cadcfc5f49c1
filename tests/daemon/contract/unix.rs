//! §1.6: Unix sockets instead of TCP.

use super::{environment, parse, request};
use crate::environment::Sidecar;
use bindd::testing::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

#[tokio::test]
async fn the_api_listens_on_a_unix_socket_instead_of_tcp() {
    let env = environment().await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = env.settings(None);
    settings.unix_socket_folder = Some(folder.path().to_owned());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let path = folder.path().join("dapr-shop-http.socket");
    assert!(folder.path().join("dapr-shop-grpc.socket").exists());
    let body = r#"{"operation":"create","data":1}"#;
    // The name in `Host` is not checked: no web page reaches a Unix socket.
    let create =
        request("POST /v1.0/bindings/orders", "host: any.example\r\n", body).replacen("host: localhost\r\n", "", 1);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(create.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    within("the response", stream.read_to_end(&mut bytes)).await.unwrap();
    assert_eq!(parse(&bytes).status, 204, "{}", String::from_utf8_lossy(&bytes));
    let second = Sidecar::start(&settings).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(second.contains("another program listens on the socket"), "{second}");
    assert!(path.exists(), "the socket of the first one stays");
    sidecar.stop().await;
    assert!(!path.exists(), "removed at the end");
}
