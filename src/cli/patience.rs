//! Says on standard error that a call is being repeated, once that takes long enough to be noticed. Knows nothing of why calls
//! are repeated.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::error;
use crate::client::{OnRepeat, Repeat};

/// Who waits no longer has noticed nothing.
const NOTICED: Duration = Duration::from_secs(1);

/// One line for a command, however many calls it makes.
pub(super) fn on_repeat() -> OnRepeat {
    let is_said = AtomicBool::new(false);
    OnRepeat::new(move |repeat| {
        if let Some(line) = line(repeat).filter(|_| !is_said.swap(true, Ordering::Relaxed)) {
            anstream::eprintln!("{line}");
        }
    })
}

/// None as long as nobody has noticed.
fn line(repeat: &Repeat<'_>) -> Option<String> {
    let Repeat { error, passed, left } = repeat;
    let (error, left_s) = (error::one_line(&error.to_string()), left.as_secs_f64());
    (*passed >= NOTICED).then(|| format!("still trying, for {left_s:.0} s more (--timeout): {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Error, Status};

    #[test]
    fn what_takes_a_second_is_told_with_its_end() {
        let error = Error::from(Status::unavailable("the store\nis away"));
        let told = |passed_ms| {
            let passed = Duration::from_millis(passed_ms);
            line(&Repeat { error: &error, passed, left: Duration::from_secs(10) - passed })
        };
        assert_eq!(told(999), None);
        let line = told(1000).unwrap();
        assert!(line.starts_with("still trying, for 9 s more (--timeout): "), "{line}");
        assert!(line.contains("the store is away"), "{line}");
    }
}
