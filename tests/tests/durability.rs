//! Durability from the outside: real broker processes, killed, and judged by what their clients
//! saw.
//!
//! Random runs print their seed; `LEVERET_SEED` repeats one, `LEVERET_CRASH_ROUNDS` says how
//! often brokers are killed. `power_loss.rs` does the same to the store alone, sync by sync.

#[path = "durability/churn.rs"]
mod churn;
#[path = "durability/crash.rs"]
mod crash;
#[path = "durability/damage.rs"]
mod damage;
#[path = "durability/duplicates.rs"]
mod duplicates;
#[path = "durability/load.rs"]
mod load;
#[path = "durability/observe.rs"]
mod observe;
#[path = "durability/restart.rs"]
mod restart;
#[path = "durability/transactions.rs"]
mod transactions;
#[path = "durability/world.rs"]
mod world;
