//! Regions and partitions, as far as a spelling can be judged without asking anybody.
//!
//! The names and patterns are those of the endpoint tables that AWS publishes with its SDKs (46 regions in the Rust SDK of
//! 2026). A region that AWS opens later fits its partition's pattern and passes.

use crate::domain::BindingError;
use crate::domain::FailureKind;

/// Regions that were known when this was written, by partition.
const KNOWN: [(Partition, &[&str]); 8] = [
    (
        Partition::Aws,
        &[
            "af-south-1",
            "ap-east-1",
            "ap-east-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-6",
            "ap-southeast-7",
            "ca-central-1",
            "ca-west-1",
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "il-central-1",
            "me-central-1",
            "me-south-1",
            "mx-central-1",
            "sa-east-1",
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
        ],
    ),
    (Partition::China, &["cn-north-1", "cn-northwest-1"]),
    (Partition::Gov, &["us-gov-east-1", "us-gov-west-1"]),
    (Partition::Sovereign, &["eusc-de-east-1"]),
    (Partition::Iso, &["us-iso-east-1", "us-iso-west-1"]),
    (Partition::IsoB, &["us-isob-east-1", "us-isob-west-1"]),
    (Partition::IsoE, &["eu-isoe-west-1"]),
    (Partition::IsoF, &["us-isof-east-1", "us-isof-south-1"]),
];

/// The geographies of the partition `aws`.
const GEOGRAPHIES: [&str; 9] = ["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"];

/// A part of AWS with accounts, names and endpoints of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// `aws`
    Aws,
    /// `aws-cn`
    China,
    /// `aws-us-gov`
    Gov,
    /// `aws-eusc`
    Sovereign,
    /// `aws-iso`
    Iso,
    /// `aws-iso-b`
    IsoB,
    /// `aws-iso-e`
    IsoE,
    /// `aws-iso-f`
    IsoF,
}

impl Partition {
    /// The partition whose pattern a region fits; `None` when it fits none.
    #[must_use]
    pub fn of_region(region: &str) -> Option<Self> {
        let is_tail = |tail: &str| {
            let Some((word, number)) = tail.rsplit_once('-') else { return false };
            is_word(word) && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        };
        // The longer beginnings first: the pattern of `aws` would not take them, for they have one dash more.
        let special = [
            ("us-gov-", Self::Gov),
            ("us-iso-", Self::Iso),
            ("us-isob-", Self::IsoB),
            ("us-isof-", Self::IsoF),
            ("eu-isoe-", Self::IsoE),
            ("eusc-de-", Self::Sovereign),
            ("cn-", Self::China),
        ];
        for (start, partition) in special {
            if region.strip_prefix(start).is_some_and(is_tail) {
                return Some(partition);
            }
        }
        let (geography, tail) = region.split_once('-')?;
        (GEOGRAPHIES.contains(&geography) && is_tail(tail)).then_some(Self::Aws)
    }

    /// The word in ARNs.
    #[must_use]
    pub const fn word(self) -> &'static str {
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

/// `\w+` of the patterns.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What a region's spelling tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionVerdict {
    /// One of AWS's regions.
    Known,
    /// Not in the list, but of the form of this partition's regions: AWS may have opened it since.
    New(Partition),
    /// Of no partition's form, or one letter beside a known name.
    Strange,
    /// It cannot be part of a host name: lower-case letters, digits and dashes, at most 63, no dash at an end.
    NotALabel,
}

/// Judges a region's name.
#[must_use]
pub fn judge_region(region: &str) -> RegionVerdict {
    if !is_label(region) {
        return RegionVerdict::NotALabel;
    }
    if known_regions().any(|known| known == region) {
        return RegionVerdict::Known;
    }
    match Partition::of_region(region) {
        // A new region brings a new direction or number; a direction that nobody has is a typing error.
        Some(partition) if has_known_direction(region) => RegionVerdict::New(partition),
        Some(_) | None => RegionVerdict::Strange,
    }
}

/// All regions that are known by name.
pub fn known_regions() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().flat_map(|(_, regions)| regions.iter().copied())
}

/// A label of a host name (RFC 1123), in lower case.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether the word before the number is a direction that regions are named by.
fn has_known_direction(region: &str) -> bool {
    let direction = region.rsplit('-').nth(1).unwrap_or_default();
    let words = ["north", "south", "east", "west", "central", "northeast", "northwest", "southeast", "southwest"];
    words.contains(&direction)
}

/// Judges a region that came from the environment, a profile or the machine, where no file can be blamed. White space
/// around it is removed.
///
/// # Errors
/// `Caller` when it cannot be part of a host name.
pub(super) fn usable(region: &str) -> Result<String, BindingError> {
    let trimmed = region.trim();
    if trimmed.len() < region.len() {
        tracing::warn!(
            region = trimmed,
            "white space around the AWS region was removed; correct AWS_REGION or the profile"
        );
    }
    match judge_region(trimmed) {
        RegionVerdict::Known => Ok(trimmed.to_owned()),
        RegionVerdict::New(_) | RegionVerdict::Strange => {
            tracing::warn!(region = trimmed, "the AWS region is not in the list of known ones");
            Ok(trimmed.to_owned())
        }
        RegionVerdict::NotALabel => {
            let text = format!("{region:?} is not the code of an AWS region: correct AWS_REGION or the profile");
            Err(BindingError::new(FailureKind::Caller, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_known_region_is_of_its_partition() {
        assert_eq!(known_regions().count(), 46);
        for (partition, regions) in KNOWN {
            for region in regions {
                assert_eq!(Partition::of_region(region), Some(partition), "{region}");
                assert_eq!(judge_region(region), RegionVerdict::Known);
            }
        }
    }

    #[test]
    fn a_new_region_passes_and_a_typing_error_does_not() {
        for (region, verdict) in [
            ("eu-north-12", RegionVerdict::New(Partition::Aws)),
            ("us-gov-central-1", RegionVerdict::New(Partition::Gov)),
            ("cn-south-1", RegionVerdict::New(Partition::China)),
            ("eusc-de-west-1", RegionVerdict::New(Partition::Sovereign)),
            ("us-isof-north-3", RegionVerdict::New(Partition::IsoF)),
            ("eu-centrall-1", RegionVerdict::Strange),
            ("eu-cental-1", RegionVerdict::Strange),
            ("ue-west-1", RegionVerdict::Strange),
            ("eu-west", RegionVerdict::Strange),
            ("eu-west-1a", RegionVerdict::Strange),
            ("frankfurt", RegionVerdict::Strange),
            ("us-gov-", RegionVerdict::NotALabel),
            ("Eu-West-1", RegionVerdict::NotALabel),
            ("eu west 1", RegionVerdict::NotALabel),
            ("", RegionVerdict::NotALabel),
        ] {
            assert_eq!(judge_region(region), verdict, "{region}");
        }
    }

    #[test]
    fn white_space_around_a_region_of_the_environment_is_removed() {
        assert_eq!(usable("eu-central-1\n").unwrap(), "eu-central-1");
        let error = usable("eu\ncentral-1").unwrap_err();
        assert_eq!(error.kind(), FailureKind::Caller);
        assert!(error.message().starts_with(r#""eu\ncentral-1" is not the code"#), "{error}");
    }

    proptest! {
        #[test]
        fn what_passes_is_a_host_label_of_one_partition(region in "[a-zA-Z0-9._-]{0,70}") {
            match judge_region(&region) {
                RegionVerdict::Known | RegionVerdict::New(_) => {
                    prop_assert!(is_label(&region));
                    prop_assert!(Partition::of_region(&region).is_some());
                }
                RegionVerdict::Strange => prop_assert!(is_label(&region)),
                RegionVerdict::NotALabel => prop_assert!(!is_label(&region)),
            }
        }
    }
}
