//! The rules as tables, each named as the sentence that it holds. Worlds are built in `world`.

mod asks;
mod down;
mod leaving;
mod repair;
mod up;
mod world;
