//! Regions and partitions, as far as a name can be checked without a call.
//!
//! The names and patterns are those of the endpoint tables that AWS publishes with its SDKs (46 regions in the Rust SDK of
//! 2026), where they are private. A region that AWS opens later matches the pattern of its partition and is accepted.

use crate::domain::{BindingError, FailureKind};

/// Known regions by partition, with the prefix of the partition's region names. The partition `aws` has several prefixes:
/// [`GEOGRAPHIES`].
const PARTITIONS: [(Partition, &str, &str); 8] = [
    (Partition::China, "cn-", "cn-north-1 cn-northwest-1"),
    (Partition::Gov, "us-gov-", "us-gov-east-1 us-gov-west-1"),
    (Partition::Sovereign, "eusc-de-", "eusc-de-east-1"),
    (Partition::Iso, "us-iso-", "us-iso-east-1 us-iso-west-1"),
    (Partition::IsoB, "us-isob-", "us-isob-east-1 us-isob-west-1"),
    (Partition::IsoE, "eu-isoe-", "eu-isoe-west-1"),
    (Partition::IsoF, "us-isof-", "us-isof-east-1 us-isof-south-1"),
    (
        Partition::Aws,
        "",
        "af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 \
         ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 \
         ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 \
         eu-west-3 il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2",
    ),
];

/// The geographies of the partition `aws`.
const GEOGRAPHIES: [&str; 9] = ["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"];

/// The directions that regions are named by.
const DIRECTIONS: [&str; 9] =
    ["north", "south", "east", "west", "central", "northeast", "northwest", "southeast", "southwest"];

/// A part of AWS with its own accounts, names and endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    Aws,
    China,
    Gov,
    Sovereign,
    Iso,
    IsoB,
    IsoE,
    IsoF,
}

impl Partition {
    /// The partition whose pattern a region matches; `None` if it matches none.
    #[must_use]
    pub fn from_region(region: &str) -> Option<Self> {
        PARTITIONS.into_iter().find_map(|(partition, prefix, _)| {
            let rest = if partition == Self::Aws {
                region.split_once('-').filter(|(geography, _)| GEOGRAPHIES.contains(geography))?.1
            } else {
                region.strip_prefix(prefix)?
            };
            // `\w+-\d+` in the tables of AWS.
            let (word, number) = rest.rsplit_once('-')?;
            let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            (is_word && is_number).then_some(partition)
        })
    }

    /// As in ARNs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::China => "aws-cn",
            Self::Gov => "aws-us-gov",
            Self::Sovereign => "aws-eusc",
            Self::Iso => "aws-iso",
            Self::IsoB => "aws-iso-b",
            Self::IsoE => "aws-iso-e",
            Self::IsoF => "aws-iso-f",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionCheck {
    Known,
    /// Not in the list, but of the form of this partition's regions: AWS may have opened it since.
    New(Partition),
    /// Of no partition's form, or without a known direction.
    Unknown,
    /// It cannot be part of a host name: lower-case letters, digits and dashes, at most 63, no dash at an end.
    InvalidLabel,
}

#[must_use]
pub fn check_region(region: &str) -> RegionCheck {
    if !is_label(region) {
        return RegionCheck::InvalidLabel;
    }
    if known_regions().any(|known| known == region) {
        return RegionCheck::Known;
    }
    // A new region has a new combination of known words, or a new number. An unknown direction is a typing error.
    let direction = region.rsplit('-').nth(1).unwrap_or_default();
    match Partition::from_region(region).filter(|_| DIRECTIONS.contains(&direction)) {
        Some(partition) => RegionCheck::New(partition),
        None => RegionCheck::Unknown,
    }
}

pub fn known_regions() -> impl Iterator<Item = &'static str> {
    PARTITIONS.iter().flat_map(|(_, _, regions)| regions.split_ascii_whitespace())
}

/// A label of a host name (RFC 1123), in lower case.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Checks a region that came from the environment, a profile or the instance, so that no field of a file is to blame.
/// Removes white space around it.
///
/// # Errors
/// `Caller` when it cannot be part of a host name.
pub(super) fn checked(region: &str) -> Result<String, BindingError> {
    let trimmed = region.trim();
    if trimmed.len() < region.len() {
        tracing::warn!(
            region = trimmed,
            "white space around the AWS region was removed; correct AWS_REGION or the profile"
        );
    }
    match check_region(trimmed) {
        RegionCheck::Known => {}
        RegionCheck::New(_) | RegionCheck::Unknown => {
            tracing::warn!(region = trimmed, "the AWS region is not in the list of known ones");
        }
        RegionCheck::InvalidLabel => {
            let text = format!("{region:?} is not the code of an AWS region: correct AWS_REGION or the profile");
            return Err(BindingError::new(FailureKind::Caller, text));
        }
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_known_region_is_of_its_partition() {
        assert_eq!(known_regions().count(), 46);
        for (partition, _, regions) in PARTITIONS {
            for region in regions.split(' ') {
                assert_eq!(Partition::from_region(region), Some(partition), "{region}");
                assert_eq!(check_region(region), RegionCheck::Known);
            }
        }
    }

    #[test]
    fn a_new_region_passes_and_a_typing_error_does_not() {
        for (region, expected) in [
            ("eu-north-12", RegionCheck::New(Partition::Aws)),
            ("us-gov-central-1", RegionCheck::New(Partition::Gov)),
            ("cn-south-1", RegionCheck::New(Partition::China)),
            ("eusc-de-west-1", RegionCheck::New(Partition::Sovereign)),
            ("us-isof-north-3", RegionCheck::New(Partition::IsoF)),
            ("eu-centrall-1", RegionCheck::Unknown),
            ("eu-cental-1", RegionCheck::Unknown),
            ("ue-west-1", RegionCheck::Unknown),
            ("eu-west", RegionCheck::Unknown),
            ("eu-west-1a", RegionCheck::Unknown),
            ("frankfurt", RegionCheck::Unknown),
            ("us-gov-", RegionCheck::InvalidLabel),
            ("Eu-West-1", RegionCheck::InvalidLabel),
            ("eu west 1", RegionCheck::InvalidLabel),
            ("", RegionCheck::InvalidLabel),
        ] {
            assert_eq!(check_region(region), expected, "{region}");
        }
    }

    #[test]
    fn white_space_around_a_region_of_the_environment_is_removed() {
        assert_eq!(checked("eu-central-1\n").unwrap(), "eu-central-1");
        let error = checked("eu\ncentral-1").unwrap_err();
        assert_eq!(error.kind(), FailureKind::Caller);
        assert!(error.message().starts_with(r#""eu\ncentral-1" is not the code"#), "{error}");
    }

    proptest! {
        #[test]
        fn an_accepted_region_is_a_host_label_of_one_partition(region in "[a-zA-Z0-9._-]{0,70}") {
            match check_region(&region) {
                RegionCheck::Known | RegionCheck::New(_) => {
                    prop_assert!(is_label(&region));
                    prop_assert!(Partition::from_region(&region).is_some());
                }
                RegionCheck::Unknown => prop_assert!(is_label(&region)),
                RegionCheck::InvalidLabel => prop_assert!(!is_label(&region)),
            }
        }
    }
}
