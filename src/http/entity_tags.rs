//! Conditions on entity tags (RFC 9110, section 13.1).

/// Whether a list of entity tags, as `If-Match` has it, names this one. Weak tags match nothing (section 13.1.1).
#[must_use]
pub fn names_tag(list: &str, etag: &str) -> bool {
    tags(list).any(|tag| tag == "*" || is_tag(tag, etag))
}

/// The same for `If-None-Match`. Weak tags count as strong ones (section 13.1.2).
#[must_use]
pub fn names_tag_weakly(list: &str, etag: &str) -> bool {
    tags(list).any(|tag| tag == "*" || is_tag(tag.strip_prefix("W/").unwrap_or(tag), etag))
}

fn tags(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

fn is_tag(tag: &str, etag: &str) -> bool {
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) == Some(etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_list_match_as_a_whole_and_weak_ones_only_weakly() {
        for (list, is_named, is_named_weakly) in [
            ("\"ab\"", true, true),
            ("*", true, true),
            ("\"x\", \"ab\"", true, true),
            ("W/\"ab\"", false, true),
            ("\"x\", W/\"ab\"", false, true),
            ("ab", false, false),
            ("\"abc\"", false, false),
            ("\"", false, false),
            ("", false, false),
        ] {
            assert_eq!((names_tag(list, "ab"), names_tag_weakly(list, "ab")), (is_named, is_named_weakly), "{list}");
        }
    }
}
