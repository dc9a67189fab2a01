//! The figures of the process, under the names that Prometheus' own clients give them.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::exposition::{number, seconds};
use super::metrics::Registry;
use super::process::{files_max, run_ns};

/// What the kernel says about this process. A figure that cannot be read is left out.
#[derive(Debug)]
pub(super) struct ProcessCollector(pub Arc<Registry>);

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Registry { cores, process, .. } = &*self.0;
        if let Some(bytes) = process.resident_bytes() {
            let help = "Resident memory";
            let gauge =
                encoder.encode_descriptor("resident_memory", help, Some(&Unit::Bytes), MetricType::Gauge)?;
            number(gauge, MetricType::Gauge, bytes)?;
        }
        let connections =
            cores.iter().map(|core| core.http_connections.value() + core.gateway_connections.value());
        let gauge =
            encoder.encode_descriptor("open_fds", "Open file descriptors", None, MetricType::Gauge)?;
        number(gauge, MetricType::Gauge, process.open_files(connections.sum()))?;
        if let Some(max) = files_max() {
            let help = "Open file descriptors that the process may have";
            number(
                encoder.encode_descriptor("max_fds", help, None, MetricType::Gauge)?,
                MetricType::Gauge,
                max,
            )?;
        }
        if let Some(run_ns) = run_ns() {
            let help = "Time of all threads on a processor";
            let unit = Some(&Unit::Seconds);
            seconds(encoder.encode_descriptor("cpu", help, unit, MetricType::Counter)?, run_ns)?;
        }
        if let Some(start) = process.start_seconds() {
            let help = "Start of the process, Unix time";
            let mut gauge =
                encoder.encode_descriptor("start_time", help, Some(&Unit::Seconds), MetricType::Gauge)?;
            gauge.encode_gauge(&start)?;
        }
        Ok(())
    }
}
