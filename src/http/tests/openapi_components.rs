//! The statuses of the routes that manage components.

use super::super::endpoint::{ComponentEndpoint, ConnectorEndpoint, Endpoint, ROUTES};
use super::fake_components::ENDINGS;
use super::openapi_statuses::{ADMIN, Coverage, PLAIN, Sent, bodies, managed, running};

/// Whether a call of the route may end with this word, which is what makes the status of the word documented.
fn may_end(endpoint: Endpoint, word: &str) -> bool {
    match endpoint {
        Endpoint::Component(endpoint) => {
            let is_read =
                matches!(endpoint, ComponentEndpoint::List | ComponentEndpoint::Get | ComponentEndpoint::Status);
            let is_test = matches!(endpoint, ComponentEndpoint::Test | ComponentEndpoint::TestExisting);
            let is_delete = endpoint == ComponentEndpoint::Delete;
            match word {
                "invalid" => endpoint != ComponentEndpoint::List,
                "absent" => endpoint.has_name(),
                "failing" => false,
                "large" => endpoint.has_body(),
                "exists" | "changed" | "conflict" | "used" | "full" => !is_read && !is_test,
                "unusable" | "late" => !is_read && !is_delete,
                _ => !is_read,
            }
        }
        Endpoint::Connector(endpoint) => {
            let is_read = matches!(endpoint, ConnectorEndpoint::List | ConnectorEndpoint::Get);
            let is_test = matches!(endpoint, ConnectorEndpoint::Test | ConnectorEndpoint::TestExisting);
            match word {
                "invalid" => endpoint != ConnectorEndpoint::List,
                "absent" => {
                    !matches!(endpoint, ConnectorEndpoint::List | ConnectorEndpoint::Create | ConnectorEndpoint::Test)
                }
                "large" => endpoint.has_body(),
                "exists" | "changed" | "conflict" | "used" | "full" => !is_read && !is_test,
                "unusable" | "late" | "failing" => !is_read && endpoint != ConnectorEndpoint::Delete,
                _ => !is_read,
            }
        }
        _ => false,
    }
}

pub(super) async fn managing(coverage: &mut Coverage) {
    let usual = running(managed()).await;
    for route in ROUTES.iter().filter(|route| route.endpoint.is_admin()) {
        let success = match route.endpoint {
            Endpoint::Component(ComponentEndpoint::Create) => 201,
            Endpoint::Component(ComponentEndpoint::Delete) => 204,
            _ => 200,
        };
        coverage.expect(usual.address, route, Sent { headers: ADMIN, ..PLAIN }, success).await;
        if route.endpoint == Endpoint::Component(ComponentEndpoint::Replace) {
            coverage.expect(usual.address, route, Sent { headers: ADMIN, body: "new", ..PLAIN }, 201).await;
        }
        if is_document(route.endpoint) {
            let headers = format!("{ADMIN}if-none-match: \"x\", W/\"a1\"\r\n");
            coverage.expect(usual.address, route, Sent { headers: &headers, ..PLAIN }, 304).await;
        }
        let is_connector = matches!(route.endpoint, Endpoint::Connector(_));
        for (word, kind) in ENDINGS.iter().filter(|(word, _)| may_end(route.endpoint, word)) {
            let status = match (is_connector, *word) {
                (true, "unusable" | "late") => 406,
                (true, "full") => 429,
                _ => kind.status(),
            };
            let sent = Sent { parameter: word, headers: ADMIN, body: word, ..PLAIN };
            coverage.expect(usual.address, route, sent, status).await;
        }
        if is_connector {
            let other = Sent { app: "other", headers: ADMIN, ..PLAIN };
            coverage.expect(usual.address, route, other, 404).await;
        }
        if has_body(route.endpoint) {
            bodies(coverage, route).await;
        }
    }
}

/// Whether it reads one document, which has an entity tag.
fn is_document(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::Component(ComponentEndpoint::Get) | Endpoint::Connector(ConnectorEndpoint::Get))
}

fn has_body(endpoint: Endpoint) -> bool {
    match endpoint {
        Endpoint::Component(endpoint) => endpoint.has_body(),
        Endpoint::Connector(endpoint) => endpoint.has_body(),
        _ => false,
    }
}
