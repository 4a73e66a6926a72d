//! What the store promises: each sentence, its repeats and refusals, and what is left of it after a power cut.

mod asked_again;
mod attempts;
mod backlog;
mod backups;
mod clock_jumps;
mod compaction;
mod crash;
mod disk_full;
mod engine;
mod erasing;
mod jobs;
mod opening;
mod pages;
mod promises;
mod public_ids;
mod reach;
mod redelivery;
mod slots;
mod stats;
mod watermark;
mod world;
