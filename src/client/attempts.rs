//! One call, made again as long as that is allowed and may help, and its deadline. Knows nothing of what is asked; whether and
//! when to repeat is told by `retry`.

use std::{sync::PoisonError, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tonic::{Response, Status, service::interceptor::InterceptedService};

use super::{
    Client, Error, Repeat, Transport, error,
    retry::{self, Verdict},
};

/// What a call may do if it is made twice.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect<'a> {
    /// Nothing: it reads.
    Nothing,
    /// The same as once: it has this request id.
    OnceById(&'a str),
    /// Something else than once.
    Each,
}

impl Client {
    /// When a call that begins now has to end.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.call_timeout
    }

    /// Makes a call until it is answered, refused for good, or the deadline leaves no time for another attempt.
    pub(super) async fn settle<T, F>(
        &self,
        deadline: Instant,
        effect: Effect<'_>,
        attempt: impl Fn(Transport) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let begun = Instant::now();
        let (mut failures, mut open) = (0, false);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match self.attempt(left.min(self.options.attempt_timeout), &attempt).await {
                Ok(answer) => return Ok(answer),
                Err(Some(error)) => error,
                Err(None) => {
                    // Nobody wants to read microseconds.
                    let waited = begun.elapsed().as_millis();
                    let waited = Duration::from_millis(waited.try_into().unwrap_or(u64::MAX));
                    Error::no_answer(self.connections.endpoint(), waited)
                }
            };
            failures += 1;
            let verdict = retry::verdict(&error);
            open |= verdict == Verdict::Open;
            let may_repeat = match (verdict, effect) {
                (Verdict::Final, _) | (Verdict::Open, Effect::Each) => false,
                (Verdict::Open | Verdict::NotSent | Verdict::NotDone(_), _) => true,
            };
            match self.pause_before_repeat(verdict, failures, deadline).filter(|_| may_repeat) {
                Some(pause) => {
                    tracing::debug!(%error, ?pause, failures, "a call is repeated");
                    if let Some(on_repeat) = &self.options.on_repeat {
                        let next = Instant::now() + pause;
                        let (passed, left) = (next - begun, deadline.saturating_duration_since(next));
                        on_repeat.tell(&Repeat { error: &error, passed, left });
                    }
                    sleep(pause).await;
                }
                None => return Err(ended(error, open, effect)),
            }
        }
    }

    /// Makes a call once. No error: no answer came in time.
    async fn attempt<T, F>(
        &self,
        limit: Duration,
        attempt: impl Fn(Transport) -> F,
    ) -> Result<T, Option<Error>>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let (channel, generation) = self.connections.calls();
        let transport = InterceptedService::new(channel, self.stamp.clone().with_timeout(limit));
        // Timed here, too: the transport's deadline is kept once the answer's headers are there.
        match timeout(limit, attempt(transport)).await {
            Ok(Ok(response)) => {
                self.budget.lock().unwrap_or_else(PoisonError::into_inner).deposit();
                Ok(response.into_inner())
            }
            Ok(Err(status)) if !error::is_local_timeout(&status) => {
                Err(Some(Error::of(status, self.connections.endpoint())))
            }
            // A coordinator that lives would have said that the time is over.
            Ok(Err(_)) | Err(_) => {
                self.connections.distrust_calls(generation);
                Err(None)
            }
        }
    }

    /// How long to wait before a failed call is made again; none if it must not be, or would come too late.
    pub(super) fn pause_before_repeat(
        &self,
        verdict: Verdict,
        failures: u32,
        deadline: Instant,
    ) -> Option<Duration> {
        let retry = self.options.retry.as_ref()?;
        let asked = match verdict {
            Verdict::Final => return None,
            Verdict::NotDone(after) => after,
            Verdict::NotSent | Verdict::Open => None,
        };
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let pause = retry.backoff.pause(failures, asked, retry::chance());
        if pause >= left {
            return None;
        }
        // What nobody received burdened nobody.
        if verdict == Verdict::NotSent {
            return Some(pause);
        }
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = budget.withdraw(now, left)?;
        Some(pause.max(turn)).filter(|&wait| wait < left)
    }
}

/// What a call ends with that is not made again.
fn ended(error: Error, open: bool, effect: Effect<'_>) -> Error {
    let request_id = match effect {
        Effect::Nothing => return error,
        Effect::OnceById(id) => Some(id.to_owned()),
        Effect::Each => None,
    };
    if open && !retry::settles(&error) {
        return Error::OutcomeUnknown { request_id, cause: Box::new(error) };
    }
    error
}
