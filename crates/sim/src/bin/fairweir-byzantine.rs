//! Tells stories with many seeds.

fn main() {}
