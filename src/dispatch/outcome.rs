//! What follows from an attempt for its delivery, and for how long its receiver asked to be left alone.

use std::time::Duration;

use super::queue::Round;
use crate::domain::delivery::{
    Attempt, CanceledReason, ExhaustedReason, Outcome, Response, RetryReason, State, Trigger,
};
use crate::domain::retry::{RETRY_AFTER_DELIVERY_MAX, RETRY_AFTER_SUBSCRIPTION_MAX, parse_retry_after};
use crate::domain::subscription::Subscription;
use crate::domain::time::Timestamp;

/// The state that follows from an attempt. `due` is when the delivery was due; `jitter` is drawn from 0.0..1.0.
pub(super) fn state_after(
    attempt: &Attempt,
    Round { attempts_uncounted, is_once }: Round,
    due: Timestamp,
    subscription: Option<&Subscription>,
    jitter: f64,
    now: Timestamp,
) -> State {
    let Some(subscription) = subscription else {
        let reason = CanceledReason::SubscriptionDeleted;
        return if attempt.outcome.is_success() { State::Succeeded } else { State::Canceled { reason } };
    };
    let aborts = |response: &Response| {
        response.header("webhook-delivery").is_some_and(|value| value.trim().eq_ignore_ascii_case("abort"))
    };
    match &attempt.outcome {
        Outcome::Success => State::Succeeded,
        Outcome::Status(410) => State::Exhausted { reason: ExhaustedReason::Gone },
        _ if attempt.response.as_ref().is_some_and(aborts) => State::Exhausted { reason: ExhaustedReason::Aborted },
        // A probe leaves the delivery's schedule where it stands.
        _ if attempt.trigger == Trigger::Probe => {
            let reason = if is_once { RetryReason::ManualOnce } else { RetryReason::Schedule };
            State::Retrying { next_attempt_at: due, reason }
        }
        _ if is_once => State::Exhausted { reason: ExhaustedReason::Schedule },
        Outcome::Status(_) | Outcome::Error { .. } => {
            let counted = attempt.number.saturating_sub(attempts_uncounted);
            match subscription.schedule().delay_after(counted, jitter) {
                None => State::Exhausted { reason: ExhaustedReason::Schedule },
                Some(delay) => {
                    let asked = retry_after(attempt, now).map(|asked| asked.min(RETRY_AFTER_DELIVERY_MAX));
                    match asked.filter(|asked| *asked > delay) {
                        Some(asked) => {
                            State::Retrying { next_attempt_at: now.plus(asked), reason: RetryReason::RetryAfter }
                        }
                        None => State::Retrying { next_attempt_at: now.plus(delay), reason: RetryReason::Schedule },
                    }
                }
            }
        }
    }
}

fn retry_after(attempt: &Attempt, now: Timestamp) -> Option<Duration> {
    parse_retry_after(attempt.response.as_ref()?.header("retry-after")?, now)
}

/// How long the whole subscription is asked to wait: only an overloaded receiver's word counts (contract 5.4).
pub(super) fn subscription_retry_after(attempt: &Attempt, now: Timestamp) -> Option<Duration> {
    let asked = retry_after(attempt, now).filter(|_| attempt.outcome.is_overload())?;
    Some(asked.min(RETRY_AFTER_SUBSCRIPTION_MAX))
}
