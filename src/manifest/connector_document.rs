//! Documents that were sent as data connectors, and documents shown as such.

use super::data_connector::{ConnectorFault, component, object, patch};
use super::{RawDocument, tree};
use serde_json::Value;

impl RawDocument {
    /// The document of a whole data connector in JSON.
    ///
    /// # Errors
    /// With all faults of the data connector.
    pub fn of_connector(text: &str) -> Result<Self, Vec<ConnectorFault>> {
        component(&parse(text)?).map(Self)
    }

    /// A partial data connector in JSON, as a patch of this document; `id` is that of the path.
    ///
    /// # Errors
    /// With all faults of the data connector.
    pub fn connector_patch(&self, id: &str, text: &str) -> Result<Self, Vec<ConnectorFault>> {
        patch(&parse(text)?, id, &self.0).map(Self)
    }

    /// The data connector that this document is, without credentials; `None` unless it is one.
    #[must_use]
    pub fn connector(&self) -> Option<Value> {
        object(&self.0)
    }
}

fn parse(text: &str) -> Result<Value, Vec<ConnectorFault>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    tree::from_json(text).map_err(|problem| {
        let remedy = "send one JSON object".to_owned();
        vec![ConnectorFault { member: String::new(), problem, remedy }]
    })
}
