//! The service as a caller meets it.

mod described;
mod isolation;
mod reading;
mod refusals;
mod serving;
mod stage;
