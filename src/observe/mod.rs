//! What the server tells about itself: log lines and metrics.
//!
//! Owns: the log writer thread, the counters, the /metrics listener, and the lines about slow turns.
//! Invariant: telling never holds up the told. A core writes plain counters that only it writes,
//! and log lines go into a bounded queue that drops when full; nothing secret goes into either.

mod exposition;
mod logs;
mod metrics;
mod process;
mod serve;
mod thread;
mod turn;

pub use exposition::{CONTENT_TYPE, encode};
pub use logs::{Guard, dropped_lines, init_logs, log_request, logs_requests};
pub use metrics::{
    CoreMetrics, Counter, Gauge, Histogram, LaneMetrics, Registry, SearchMetrics, StoreMetrics, WriterMetrics,
};
pub use serve::serve_metrics;
pub use thread::ThreadFile;
pub use turn::{HubWork, Largest, Phase, Turn, Watch, Work};
