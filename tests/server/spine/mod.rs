//! Between connections, workers and threads, over real sockets: one order, one bound, one budget.
//! docs/cases.md O1 to O7.

mod bounds;
mod clients;
mod history;
mod order;
mod positions;
mod presence;
mod results;
