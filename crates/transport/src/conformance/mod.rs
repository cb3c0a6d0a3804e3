//! What every transport must do, as tests: to implement [`Transport`](crate::Transport) is to pass them.
//!
//! A transport brings a [`Rig`] and calls [`conformance_tests!`](crate::conformance_tests) in a test of its own.
//! The functions panic where the claim in their name does not hold, and give up after a time.
//! Nothing here is for production; it is not behind a feature so that it cannot rot.

mod frames;
mod introductions;
mod links;
mod pressure;
mod rig;
mod rubbish;
mod shake;

pub use frames::*;
pub use introductions::*;
pub use links::*;
pub use pressure::*;
pub use rig::Rig;
pub use rubbish::*;
pub use shake::*;

/// Makes a `#[tokio::test]` of every conformance test. The argument is an expression for a fresh [`Rig`].
#[macro_export]
macro_rules! conformance_tests {
    ($rig:expr) => {
        $crate::conformance_tests! { $rig =>
            frames_keep_their_order_within_a_lane
            control_overtakes_bulk
            frames_are_encoded_in_place
            a_frame_that_can_never_fit_is_refused
            both_ends_know_each_other
            close_delivers_what_is_queued_and_is_seen_by_both
            abort_drops_what_is_queued_and_is_seen_by_both
            a_handler_may_send_while_it_receives
            a_handler_may_disconnect
            a_connection_closed_before_its_start_tells_its_handler
            a_full_lane_refuses_and_tells_of_room
            a_slow_receiver_holds_up_its_sender_and_drains
            a_peer_that_does_not_keep_up_is_told_once_and_so_is_its_end
            every_protocol_error_disconnects_by_name
            a_half_sent_frame_is_not_delivered
            an_oversize_length_is_refused_at_once
            rubbish_instead_of_a_hello_is_named
            random_bytes_do_not_stop_a_listener
            silent_peers_do_not_stop_a_listener
            silent_peers_of_one_address_only_displace_each_other
            a_silent_peer_is_timed_out
            mismatches_are_rejected_by_name_on_both_sides
            an_unwelcome_peer_is_rejected_by_name_on_both_sides
            links_come_up_and_carry_frames
            a_restarted_peer_with_a_higher_epoch_is_linked_again
            a_newer_connection_replaces_the_old_one
            a_lower_epoch_does_not_replace_a_live_connection
            an_earlier_epoch_is_refused_after_the_later_one_is_gone
            strangers_are_refused_by_name
            a_peer_no_longer_wanted_goes_down_and_may_come_back
            ups_and_downs_alternate_under_churn
            links_carry_the_epoch_that_was_set
            a_newcomer_introduces_itself_and_is_answered
            introductions_are_refused_by_name_on_both_sides
            introductions_are_bounded
            a_rank_that_somebody_lives_in_is_not_taken_over
            who_is_refused_hears_why_and_tries_again
            a_peer_that_moved_is_dialed_at_its_new_address
        }
    };
    ($rig:expr => $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::conformance::$name(&$rig).await;
            }
        )*
    };
}
