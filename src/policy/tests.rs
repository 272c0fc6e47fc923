//! The rules, one folder's file each; worlds from `fixtures`.

mod asks;
mod candidates;
mod config;
mod demand;
mod fit;
mod leaving;
mod need;
mod permit;
mod properties;
mod records;
mod replace;
mod rules;
mod scale_down;
mod scale_up;
mod tables;
mod weak;
mod world;
