//! The rules, one folder's file each; worlds from `fixtures`.

mod asks;
mod fit;
mod need;
mod rules;
mod scale_up;
mod world;
