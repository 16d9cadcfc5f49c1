//! ARNs of AWS resources.

/// An ARN in its parts: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE` (AWS, "Amazon Resource Names").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arn<'a> {
    pub partition: &'a str,
    pub service: &'a str,
    /// Empty for global resources, such as roles.
    pub region: &'a str,
    /// 12 digits.
    pub account: &'a str,
    /// The rest, which may contain colons.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// `None` if there are too few parts or the first is not `arn`. The parts are not checked.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next() != Some("arn") {
            return None;
        }
        Some(Self {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        })
    }

    /// Whether partition and account have the right form.
    #[must_use]
    pub fn has_account(&self) -> bool {
        self.partition.starts_with("aws")
            && self.account.len() == 12
            && self.account.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// Whether it names one region; in a policy it may be missing or a pattern.
    #[must_use]
    pub fn has_region(&self) -> bool {
        let is_code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        self.region.contains('-') && self.region.bytes().all(is_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_parsed() {
        let arn = Arn::parse("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/x/consumer/y:17").unwrap();
        assert_eq!((arn.partition, arn.service, arn.region), ("aws-cn", "kinesis", "cn-north-1"));
        assert_eq!((arn.account, arn.resource), ("123456789012", "stream/x/consumer/y:17"));
        assert!(arn.has_account() && arn.has_region());
        let role = Arn::parse("arn:aws:iam::1234:role/x").unwrap();
        assert!(!role.has_account() && !role.has_region());
        assert!(!Arn::parse("arn:aws:kinesis:*-*:123456789012:stream/x").unwrap().has_region());
        for other in ["", "orders", "arn:aws:kinesis:eu-central-1:123456789012", "urn:a:b:c:d:e"] {
            assert_eq!(Arn::parse(other), None, "{other}");
        }
    }
}
