//! The rules: each in a file named after its own, on worlds from `fixtures`. Of `records`, what ends
//! is in `repair` and what comes in `joining`; of the room itself, what a pass remembers is in
//! `remember`. Faults of others stand in `weak` by their number, what holds in every world in
//! `properties`, the last moment of every wait in `ends`, and what people are told in `decisions`.

mod adopt;
mod asks;
mod backoff;
mod breaker;
mod candidates;
mod choice;
mod config;
mod contest;
mod decisions;
mod demand;
mod draining;
mod ends;
mod explain;
mod fewest;
mod fit;
mod foreseen;
mod forgotten;
mod impaired;
mod joining;
mod leaving;
mod limits;
mod need;
mod order;
mod packing;
mod permit;
mod places;
mod promises;
mod properties;
mod records;
mod remember;
mod removed;
mod repair;
mod replace;
mod scale_down;
mod scale_up;
mod sensors;
mod spot;
mod unnamed;
mod weak;
mod zones;
