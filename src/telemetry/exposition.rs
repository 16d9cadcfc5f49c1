//! The two text formats that Prometheus reads: OpenMetrics, which `prometheus_client` writes, and the older one
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), which more scrapers read.

/// How the metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
    /// `text/plain; version=0.0.4`.
    Text,
}

/// Translates a page of OpenMetrics. The older format declares a counter under the name of its samples, `..._total`, and
/// has neither units nor an end mark; the samples are the same.
pub(super) fn text(open_metrics: &str) -> String {
    let mut page = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            page.extend([line, "\n"]);
            continue;
        };
        if let Some(text) = comment.strip_prefix("HELP ") {
            // Its name depends on the type, which follows.
            help = text.split_once(' ');
        } else if let Some((name, kind)) = comment.strip_prefix("TYPE ").and_then(|text| text.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take().filter(|(described, _)| *described == name) {
                page.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            }
            // Only counters whose name does not end as OpenMetrics demands are of unknown type.
            let kind = if kind == "unknown" { "counter" } else { kind };
            page.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;
    use std::collections::HashSet;
    use std::time::Duration;

    #[test]
    fn counters_are_named_as_their_samples() {
        let open = "# HELP b_x Things done.\n# TYPE b_x counter\nb_x_total{a=\"# HELP\"} 1\n\
                    # HELP b_s Size.\n# TYPE b_s gauge\n# UNIT b_s bytes\nb_s 2\n\
                    # HELP b_u What.\n# TYPE b_u unknown\nb_u 3\n# EOF\n";
        let expected = "# HELP b_x_total Things done.\n# TYPE b_x_total counter\nb_x_total{a=\"# HELP\"} 1\n\
                        # HELP b_s Size.\n# TYPE b_s gauge\nb_s 2\n\
                        # HELP b_u What.\n# TYPE b_u counter\nb_u 3\n";
        assert_eq!(text(open), expected);
    }

    #[test]
    fn every_sample_has_a_type_under_its_own_name() {
        let metrics = Metrics::new();
        metrics.requests("orders").answered("create", 204, Duration::from_millis(3));
        metrics.input("orders-in").fetched(2, 20);
        metrics.output("orders").retried(1);
        let page = metrics.page_in(MetricsFormat::Text).unwrap();
        let typed: HashSet<(&str, &str)> =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        assert!(typed.contains(&("bindd_output_requests_total", "counter")), "{page}");
        assert!(typed.contains(&("bindd_output_latency_seconds", "histogram")), "{page}");
        for sample in page.lines().filter(|line| !line.starts_with('#')) {
            let name = &sample[..sample.find(['{', ' ']).unwrap()];
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let is_typed = ["counter", "gauge"].iter().any(|kind| typed.contains(&(name, kind)))
                || of_histogram.is_some_and(|name| typed.contains(&(name, "histogram")));
            assert!(is_typed, "{sample}");
        }
        assert!(!page.contains("# EOF") && !page.contains("# UNIT"), "{page}");
    }
}
