//! api

pub mod limiter;
