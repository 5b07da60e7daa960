//! Whether to try again, and when: the one table of what a failure means, the pauses, and the budget. Pure: time and chance
//! are given. Knows nothing of calls and streams.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{Error, Origin, Refusal, Retry, reason};
use tonic::Code;

/// What a coordinator asks for is heeded up to here.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// What a success adds to the budget.
const DEPOSIT: f64 = 0.1;

/// Pauses that double, with full jitter: each is drawn evenly between nothing and its bound, so that those who failed together
/// do not come back together (M. Brooker, "Exponential Backoff And Jitter", 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first pause.
    pub first: Duration,
    /// The bound that no pause exceeds.
    pub max: Duration,
}

impl Backoff {
    /// The bound of the pause after so many failures in a row.
    pub fn bound(&self, failures: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.max)
    }

    /// The pause after so many failures in a row: what the coordinator asked for, up to a minute, and the jitter on top.
    /// `chance` is 0 to 1.
    pub fn pause(&self, failures: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        asked + self.bound(failures).mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// A number from 0 to 1, 1 excluded.
pub(super) fn chance() -> f64 {
    // The low half of a random UUID has 62 random bits, of which a double holds 53.
    let (_, low) = Uuid::new_v4().as_u64_pair();
    (low & ((1 << 53) - 1)) as f64 / (1_u64 << 53) as f64
}

/// What a failed attempt says about what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Asked again it would be the same.
    Final,
    /// It was not even sent, so nobody was bothered.
    NotSent,
    /// It was not done, and may be in a while.
    NotDone(Option<Duration>),
    /// It may have been done.
    Open,
}

/// The table. docs/clients.md has it in words.
pub(super) fn verdict(error: &Error) -> Verdict {
    match error {
        Error::Connect { .. } => Verdict::NotSent,
        Error::NotACoordinator { .. } | Error::Protocol(_) | Error::OutcomeUnknown { .. } => Verdict::Final,
        Error::Refused(refusal) => match (&refusal.origin, refusal.reason.as_deref()) {
            (Origin::Connection, _) => Verdict::Open,
            (Origin::Coordinator, Some(reason)) => of_reason(refusal, reason),
            (Origin::Coordinator, None) => of_code(refusal),
        },
    }
}

/// The coordinator's own word.
fn of_reason(refusal: &Refusal, reason: &str) -> Verdict {
    match (refusal.code, refusal.retry_after) {
        (Code::Unavailable, after) => Verdict::NotDone(after),
        (Code::ResourceExhausted, Some(after)) => Verdict::NotDone(Some(after)),
        // The deadline was over before it was begun.
        (Code::DeadlineExceeded, after) => Verdict::NotDone(after),
        (Code::Unknown, _) if reason == reason::OUTCOME_UNKNOWN => Verdict::Open,
        _ => Verdict::Final,
    }
}

/// Without a reason it is somebody between who speaks, and he does not know what the coordinator did.
fn of_code(refusal: &Refusal) -> Verdict {
    match (refusal.code, refusal.retry_after) {
        (Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown, _) => Verdict::Open,
        (Code::ResourceExhausted, Some(after)) => Verdict::NotDone(Some(after)),
        _ => Verdict::Final,
    }
}

/// Whether a watch that ended so goes on from its last token.
pub(super) fn resumes(error: &Error) -> bool {
    // Whoever takes up reading again wants what comes next.
    verdict(error) != Verdict::Final || error.reason() == Some(reason::SLOW_CONSUMER)
}

/// Whether a refusal also settles what became of earlier attempts under the same request id: the swarm looks the id up before
/// it decides any of these, while others come from before it was asked.
pub(super) fn settles(error: &Error) -> bool {
    matches!(
        error.reason(),
        Some(
            reason::CONDITION_FAILED
                | reason::REQUEST_ID_REUSED
                | reason::PREFIX_TOO_LARGE
                | reason::COMPACTED
                | reason::SWARM_NOT_FOUND
                | reason::SWARM_DELETED
        )
    )
}

/// How many repeats a client may still make: some at once, then so many each second and one for ten successes. What is taken
/// may be in the future, so that those who wait do so in turn.
#[derive(Debug)]
pub(super) struct Budget {
    burst: f64,
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Budget {
    pub fn new(retry: &Retry, now: Instant) -> Self {
        let burst = f64::from(retry.burst);
        Self { burst, per_second: retry.per_second.max(0.0), left: burst, at: now }
    }

    /// A call succeeded.
    pub fn deposit(&mut self) {
        self.left = (self.left + DEPOSIT).min(self.burst);
    }

    /// Takes one repeat, and returns how long to wait for it. None, and nothing is taken, where that is longer than
    /// `patience`.
    pub fn withdraw(&mut self, now: Instant, patience: Duration) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = passed.mul_add(self.per_second, self.left).min(self.burst);
        self.at = now;
        let missing = 1.0 - self.left;
        let wait = if missing <= 0.0 {
            Duration::ZERO
        } else {
            // Never, if nothing comes in.
            Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX)
        };
        if wait > patience {
            return None;
        }
        self.left -= 1.0;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(2) };

    #[test]
    fn pauses_double_up_to_their_bound() {
        let bounds: Vec<_> = (1..=8).map(|failures| BACKOFF.bound(failures).as_millis()).collect();
        assert_eq!(bounds, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(BACKOFF.bound(u32::MAX), BACKOFF.max);
    }

    #[test]
    fn a_pause_is_anything_up_to_its_bound_behind_what_was_asked_for() {
        let second = Duration::from_secs(1);
        assert_eq!(BACKOFF.pause(3, None, 0.0), Duration::ZERO);
        assert_eq!(BACKOFF.pause(3, None, 0.5), Duration::from_millis(100));
        assert_eq!(BACKOFF.pause(3, Some(second), 0.5), Duration::from_millis(1100));
        assert_eq!(BACKOFF.pause(1, Some(Duration::MAX), 0.0), RETRY_AFTER_MAX);
    }

    #[test]
    fn chance_is_spread_over_all_it_can_be() {
        let drawn: Vec<_> = (0..1000).map(|_| chance()).collect();
        assert!(drawn.iter().all(|drawn| (0.0..1.0).contains(drawn)));
        for tenth in 0..10 {
            let tenth = f64::from(tenth) / 10.0;
            assert!(drawn.iter().any(|drawn| (tenth..tenth + 0.1).contains(drawn)), "{tenth}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_is_a_burst_then_a_rate_and_never_more_than_patience() {
        let patience = Duration::from_secs(1);
        let mut budget =
            Budget::new(&Retry { burst: 3, per_second: 2.0, ..Retry::default() }, Instant::now());
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.extend(budget.withdraw(Instant::now(), patience).map(|wait| wait.as_millis()));
        }
        assert_eq!(waits, [0, 0, 0, 500, 1000]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(budget.withdraw(Instant::now(), patience), Some(Duration::from_millis(500)));
        (0..20).for_each(|_| budget.deposit());
        assert_eq!(budget.withdraw(Instant::now(), Duration::ZERO), Some(Duration::ZERO));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!((0..3).all(|_| budget.withdraw(Instant::now(), Duration::ZERO).is_some()));
        assert_eq!(budget.withdraw(Instant::now(), Duration::ZERO), None, "no more than the burst is saved");
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_without_a_rate_ends() {
        let mut budget =
            Budget::new(&Retry { burst: 0, per_second: 0.0, ..Retry::default() }, Instant::now());
        assert_eq!(budget.withdraw(Instant::now(), Duration::from_secs(3600)), None);
    }

    fn said(code: Code, reason: &str, after: Option<Duration>) -> Verdict {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, "swarmem", std::collections::HashMap::new());
        if after.is_some() {
            details.set_retry_info(after);
        }
        verdict(&Error::from(Status::with_error_details(code, "", details)))
    }

    #[test]
    fn what_the_coordinator_says_is_retried_only_where_it_allows() {
        let soon = Some(Duration::from_millis(500));
        assert_eq!(said(Code::Unavailable, "DRAINING", soon), Verdict::NotDone(soon));
        assert_eq!(said(Code::Unavailable, "STORE_UNAVAILABLE", None), Verdict::NotDone(None));
        assert_eq!(said(Code::ResourceExhausted, "OVERLOADED", soon), Verdict::NotDone(soon));
        assert_eq!(said(Code::ResourceExhausted, "PREFIX_TOO_LARGE", None), Verdict::Final);
        assert_eq!(said(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", None), Verdict::NotDone(None));
        assert_eq!(said(Code::Unknown, "OUTCOME_UNKNOWN", None), Verdict::Open);
        for (code, reason) in [
            (Code::InvalidArgument, "INVALID_FIELD"),
            (Code::Aborted, "CONDITION_FAILED"),
            (Code::Aborted, "ACCESS_CHANGED"),
            (Code::OutOfRange, "COMPACTED"),
            (Code::FailedPrecondition, "INCARNATION_CHANGED"),
            (Code::NotFound, "SWARM_DELETED"),
            (Code::PermissionDenied, "NOT_PERMITTED"),
            (Code::Unauthenticated, "AGENT_REQUIRED"),
            (Code::DataLoss, "CORRUPT"),
            (Code::Internal, "INTERNAL"),
        ] {
            // Not even if it seems to ask for it.
            assert_eq!(said(code, reason, soon), Verdict::Final, "{reason}");
        }
    }

    #[test]
    fn what_others_say_leaves_open_what_was_done() {
        let of = |status: Status| verdict(&Error::from(status));
        assert_eq!(of(Status::unavailable("upstream connect error")), Verdict::Open);
        assert_eq!(of(Status::deadline_exceeded("")), Verdict::Open);
        assert_eq!(of(Status::unknown("no grpc-status")), Verdict::Open);
        assert_eq!(of(Status::permission_denied("")), Verdict::Final);
        assert_eq!(of(Status::unimplemented("")), Verdict::Final);
        assert_eq!(of(Status::resource_exhausted("")), Verdict::Final);
        let broken = Status::from_error(Box::new(std::io::Error::other("reset")));
        assert_eq!(of(broken), Verdict::Open);
        let connect = Error::Connect { address: "a:1".into(), detail: "refused".into() };
        assert_eq!(verdict(&connect), Verdict::NotSent);
    }

    #[test]
    fn a_slow_reader_goes_on_and_a_lost_position_does_not() {
        let of = |code, reason: &str| {
            let mut details = ErrorDetails::new();
            details.set_error_info(reason, "swarmem", std::collections::HashMap::new());
            resumes(&Error::from(Status::with_error_details(code, "", details)))
        };
        assert!(of(Code::ResourceExhausted, "SLOW_CONSUMER") && of(Code::Unavailable, "DRAINING"));
        assert!(!of(Code::OutOfRange, "COMPACTED") && !of(Code::NotFound, "SWARM_DELETED"));
    }
}
