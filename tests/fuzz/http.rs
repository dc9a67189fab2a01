//! http fuzz
