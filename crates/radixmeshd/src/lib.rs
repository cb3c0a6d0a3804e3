//! The RadixMesh daemon as a library: configuration, a client of the admin port, a runner for local clusters, and
//! what drives requests through them. The binary is a thin shell around [`cli`]; nothing here decides for a node.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod cert;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod compare;
pub mod config;
pub mod demo;
pub mod drive;
pub mod listening;
pub mod probe;
