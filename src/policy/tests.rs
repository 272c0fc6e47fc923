//! The rules, one folder's file each; worlds from `fixtures`.

mod asks;
mod candidates;
mod fit;
mod need;
mod rules;
mod scale_down;
mod scale_up;
mod tables;
mod world;
