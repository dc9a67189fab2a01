//! What the server tells about itself: log lines and metrics.
//!
//! Owns: the log writer threads and log files, the counters, the /metrics listener, and the lines about slow turns.
//! Invariant: telling never holds up the told. A core writes plain counters that only it writes,
//! and log lines go into a bounded queue that drops when full; nothing secret goes into either.

mod by_name;
mod exposition;
pub mod log_files;
mod log_writer;
mod logs;
mod metrics;
mod process;
mod process_numbers;
mod serve;
mod system;
mod thread;
mod turn;

pub use exposition::{CONTENT_TYPE, encode};
pub use logs::{Guard, dropped_lines, init_logs, log_level, log_request, logs_requests, set_level};
pub use metrics::{
    CoreMetrics, Counter, Gauge, Histogram, LaneMetrics, Names, Registry, SearchMetrics, StoreMetrics,
    WriterMetrics,
};
pub use serve::serve_metrics;
pub use system::{Figures, System};
pub use thread::ThreadFile;
pub use turn::{HubWork, Largest, Phase, Turn, Watch, Work};
