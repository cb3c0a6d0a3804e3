//! One configuration of the comparison: the workload, the workers and their caches. Shared by all indices.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use crate::model::WORKERS_MAX;
use crate::request::{self, Workload};
use crate::stream::{Fleet, Stream};

/// What the indices are told and asked.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Setting {
    /// Where the requests come from.
    #[arg(long, value_enum)]
    pub(crate) workload: Workload,
    /// How many workers, a multiple of the replicas.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(WORKERS_MAX)))]
    pub(crate) workers: u16,
    /// Workers that hold the same.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) replicas: u16,
    /// Unit: tokens.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub(crate) page_tokens: u32,
    /// How many requests to take.
    #[arg(long)]
    pub(crate) requests: usize,
    /// Unit: pages per worker.
    #[arg(long)]
    pub(crate) capacity_pages: usize,
    /// The trace, for the workload that is one.
    #[arg(long)]
    #[serde(skip)]
    pub(crate) trace: Option<PathBuf>,
}

impl Setting {
    /// Returns a short name, unique in one comparison.
    pub(crate) fn label(&self) -> String {
        let workload = self.workload.name();
        let (workers, page) = (self.workers, self.page_tokens);
        match self.replicas {
            1 => format!("{workload} {workers} p{page}"),
            replicas => format!("{workload} {workers}x{replicas} p{page}"),
        }
    }

    /// Returns the arguments that give this setting to another process.
    pub(crate) fn args(&self) -> Vec<String> {
        let mut args = vec![
            format!("--workload={}", self.workload.name()),
            format!("--workers={}", self.workers),
            format!("--replicas={}", self.replicas),
            format!("--page-tokens={}", self.page_tokens),
            format!("--requests={}", self.requests),
            format!("--capacity-pages={}", self.capacity_pages),
        ];
        if let Some(trace) = &self.trace {
            args.push(format!("--trace={}", trace.display()));
        }
        args
    }

    /// Makes the stream. Errors: there is no trace, or it cannot be read; the workers are no multiple of the replicas.
    pub(crate) fn stream(&self) -> anyhow::Result<Stream> {
        anyhow::ensure!(
            self.workers.is_multiple_of(self.replicas),
            "{} workers are not groups of {}",
            self.workers,
            self.replicas
        );
        let requests = match self.workload {
            Workload::Chats => request::chats(self.page_tokens, self.requests),
            Workload::Mooncake => {
                let trace = self.trace.as_deref().context("no trace given")?;
                request::mooncake(trace, self.page_tokens, self.requests)?
            }
        };
        let fleet = Fleet {
            workers: self.workers,
            replicas: self.replicas,
            capacity_pages: self.capacity_pages,
        };
        Ok(Stream::new(requests, fleet))
    }
}
