//! One file per command.

pub mod answers;
pub mod bench;
pub mod completions;
pub mod decide;
pub mod doctor;
pub mod engine;
pub mod experiment;
pub mod export;
pub mod forks;
pub mod generate;
pub mod grow;
pub mod guide;
pub mod lens;
pub mod model;
pub mod next;
pub mod report;
pub mod rows;
pub mod score;
pub mod serve;
pub mod show;
pub mod spans;
pub mod steps;
pub mod strategy;
pub mod tree;
pub mod verify;
pub mod view;
