//! Commands against a model of the state.
