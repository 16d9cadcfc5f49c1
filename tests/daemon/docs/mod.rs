//! README, docs and sample components: what they show is loaded and run, and their tables name what the code knows.

mod page;
mod recipes;
mod samples;
mod session;
mod shell;
mod tables;
mod writing;
mod yaml;
