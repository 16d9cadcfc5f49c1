//! The requests that a lease store sends, as JSON.

use super::service::Service;
use bindd::aws::lease_table::LeaseTable;
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Such as `UpdateItem`.
    pub operation: String,
    pub body: Value,
}

/// The bytes that were sent on one connection.
pub(super) type Sent = Arc<Mutex<Vec<u8>>>;

/// The bytes that were sent on each connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Vec<Sent>>>);

impl Recorder {
    /// Where a new connection writes what it carries.
    pub(super) fn connection(&self) -> Sent {
        let bytes = Sent::default();
        self.0.lock().unwrap().push(Arc::clone(&bytes));
        bytes
    }

    /// Takes the requests so far. None may be in flight.
    pub(super) fn take(&self) -> Vec<Request> {
        let connections = self.0.lock().unwrap();
        connections.iter().flat_map(|bytes| requests(&std::mem::take(&mut *bytes.lock().unwrap()))).collect()
    }
}

/// The requests of one connection, which have no other form of body than one of known length.
fn requests(mut bytes: &[u8]) -> Vec<Request> {
    let mut found = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let header = |wanted: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(':'));
            lines.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
        };
        let length: usize = header("content-length").unwrap().parse().unwrap();
        let operation = header("x-amz-target").unwrap().rsplit('.').next().unwrap().to_owned();
        let body = &bytes[end + 4..end + 4 + length];
        found.push(Request { operation, body: serde_json::from_slice(body).unwrap() });
        bytes = &bytes[end + 4 + length..];
    }
    assert!(bytes.is_empty(), "half a request");
    found
}

impl Service {
    /// The single request that `call` sends.
    pub(super) async fn request_of<T>(&self, call: impl Future<Output = T>) -> (Request, T) {
        drop(self.sent.take());
        let output = call.await;
        let mut requests = self.sent.take();
        assert_eq!(requests.len(), 1, "{requests:?}");
        (requests.remove(0), output)
    }

    /// A store over the table as it is.
    pub(super) fn unprepared(&self) -> LeaseTable {
        LeaseTable::new(&self.connection, super::service::TABLE.to_owned(), super::service::LEASE)
    }
}
