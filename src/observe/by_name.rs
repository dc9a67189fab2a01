//! The counters of rows of other tables: routes, and reasons for which the gateway closes connections.
//!
//! Sums over the cores: a site has hundreds of routes, and who looks for the slow one asks of the whole server. Rows that
//! nothing was counted for are left out, routes that nobody asks for and reasons that did not occur.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::exposition::{NANOSECONDS, histogram, number};
use super::metrics::{OperationHistogram, Registry};

pub(super) fn encode(registry: &Registry, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    build(encoder)?;
    operations(registry, encoder)?;
    closes(registry, encoder)
}

/// As other programs tell their version: the value is always 1.
fn build(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Version of the program, and of the API that it speaks";
    let mut family = encoder.encode_descriptor("build_info", help, None, MetricType::Gauge)?;
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("api", crate::config::API_LEVEL)];
    number(family.encode_family(&labels)?, MetricType::Gauge, 1)
}

fn operations(registry: &Registry, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Time of requests from the head to the answer, by route; other is what leads to none";
    let unit = Some(&Unit::Seconds);
    let mut family = encoder.encode_descriptor("http_operation", help, unit, MetricType::Histogram)?;
    for (row, name) in registry.names().operations.iter().enumerate() {
        let mut of_cores = registry.cores.iter().filter_map(|core| core.operations[row].get()).peekable();
        if of_cores.peek().is_none() {
            continue;
        }
        let sum = OperationHistogram::default();
        of_cores.for_each(|times| sum.add(times));
        histogram(family.encode_family(&[("operation", name.as_str())])?, &sum, NANOSECONDS)?;
    }
    Ok(())
}

fn closes(registry: &Registry, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Gateway connections closed by the server, by code and reason";
    let mut family = encoder.encode_descriptor("gateway_closes", help, None, MetricType::Counter)?;
    for (row, (code, reason)) in registry.names().closes.iter().enumerate() {
        let count = registry.cores.iter().map(|core| core.closes[row].value()).sum();
        if count > 0 {
            let labels = [("code", code.to_string()), ("reason", (*reason).to_owned())];
            number(family.encode_family(&labels)?, MetricType::Counter, count)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::{Names, exposition};

    #[test]
    fn rows_are_summed_over_the_cores_and_left_out_when_nothing_was_counted() {
        let names = Names {
            operations: vec!["other".into(), "GET /a".into(), "GET /b".into()],
            closes: vec![(4000, "Reconnect"), (4009, "Session timed out")],
            ..Names::default()
        };
        let registry = Arc::new(Registry::new(2, names));
        for core in &registry.cores {
            core.operation(1, 200_000);
            core.closes[1].increment();
        }
        registry.cores[1].operation(1, 3_000_000_000);
        registry.cores[1].operation(99, 1);
        let text = exposition::encode(&registry);
        for line in [
            "plexichat_http_operation_seconds_bucket{le=\"0.000131072\",operation=\"GET /a\"} 0",
            "plexichat_http_operation_seconds_bucket{le=\"0.000262144\",operation=\"GET /a\"} 2",
            "plexichat_http_operation_seconds_count{operation=\"GET /a\"} 3",
            "plexichat_gateway_closes_total{code=\"4009\",reason=\"Session timed out\"} 2",
            concat!("plexichat_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\",api=\"a.1.0-49\"} 1"),
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\nis missing in\n{text}");
        }
        assert!(
            text.contains("\nplexichat_http_operation_seconds_sum{operation=\"GET /a\"} 3.0004"),
            "{text}"
        );
        assert!(!text.contains("GET /b") && !text.contains("Reconnect\""), "{text}");
    }
}
