//! Reads `region`, checks its name, and compares it with the ARN and the ARN's partition.

use crate::aws::{Arn, Partition, RegionCheck, check_region, known_regions};
use crate::manifest::{Reader, nearest};

/// Reads and checks `region` (or `awsRegion`), else the region of the ARN. `arn_region` is the field with the ARN, and the
/// ARN's region.
pub(super) fn read_region(reader: &mut Reader<'_>, arn_region: Option<(&'static str, &str)>) -> Option<String> {
    let field = reader.name_or_alias("region", "awsRegion");
    let is_lenient = reader.boolean("allowUnknownRegion").unwrap_or(false) || reader.is_given("endpoint");
    let written = reader.trimmed_text(field);
    if let Some(region) = &written
        && !is_usable(reader, field, region, is_lenient)
    {
        return None;
    }
    let Some((arn_field, region_of_arn)) = arn_region else { return written };
    match &written {
        Some(region) if region != region_of_arn => {
            let problem = format!("the region differs from `{region_of_arn}`, which the ARN in `{arn_field}` names");
            reader.fault(field, problem, format!("write `{region_of_arn}`, or leave `{field}` out"));
        }
        Some(_) => {}
        None => {
            is_usable(reader, arn_field, region_of_arn, is_lenient);
        }
    }
    let arn = reader.text(arn_field);
    if let Some(arn) = arn.as_deref().and_then(Arn::parse) {
        check_partition(reader, arn_field, arn.partition, region_of_arn);
    }
    written.or_else(|| Some(region_of_arn.to_owned()))
}

/// Records a fault if the ARN and the region are of different partitions. An unknown region is not checked.
pub(super) fn check_partition(reader: &mut Reader<'_>, field: &str, partition: &str, region: &str) {
    if let Some(right) = Partition::from_region(region).map(Partition::as_str)
        && right != partition
    {
        let problem = format!("the ARN is of partition `{partition}`, but region `{region}` is of `{right}`");
        reader.fault(field, problem, format!("begin the ARN with `arn:{right}:`, or correct the region"));
    }
}

/// Whether the region can be used; otherwise records a fault.
fn is_usable(reader: &mut Reader<'_>, field: &str, region: &str, is_lenient: bool) -> bool {
    let suggestion = nearest(region, known_regions());
    // A value that came through a reference may be a secret.
    let shown = if reader.is_written(field) { format!("`{}`", short(region)) } else { "the value".to_owned() };
    match check_region(region) {
        RegionCheck::Known => true,
        RegionCheck::New(_) if is_lenient => true,
        RegionCheck::New(partition) => {
            let hint = suggestion.map(|name| format!(" (`{name}` is)")).unwrap_or_default();
            let text = format!(
                "{shown} is not in the list of known regions{hint}, but looks like a new one of partition `{}`",
                partition.as_str()
            );
            reader.notice(field, &text);
            true
        }
        RegionCheck::Unknown if is_lenient => true,
        RegionCheck::Unknown => {
            let suggestion = suggestion.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
            let remedy = format!("{suggestion}A region that does exist needs `allowUnknownRegion: \"true\"`");
            reader.fault(field, format!("{shown}: AWS has no such region"), remedy);
            false
        }
        RegionCheck::InvalidLabel => {
            let remedy = nearest(&region.to_lowercase(), known_regions()).map_or_else(
                || "write its code, such as `eu-central-1`".to_owned(),
                |name| format!("did you mean `{name}`?"),
            );
            reader.fault(field, format!("{shown}: this is not the code of a region"), remedy);
            false
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}
