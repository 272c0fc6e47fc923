//! The rules, one folder's file each; worlds from `fixtures`.

mod adopt;
mod asks;
mod breaker;
mod candidates;
mod config;
mod demand;
mod fit;
mod leaving;
mod limits;
mod need;
mod order;
mod permit;
mod properties;
mod records;
mod remember;
mod repair;
mod replace;
mod scale_down;
mod scale_up;
mod weak;
