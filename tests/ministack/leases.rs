//! The lease table in ministack's DynamoDB.

use crate::emulator::Ministack;
use bindd::aws::lease_table::LeaseTable;
use bindd::aws::{Connection, ConnectionSettings, StaticCredentials};
use bindd::domain::LeaseStore;
use bindd::testing::lease_store_contract;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// So long that no attempt of a call times out on a slow machine.
const LEASE: Duration = Duration::from_secs(60);

async fn connection(url: &str) -> Connection {
    let settings = ConnectionSettings {
        region: Some("us-east-1".to_owned()),
        endpoint: Some(url.to_owned()),
        credentials: Some(StaticCredentials {
            access_key: "test".to_owned(),
            secret_key: "test".to_owned().into(),
            session_token: None,
        }),
        ..ConnectionSettings::default()
    };
    bindd::aws::connect(&settings).await.unwrap()
}

#[tokio::test]
async fn the_contract_of_every_lease_store_holds() {
    let ministack = Ministack::start().await;
    let connection = connection(&ministack.url).await;
    let number = AtomicUsize::new(0);
    lease_store_contract(|| {
        let name = format!("leases-{}", number.fetch_add(1, Ordering::SeqCst));
        let store: Arc<dyn LeaseStore> = Arc::new(LeaseTable::new(&connection, name, LEASE));
        std::future::ready(store)
    })
    .await;
}
