//! The statements of an IAM policy, and where their resources are.

use crate::aws::{ConnectionSettings, Partition};
use crate::domain::ComponentName;
use serde_json::{Value, json};
use std::collections::HashSet;

#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicyScope<'a> {
    /// `--app-id`: part of the default name of lease tables and consumers.
    pub(crate) app_id: &'a str,
    /// The region of components that name none; `None` allows all regions.
    pub(crate) region: Option<&'a str>,
}

/// The statements of a policy.
#[derive(Debug, Default)]
pub(super) struct Statements {
    list: Vec<Value>,
    sids: HashSet<String>,
}

impl Statements {
    pub(super) fn add(&mut self, name: &ComponentName, purpose: &str, actions: &[&str], resources: &[String]) {
        let plain = camel_case(name.as_str());
        let mut sid = format!("{plain}{purpose}");
        let mut number = 2;
        // Two names may differ only in characters that a Sid cannot have; Sids must be unique.
        while !self.sids.insert(sid.clone()) {
            sid = format!("{plain}{purpose}{number}");
            number += 1;
        }
        self.list.push(json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources }));
    }

    /// For the first role that a connection assumes.
    pub(super) fn add_role(&mut self, name: &ComponentName, connection: &ConnectionSettings) {
        if let Some(first) = connection.identity.roles.first() {
            self.add(name, "AssumeRole", &["sts:AssumeRole"], std::slice::from_ref(first));
        }
    }

    pub(super) fn into_list(self) -> Vec<Value> {
        self.list
    }
}

/// A Sid has only letters and digits: `orders-out` becomes `OrdersOut`.
fn camel_case(name: &str) -> String {
    let mut text = String::new();
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut chars = word.chars();
        text.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        text.extend(chars);
    }
    text
}

/// Partition and region of a connection. The account is `*`: only ARNs name one.
#[derive(Debug, Clone)]
pub(super) struct Location {
    partition: &'static str,
    region: String,
}

impl Location {
    pub(super) fn new(connection: Option<&ConnectionSettings>, scope: PolicyScope<'_>) -> Self {
        let region = connection.and_then(|connection| connection.region.as_deref()).or(scope.region);
        Self {
            partition: region.and_then(Partition::from_region).unwrap_or(Partition::Aws).as_str(),
            region: region.unwrap_or("*").to_owned(),
        }
    }

    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:*:{resource}", self.partition, self.region)
    }
}
