//! Spoiled logs, writes and reads.

use super::{
    super::{record::*, rules::Rule},
    spoiled,
    story::{Story, etag_of, name, put, write},
};

fn done(story: &mut Story, call: usize) -> (&mut Option<u64>, &mut Vec<Effect>) {
    match &mut story.history.calls[call].outcome {
        Outcome::Done { revision, results, .. } => (revision, results),
        other => panic!("{other:?}"),
    }
}

fn read(story: &mut Story, call: usize) -> (&mut u64, &mut Vec<Option<Entry>>) {
    match &mut story.history.calls[call].outcome {
        Outcome::Read { revision, entries, .. } => (revision, entries),
        other => panic!("{other:?}"),
    }
}

/// Changes what the log holds, and what everybody was sent of it.
fn rewrite(story: &mut Story, place: (u64, u32), change: impl Fn(&mut Event)) {
    let in_log = story.history.log.iter_mut().flat_map(|part| &mut part.events);
    let steps = story.history.streams.iter_mut().flat_map(|stream| &mut stream.steps);
    let sent = steps.flat_map(|step| match &mut step.what {
        What::Events { events, .. } => events.iter_mut(),
        _ => [].iter_mut(),
    });
    in_log.chain(sent).filter(|event| event.place() == place).for_each(change);
}

#[test]
fn a_revision_that_is_missing() {
    spoiled(&[Rule::LogGap, Rule::AcknowledgedLost, Rule::WatchInvented], |story, _| {
        story.history.log[0].events.retain(|event| event.revision != 2);
        // It was deleted later, by somebody who could not.
        story.history.log[0].events.retain(|event| event.revision != 4);
    });
}

#[test]
fn a_reading_that_lacks_what_another_has() {
    spoiled(&[Rule::LogGap], |story, _| {
        let mut part = story.history.log[0].clone();
        part.events.remove(3);
        story.history.log.push(part);
    });
}

#[test]
fn a_log_that_changes_its_mind() {
    spoiled(&[Rule::LogRewritten], |story, _| {
        let mut part = story.history.log[0].clone();
        part.events[0].entry.content = "other".into();
        story.history.log.push(part);
    });
    spoiled(&[Rule::LogRewritten], |story, _| {
        let head = story.head();
        for ordinal in [0, 1] {
            rewrite(story, (head, ordinal), |event| event.time_us = 5);
        }
    });
}

#[test]
fn what_nobody_wrote() {
    spoiled(&[Rule::NobodysWrite], |story, _| {
        story.history.calls.retain(|call| !matches!(&call.request, Request::Write(w) if w.request_id == "1"));
    });
    // A delete tells nobody's name but its author's.
    spoiled(&[Rule::NobodysWrite], |story, _| {
        story.history.calls.retain(|call| !matches!(&call.request, Request::Write(w) if w.request_id == "4"));
    });
}

#[test]
fn a_write_that_does_something_else() {
    spoiled(&[Rule::WrongEffect], |story, _| {
        rewrite(story, (2, 0), |event| event.entry.tags.push("blue".into()));
    });
    // The other branch of a transaction.
    spoiled(&[Rule::WrongEffect, Rule::WrongAnswer], |story, p| {
        let Request::Write(write) = &mut story.history.calls[p.transaction].request else { panic!() };
        write.compares = vec![Compare::Exists(name("c"), false)];
    });
}

#[test]
fn an_expiry_before_its_time() {
    spoiled(&[Rule::WrongExpiry], |story, _| {
        for revision in [5, 6] {
            rewrite(story, (revision, 0), |event| {
                if event.change == Change::Put {
                    event.entry.expire_us = Some(event.entry.expire_us.unwrap() + 10_000_000);
                }
            });
        }
        // What is written is as long-lived as the log says.
        for call in &mut story.history.calls {
            if let Request::Write(Write { request_id, success, .. }) = &mut call.request
                && request_id == "5"
                && let Operation::Put { ttl_us, .. } = &mut success[0]
            {
                *ttl_us = Some(10_500_000);
            }
        }
        story.history.streams.remove(1);
        story.history.end.as_mut().unwrap().watching.remove(1);
    });
}

#[test]
fn a_write_that_is_acknowledged_and_lost() {
    spoiled(&[Rule::AcknowledgedLost], |story, _| {
        let call = story.done("cid", write("lost", vec![put("z", "z", Condition::Always)]));
        let log = &mut story.history.log[0];
        (log.head, log.events) =
            (log.head - 1, log.events.iter().filter(|e| e.revision < log.head).cloned().collect());
        let _ = call;
    });
}

#[test]
fn a_revision_for_two() {
    spoiled(&[Rule::RevisionTwice, Rule::AcknowledgedLost], |story, p| {
        let outcome = story.history.calls[p.again].outcome.clone();
        story.undone("cid", write("8x", vec![put("d", "8x", Condition::Always)]), outcome);
    });
}

#[test]
fn two_winners_over_one_version() {
    spoiled(&[Rule::TwoWinners, Rule::AcknowledgedLost, Rule::RevisionTwice], |story, p| {
        story.history.calls[p.loser].outcome = story.history.calls[p.winner].outcome.clone();
    });
    // Both are in the log, as one finds out later.
    let (mut story, _) = super::good();
    let etag = etag_of(&story, "a");
    story.done("ann", write("20", vec![put("a", "20", Condition::Etag(etag.clone()))]));
    story.done("bob", write("21", vec![put("a", "21", Condition::Always)]));
    let Request::Write(write) = &mut story.history.calls.last_mut().unwrap().request else { panic!() };
    write.success = vec![put("a", "21", Condition::Etag(etag))];
    story.end(2, &[]);
    super::assert_breaks(&[Rule::TwoWinners], &story.history);
}

#[test]
fn a_request_that_is_done_twice() {
    let (mut story, _) = super::good();
    let again = write("1", vec![put("a", "1a", Condition::Always)]);
    story.done("ann", again);
    story.end(2, &[]);
    super::assert_breaks(&[Rule::RequestTwice, Rule::AcknowledgedLost], &story.history);
}

#[test]
fn an_id_that_is_taken() {
    let (mut story, _) = super::good();
    story.done("ann", write("1", vec![put("a", "other", Condition::Always)]));
    story.end(2, &[]);
    super::assert_breaks(&[Rule::RequestIdReused], &story.history);
}

#[test]
fn a_refusal_that_took_effect() {
    spoiled(&[Rule::RefusedTookEffect], |story, p| {
        story.history.calls[p.unknown].outcome = Outcome::Failed { why: "down".into() };
        story.history.calls.remove(p.again);
    });
    // Nothing but an author shows whose a delete is.
    spoiled(&[Rule::RefusedTookEffect], |story, _| {
        for call in &mut story.history.calls {
            if matches!(&call.request, Request::Write(w) if w.request_id == "4") {
                call.outcome = Outcome::Failed { why: "down".into() };
            }
        }
    });
}

#[test]
fn a_refusal_without_a_reason() {
    spoiled(&[Rule::RefusedWithoutReason], |story, p| {
        let outcome = story.history.calls[p.loser].outcome.clone();
        // It has no condition: whoever failed beside it must not have disturbed it.
        story.history.calls[p.failed].outcome = outcome;
    });
    spoiled(&[Rule::RefusedWithoutReason], |story, p| {
        let Outcome::Refused { current, .. } = &mut story.history.calls[p.loser].outcome else { panic!() };
        current.as_mut().unwrap().etag = "another".into();
    });
    spoiled(&[Rule::RefusedWithoutReason], |story, p| {
        let outcome = Outcome::Refused { reason: "REQUEST_ID_REUSED".into(), current: None };
        story.history.calls[p.failed].outcome = outcome;
    });
}

#[test]
fn an_answer_that_is_not_what_was_done() {
    spoiled(&[Rule::WrongAnswer], |story, p| {
        let (_, results) = done(story, p.again);
        results[0] = Effect::Put { etag: "another".into(), version: 1 };
    });
    spoiled(&[Rule::WrongAnswer], |story, p| {
        let (_, results) = done(story, p.transaction);
        results[1] = Effect::Get { entry: None };
    });
    // It claims to have found nothing where something was all the time.
    let (mut story, _) = super::good();
    story.done("bob", write("30", vec![super::story::delete("nothing", Condition::Always)]));
    let Request::Write(write) = &mut story.history.calls.last_mut().unwrap().request else { panic!() };
    write.success = vec![super::story::delete("a", Condition::Always)];
    super::assert_breaks(&[Rule::WrongAnswer], &story.history);
}

#[test]
fn an_order_that_time_forbids() {
    // The second to be acknowledged is first in the log, although it began later.
    spoiled(&[Rule::RealTime], |story, _| {
        let [first, second] = ["1", "2"].map(|id| {
            let of_id = |call: &Call| matches!(&call.request, Request::Write(w) if w.request_id == id);
            story.history.calls.iter().position(of_id).unwrap()
        });
        let late = At { tick: story.history.calls[second].end.tick + 1, us: 0 };
        story.history.calls[first].start = late;
        story.history.calls[first].end = late;
    });
}

#[test]
fn a_strong_read_of_the_past() {
    spoiled(&[Rule::StaleRead], |story, p| {
        let (revision, entries) = (
            9,
            vec![
                story.log().current(&name("a"), 9).map(|event| event.entry.clone()),
                story.log().current(&name("c"), 9).map(|event| event.entry.clone()),
            ],
        );
        let (at, there) = read(story, p.strong);
        (*at, *there) = (revision, entries);
    });
}

#[test]
fn a_read_older_than_its_token() {
    spoiled(&[Rule::OlderThanToken], |story, p| {
        let entries = vec![story.log().current(&name("b"), 3).map(|event| event.entry.clone())];
        let (at, there) = read(story, p.at_token);
        (*at, *there) = (3, entries);
    });
}

#[test]
fn a_read_that_is_not_of_its_state() {
    spoiled(&[Rule::WrongRead], |story, p| {
        let (_, entries) = read(story, p.strong);
        entries[0] = None;
    });
    spoiled(&[Rule::WrongRead], |story, p| {
        let (_, entries) = read(story, p.list);
        entries.remove(0);
    });
    spoiled(&[Rule::WrongRead], |story, p| {
        let Request::Get { freshness, .. } = &mut story.history.calls[p.exact].request else { panic!() };
        *freshness = Freshness::Exact(1);
    });
}
