//! Random operations against simple models, under simulated time. A failing run prints its seed; the fix adds that
//! seed as a plain test.

mod domain;
mod gateway;
