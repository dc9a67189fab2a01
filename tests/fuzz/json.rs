//! json fuzz
