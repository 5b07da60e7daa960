//! What every store must do: plain functions over any store, and one list of them that each backend runs.
//! Knows no backend but how to make one.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test stops at what it does not expect")]

mod compaction;
mod concurrency;
mod harness;
mod idempotency;
mod lifetime;
mod reads;
mod sqlite;
mod sqlite_groups;
mod swarms;
mod transactions;
mod writes;

pub use harness::{Harness, RETENTION, clock};
pub mod requests;

/// One test per case and backend.
macro_rules! cases {
    ($($module:ident: $($case:ident),+ $(,)?;)+) => {
        mod on_memory {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let harness = super::Harness::memory();
                    super::$module::$case(&harness).await;
                    harness.check_invariants().await;
                }
            )+)+
        }
        mod on_sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let harness = super::Harness::sqlite().await;
                    super::$module::$case(&harness).await;
                    harness.check_invariants().await;
                }
            )+)+
        }
        mod on_postgres {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let harness = super::Harness::postgres().await;
                    super::$module::$case(&harness).await;
                    harness.check_invariants().await;
                }
            )+)+
        }
    };
}

cases! {
    swarms:
        a_swarm_is_created_read_listed_and_deleted,
        swarms_are_listed_in_pages_by_name,
        swarms_do_not_see_each_other,
        a_recreated_swarm_is_another,
        every_call_refuses_an_unknown_swarm,
        heads_come_in_the_order_asked_for,
        the_store_answers_and_keeps_its_key;
    writes:
        a_put_is_read_back_as_written,
        versions_and_creation_are_counted,
        etags_guard_puts,
        etags_guard_deletes,
        absence_and_existence_guard_writes,
        a_delete_leaves_a_tombstone_with_what_was_deleted,
        deleting_nothing_takes_no_revision,
        a_batch_is_all_or_nothing,
        a_refusal_disturbs_no_other_request,
        requests_of_a_batch_see_each_other,
        deletes_below_a_prefix_match_segments,
        deletes_below_a_prefix_are_limited,
        deletes_below_a_prefix_can_be_too_large,
        names_of_any_alphabet_are_kept,
        large_contents_are_kept,
        a_thousand_operations_are_one_revision,
        everything_a_writer_says_is_kept;
    transactions:
        comparisons_choose_the_branch,
        comparisons_look_at_every_property,
        comparisons_below_a_prefix_hold_for_all,
        comparisons_below_a_prefix_can_be_too_large,
        reads_see_the_operations_before_them,
        a_transaction_that_only_reads_takes_no_revision,
        a_condition_inside_a_transaction_refuses_all_of_it;
    idempotency:
        a_repeated_request_is_answered_not_done,
        a_repeat_in_the_same_batch_is_answered,
        another_request_under_the_same_id_is_refused,
        ids_belong_to_an_agent,
        a_request_that_changed_nothing_is_done_again,
        what_a_transaction_read_is_remembered_by_name,
        ids_are_forgotten_after_a_day_of_swarm_time,
        purging_removes_old_outcomes_only;
    lifetime:
        an_expired_entry_is_absent_to_conditions,
        an_expired_entry_is_deleted_before_it_is_written,
        an_expired_entry_is_deleted_before_its_delete_finds_nothing,
        expiry_deletes_what_is_due_and_nothing_else,
        due_entries_come_earliest_first,
        the_next_expiry_follows_every_change,
        swarms_with_due_entries_are_found,
        swarm_time_never_runs_back,
        deleting_below_a_prefix_expires_what_is_due;
    reads:
        the_log_comes_in_pages,
        the_log_goes_on_inside_a_revision,
        the_log_ends_pages_by_bytes,
        marks_name_revisions,
        reads_at_a_revision_see_that_revision,
        scans_come_in_pages,
        scans_step_over_tombstones,
        scans_follow_ranges_bytewise,
        scans_leave_contents_out_on_request,
        histories_are_newest_first,
        a_commit_is_found_by_its_nonce;
    compaction:
        the_floor_is_the_smallest_readable_revision,
        the_floor_is_never_lowered_or_above_the_newest,
        superseded_versions_and_tombstones_go,
        compaction_comes_in_small_steps,
        compaction_keeps_every_readable_state,
        a_key_can_come_back_after_compaction,
        purging_removes_deleted_swarms;
    concurrency:
        commits_to_one_swarm_are_ordered_without_gaps,
        commits_to_one_swarm_lose_no_update,
        commits_to_two_swarms_do_not_mix,
        readers_see_whole_commits;
}
