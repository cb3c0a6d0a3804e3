//! Every counter of a source by name, for `/status` and `/metrics` alike.

use engines::source::Counters;

use crate::source::{SocketCounters, SourceReport};

/// Returns every counter: name, meaning, value. A counter that is not listed does not compile.
pub(super) fn counters(report: &SourceReport) -> [(&'static str, &'static str, u64); 33] {
    let Counters {
        batches,
        events,
        bytes,
        duplicate_batches,
        gaps,
        gaps_lost,
        replays,
        replayed_batches,
        restarts,
        clears,
        odd_messages,
        malformed_batches,
        unknown_events,
        malformed_events,
        unknown_fields,
        odd_fields,
        odd_stored,
        partial_attention,
        elsewhere,
        unknown_stored,
        unknown_removed,
        renamed_blocks,
        inferred_blocks,
        adopted_blocks,
        forgotten_orphans,
        refused_blocks,
    } = report.counters;
    let SocketCounters {
        connects,
        connect_errors,
        replay_errors,
        withdrawals,
        publish_errors,
        stray_batches,
        store_errors,
    } = report.socket;
    [
        ("batches", "Batches taken in", batches),
        ("events", "Events taken in", events),
        ("bytes", "Bytes of the batches taken in", bytes),
        (
            "duplicate_batches",
            "Batches that came again",
            duplicate_batches,
        ),
        ("gaps", "Times that batches were found missing", gaps),
        ("gaps_lost", "Gaps that no replay could close", gaps_lost),
        ("replays", "Replays asked for, polls included", replays),
        (
            "replayed_batches",
            "Batches that only a replay brought",
            replayed_batches,
        ),
        (
            "restarts",
            "Times that the engine was found to have begun anew",
            restarts,
        ),
        (
            "clears",
            "Times that the engine dropped its whole cache",
            clears,
        ),
        (
            "odd_messages",
            "Messages whose frames fit no release, or that answer a question of the past",
            odd_messages,
        ),
        (
            "malformed_batches",
            "Payloads that are no batches",
            malformed_batches,
        ),
        (
            "unknown_events",
            "Events of kinds that are not known",
            unknown_events,
        ),
        (
            "malformed_events",
            "Events that could not be read",
            malformed_events,
        ),
        (
            "unknown_fields",
            "Fields that are not known",
            unknown_fields,
        ),
        (
            "odd_fields",
            "Optional fields of another type than expected",
            odd_fields,
        ),
        (
            "odd_stored",
            "Stored events whose names and tokens do not fit together",
            odd_stored,
        ),
        (
            "partial_attention",
            "Events about layers that keep less than every token",
            partial_attention,
        ),
        (
            "elsewhere",
            "Events about places outside the engine, or about media that are not known",
            elsewhere,
        ),
        (
            "unknown_stored",
            "Names stored without tokens that were not known",
            unknown_stored,
        ),
        (
            "unknown_removed",
            "Removals of what was not held",
            unknown_removed,
        ),
        (
            "renamed_blocks",
            "Names that came to mean other tokens",
            renamed_blocks,
        ),
        (
            "inferred_blocks",
            "Blocks taken as held because the engine continued them",
            inferred_blocks,
        ),
        (
            "adopted_blocks",
            "Parked blocks whose parents came",
            adopted_blocks,
        ),
        (
            "forgotten_orphans",
            "Parked blocks given up for want of room",
            forgotten_orphans,
        ),
        (
            "refused_blocks",
            "Blocks not taken in because a limit was reached",
            refused_blocks,
        ),
        ("connects", "Times the subscription came up", connects),
        (
            "connect_errors",
            "Times the subscription could not be made, or broke",
            connect_errors,
        ),
        (
            "replay_errors",
            "Replays that could not be asked for, or broke off",
            replay_errors,
        ),
        (
            "withdrawals",
            "Times the engine was gone for so long that its copies were withdrawn",
            withdrawals,
        ),
        (
            "publish_errors",
            "Publishes that the node refused",
            publish_errors,
        ),
        (
            "stray_batches",
            "Batches of data-parallel ranks that are not configured",
            stray_batches,
        ),
        (
            "store_errors",
            "Snapshots of the source that could not be written",
            store_errors,
        ),
    ]
}
