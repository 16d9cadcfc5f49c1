//! A DynamoDB for one test, with a separate client that reads the rows directly.

use super::recorder::{Recorder, Sent};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use bindd::aws::{Connection, ConnectionSettings, StaticCredentials};
use bindd::aws::{Item, lease_table::LeaseTable};
use bindd::domain::{
    Checkpoint, HashKeyRange, Lease, LeaseStore, NewLease, RecordPosition, SentinelCheckpoint, ShardId, Timestamp,
    WorkerId,
};
use bindd::tasks::Supervisor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Its attempts may take 5 s.
pub(super) const LEASE: Duration = Duration::from_secs(30);
pub(super) const TABLE: &str = "orders";

/// The service; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Service {
    /// Straight to the service.
    pub client: Client,
    /// Through a wire that can lose replies.
    pub connection: Connection,
    /// The address of that wire.
    pub endpoint: String,
    /// What was sent through it.
    pub sent: Recorder,
    straight: String,
    lose: Arc<AtomicBool>,
    _tasks: Supervisor<()>,
}

impl Service {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = format!("http://{address}");
        let database = dynoxide::Database::memory().unwrap();
        let mut tasks = Supervisor::new();
        tasks.spawn("dynamodb", async move {
            dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()).await.unwrap();
        });
        let lose = Arc::new(AtomicBool::new(false));
        let wire = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire_endpoint = format!("http://{}", wire.local_addr().unwrap());
        let sent = Recorder::default();
        tasks.spawn("wire", carry(wire, address, Arc::clone(&lose), sent.clone()));
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(&endpoint)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .build();
        let connection = connect(&wire_endpoint).await;
        let client = Client::from_conf(config);
        Self { client, connection, endpoint: wire_endpoint, sent, straight: endpoint, lose, _tasks: tasks }
    }

    /// The next request arrives and is carried out, but its reply is lost.
    pub(super) fn lose_next_reply(&self) {
        self.lose.store(true, Ordering::SeqCst);
    }

    /// Whether the loss was used up.
    pub(super) fn has_lost_a_reply(&self) -> bool {
        !self.lose.load(Ordering::SeqCst)
    }

    /// A connection that loses nothing.
    pub(super) async fn straight(&self) -> Connection {
        connect(&self.straight).await
    }

    /// A store over the table, prepared.
    pub(super) async fn leases(&self) -> LeaseTable {
        let store = LeaseTable::new(&self.connection, TABLE.to_owned(), LEASE);
        store.prepare().await.unwrap();
        store
    }

    /// A store with the lease of shard 0 created.
    pub(super) async fn one_lease(&self) -> LeaseTable {
        let store = self.leases().await;
        store.create_missing(&[new_lease(0)]).await.unwrap();
        store
    }

    pub(super) async fn row(&self, key: &str) -> Option<Item> {
        let request = self.client.get_item().table_name(TABLE).key("leaseKey", AttributeValue::S(key.to_owned()));
        request.consistent_read(true).send().await.unwrap().item
    }

    pub(super) async fn put(&self, item: Item) {
        self.client.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
    }

    /// Sets one attribute behind the store's back.
    pub(super) async fn set(&self, key: &str, attribute: &str, value: AttributeValue) {
        self.client
            .update_item()
            .table_name(TABLE)
            .key("leaseKey", AttributeValue::S(key.to_owned()))
            .update_expression("SET #a = :v")
            .expression_attribute_names("#a", attribute)
            .expression_attribute_values(":v", value)
            .send()
            .await
            .unwrap();
    }

    /// A table with a string key, and perhaps a second one.
    pub(super) async fn create_table(&self, hash: &str, range: Option<&str>) {
        let mut request = self.client.create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in [(Some(hash), KeyType::Hash), (range, KeyType::Range)] {
            let Some(name) = name else { continue };
            let attribute =
                AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
            let key = KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
            request = request.attribute_definitions(attribute.unwrap()).key_schema(key.unwrap());
        }
        request.send().await.unwrap();
    }
}

async fn carry(wire: TcpListener, service: SocketAddr, lose: Arc<AtomicBool>, sent: Recorder) {
    let mut carriers = Supervisor::new();
    loop {
        let (app, _) = wire.accept().await.unwrap();
        let service = TcpStream::connect(service).await.unwrap();
        carriers.spawn("carrier", carry_one(app, service, Arc::clone(&lose), sent.connection()));
    }
}

/// Carries bytes both ways until a side closes or a reply is lost.
async fn carry_one(app: TcpStream, service: TcpStream, lose: Arc<AtomicBool>, sent: Sent) {
    let (mut from_app, mut to_app) = app.into_split();
    let (mut from_service, mut to_service) = service.into_split();
    let replies = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = from_service.read(&mut buffer).await.unwrap_or(0);
            if count == 0 || lose.swap(false, Ordering::SeqCst) || to_app.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let requests = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = from_app.read(&mut buffer).await.unwrap_or(0);
            sent.lock().unwrap().extend_from_slice(&buffer[..count]);
            if count == 0 || to_service.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = replies => {}
        () = requests => {}
    }
}

async fn connect(endpoint: &str) -> Connection {
    let settings = ConnectionSettings {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        credentials: Some(StaticCredentials {
            access_key: "test".to_owned(),
            secret_key: "test".to_owned().into(),
            session_token: None,
        }),
        ..ConnectionSettings::default()
    };
    bindd::aws::connect(&settings).await.unwrap()
}

pub(super) fn shard(number: u8) -> ShardId {
    ShardId::new(format!("shardId-{number:012}"))
}

pub(super) fn new_lease(number: u8) -> NewLease {
    NewLease {
        shard: shard(number),
        checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::Latest),
        start_at: Some(Timestamp::from_millis(1_795_256_585_004)),
        parents: Vec::new(),
        hash_range: Some(HashKeyRange { start: 0, end: u128::MAX }),
        stream: Some("orders".into()),
        stream_created: Some(Timestamp::from_millis(1_795_256_000_000)),
    }
}

pub(super) fn worker(name: &str) -> WorkerId {
    WorkerId::new(name)
}

pub(super) fn position(sequence: &str, sub_sequence: u64) -> RecordPosition {
    RecordPosition { sequence: sequence.parse().unwrap(), sub_sequence }
}

/// The lease of a shard as the store lists it.
pub(super) async fn seen(store: &LeaseTable, number: u8) -> Lease {
    store.list().await.unwrap().into_iter().find(|lease| lease.shard == shard(number)).unwrap()
}

pub(super) const SHORT_WATCH: Duration = Duration::from_millis(70);
