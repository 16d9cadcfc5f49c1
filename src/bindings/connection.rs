//! The connection to AWS, which every kind has.

use super::credentials::{read_identity, read_keys};
use super::fields::read_endpoint;
use super::region::read_region;
use crate::aws::ConnectionSettings;
use crate::manifest::Reader;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Reads `region`, `endpoint`, the credentials and the connection options. `arn_region` is the field that has an ARN, and
/// the ARN's region, if the component names its stream or table by one.
pub(super) fn read_connection(reader: &mut Reader<'_>, arn_region: Option<(&'static str, &str)>) -> ConnectionSettings {
    let default = ConnectionSettings::default();
    let max_connections = reader.number("maxConnections", 0..=100_000).and_then(|max| usize::try_from(max).ok());
    if reader.duration("tcpKeepAlive", Duration::ZERO..=HOUR).is_some_and(|interval| !interval.is_zero()) {
        let text = "it has no effect, because the HTTP client has no such setting; leave it out, or see \
                    `connectionIdleTimeout`, after which an idle connection is closed";
        reader.notice("tcpKeepAlive", text);
    }
    let region = read_region(reader, arn_region);
    let credentials = read_keys(reader);
    let identity = read_identity(reader, region.as_deref());
    ConnectionSettings {
        endpoint: read_endpoint(reader, "endpoint"),
        region,
        credentials,
        identity,
        use_fips: reader.boolean("useFips").unwrap_or(false),
        use_dual_stack: reader.boolean("useDualStack").unwrap_or(false),
        fail_fast: reader.boolean("failFast").unwrap_or(false),
        // As in Dapr, 0 means no limit.
        max_connections: max_connections.and_then(NonZeroUsize::new),
        connect_timeout: reader.duration("connectTimeout", MILLISECOND..=5 * MINUTE).unwrap_or(default.connect_timeout),
        connection_idle_timeout: reader
            .duration("connectionIdleTimeout", MILLISECOND..=24 * HOUR)
            .unwrap_or(default.connection_idle_timeout),
        ca_bundle: reader.text("caBundle").map(PathBuf::from),
        metrics: None,
        tracer: default.tracer,
    }
}
