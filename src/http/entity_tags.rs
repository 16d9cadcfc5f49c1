//! Conditions on entity tags (RFC 9110, section 13.1).

/// Whether a list of entity tags, as `If-None-Match` has it, names this one. Weak tags count as strong ones (section 13.1.2).
#[must_use]
pub fn names_tag_weakly(list: &str, etag: &str) -> bool {
    let is_tag = |tag: &str| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) == Some(etag)
    };
    list.split(',').map(str::trim).any(|tag| tag == "*" || is_tag(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_list_match_weakly_and_as_a_whole() {
        for (list, is_named) in [
            ("\"ab\"", true),
            ("*", true),
            ("W/\"ab\"", true),
            ("\"x\", W/\"ab\"", true),
            ("ab", false),
            ("\"abc\"", false),
            ("\"", false),
            ("", false),
        ] {
            assert_eq!(names_tag_weakly(list, "ab"), is_named, "{list}");
        }
    }
}
