//! Spoiled histories of a store that lost its newest revisions.

use super::{
    super::{record::*, rules::Rule},
    assert_breaks,
    story::{Story, name, put, write},
};

/// Where things stand in [`two_lives`].
struct Places {
    /// Saw what was lost, and was told.
    live: usize,
    /// Had seen only what was kept, and goes on.
    behind: usize,
    /// Came with a token of what was lost, and was told.
    late: usize,
    /// Acknowledged and lost; asked for again.
    lost: usize,
    again: usize,
    /// A read of the second life, at a token of what was kept.
    read: usize,
}

fn told(story: &mut Story, stream: usize) {
    let (code, reason) = ("FailedPrecondition".into(), Some("INCARNATION_CHANGED".into()));
    story.step(stream, What::Ended { code, reason, floor: None });
}

/// Five revisions, of which three were kept, and three more.
fn two_lives() -> (Story, Places) {
    let mut story = Story::new();
    let live = story.open("live", Start::Revision(1), Filter::everything());
    let behind = story.open("behind", Start::Revision(1), Filter::everything());
    story.done("ann", write("1", vec![put("a", "1", Condition::Always)]));
    story.done("bob", write("2", vec![put("b", "2", Condition::Always)]));
    story.done("ann", write("3", vec![put("a", "3", Condition::Always)]));
    story.follow(behind, 0);
    story.done("ann", write("4", vec![put("c", "4", Condition::Always)]));
    let lost = story.done("bob", write("5", vec![put("b", "5", Condition::Always)]));
    story.follow(live, 0);
    story.get(&["b"], Freshness::Strong);
    story.lose(3);
    told(&mut story, live);
    let again = story.done("bob", write("5", vec![put("b", "5", Condition::Always)]));
    story.done("cid", write("6", vec![put("c", "6", Condition::Absent)]));
    story.done("cid", write("7", vec![put("d", "7", Condition::Absent)]));
    let late = story.open("late", Start::Token("token 5".into()), Filter::everything());
    told(&mut story, late);
    story.follow(behind, 3);
    let anew = story.open("live", Start::Snapshot, Filter::everything());
    story.snapshot(anew);
    let read = story.get(&["b", "c"], Freshness::AtLeast("token 3".into()));
    story.end(0, &["live", "behind"]);
    (story, Places { live, behind, late, lost, again, read })
}

#[track_caller]
fn spoiled(rules: &[Rule], spoil: impl FnOnce(&mut Story, &Places)) {
    let (mut story, places) = two_lives();
    spoil(&mut story, &places);
    assert_breaks(rules, &story.history);
}

#[test]
fn what_lay_behind_may_be_lost() {
    spoiled(&[], |_, _| {});
    // Without the loss it would be none of that.
    let (mut story, _) = two_lives();
    story.history.lost = None;
    assert!(super::super::check(&story.history).iter().any(|found| found.rule == Rule::AcknowledgedLost));
}

#[test]
fn what_was_kept_may_not_be_lost() {
    let breaks =
        [Rule::LogGap, Rule::LogRewritten, Rule::WrongEffect, Rule::AcknowledgedLost, Rule::WrongAnswer];
    spoiled(&breaks, |story, _| {
        // The second is not there, and what came later took its place.
        story.history.log[0].events.retain(|event| event.revision != 2);
        story.history.streams.truncate(1);
        story.history.end = None;
    });
}

#[test]
fn what_the_second_life_acknowledged_may_not_be_lost() {
    spoiled(&[Rule::AcknowledgedLost], |story, p| {
        let Outcome::Done { revision, .. } = &mut story.history.calls[p.again].outcome else { panic!() };
        *revision = Some(7);
    });
}

#[test]
fn what_was_kept_is_not_done_again() {
    spoiled(&[Rule::RequestTwice, Rule::AcknowledgedLost], |story, _| {
        story.done("ann", write("1", vec![put("a", "1", Condition::Always)]));
        story.end(0, &[]);
    });
}

#[test]
fn what_was_lost_in_the_first_life_was_done_there() {
    // It is not in the log of the life that it was acknowledged in, either.
    spoiled(&[Rule::AcknowledgedLost], |story, p| {
        let Request::Write(write) = &mut story.history.calls[p.lost].request else { panic!() };
        write.success = vec![put("b", "another", Condition::Always)];
        write.request_id = "another".into();
        let of_both = story.history.calls[p.again].clone();
        let mut unknown = of_both;
        (unknown.start, unknown.end) = (story.history.calls[p.lost].start, story.history.calls[p.lost].end);
        unknown.outcome = Outcome::Unknown { why: "lost".into() };
        story.history.calls.push(unknown);
    });
}

#[test]
fn who_saw_what_was_lost_does_not_go_on() {
    spoiled(&[Rule::LossUntold], |story, p| {
        story.history.streams[p.live].steps.pop();
        story.follow(p.live, 5);
    });
    spoiled(&[Rule::LossUntold], |story, p| {
        story.history.streams[p.late].steps.clear();
        story.follow(p.late, 5);
    });
    // Not even with nothing but a bookmark.
    spoiled(&[Rule::LossUntold], |story, p| {
        story.history.streams[p.live].steps.pop();
        story.bookmark(p.live, 6);
    });
}

#[test]
fn who_saw_nothing_of_it_is_not_told() {
    spoiled(&[Rule::RefusedStart], |story, _| {
        let stream = story.open("refused", Start::Token("token 3".into()), Filter::everything());
        told(story, stream);
    });
    spoiled(&[Rule::RefusedStart], |story, p| {
        let reason = "INCARNATION_CHANGED".to_owned();
        story.history.calls[p.read].outcome = Outcome::Refused { reason, current: None };
    });
}

#[test]
fn what_was_lost_is_not_shown_once_it_is_known() {
    spoiled(&[Rule::LossUntold], |story, _| {
        let first = story.history.lost.clone().unwrap();
        let mut event = first.log[0].events.iter().find(|event| event.revision == 5).unwrap().clone();
        event.entry.expire_us = None;
        let start = story.now();
        let end = story.now();
        let names = vec![name("b")];
        let request = Request::Get { names, freshness: Freshness::Stale };
        let (token, entries) = ("token 5".into(), vec![Some(event.entry)]);
        let mut call = story.history.calls[0].clone();
        (call.start, call.end, call.request) = (start, end, request);
        call.outcome = Outcome::Read { revision: 5, token, entries };
        story.history.calls.push(call);
    });
    spoiled(&[Rule::LossUntold], |story, p| {
        let Request::Get { freshness, .. } = &mut story.history.calls[p.read].request else { panic!() };
        *freshness = Freshness::AtLeast("token 5".into());
    });
    // Nor before, to whoever comes with a token of what is now.
    spoiled(&[Rule::OlderThanToken], |story, p| {
        let lost = story.history.lost.as_mut().unwrap();
        lost.known = At { tick: u64::MAX, us: 0 };
        let event = lost.log[0].events.iter().find(|event| event.revision == 5).unwrap().clone();
        let call = &mut story.history.calls[p.read];
        let freshness = Freshness::AtLeast("second token 4".into());
        call.request = Request::Get { names: vec![name("b")], freshness };
        let (token, entries) = ("token 5".into(), vec![Some(event.entry)]);
        call.outcome = Outcome::Read { revision: 5, token, entries };
    });
}

/// Found by the failover: a commit of which nobody heard is lost, so it is told that it was not done.
#[test]
fn who_asked_while_the_store_changed_hands_is_answered_by_the_second() {
    let failed = |meanwhile: bool| {
        move |story: &mut Story, p: &Places| {
            let at = story.history.lost.as_ref().unwrap().at;
            let call = &mut story.history.calls[p.lost];
            call.outcome = Outcome::Failed { why: "Unavailable".into() };
            if meanwhile {
                call.end = At { tick: at.tick + 1, us: 0 };
            }
            // Its token went to nobody.
            let late = &mut story.history.streams[p.late];
            late.start = Start::Token("0 5".into());
        }
    };
    spoiled(&[], failed(true));
    spoiled(&[Rule::RefusedTookEffect], failed(false));
}

/// Found by the failover: the store begins with what was kept, and the coordinator goes on with what it holds, until it knows.
#[test]
fn who_comes_before_it_is_known_may_see_both_and_is_told() {
    let seen = |is_told: bool| {
        move |story: &mut Story, _: &Places| {
            let (kept, first) = {
                let lost = story.history.lost.as_mut().unwrap();
                lost.known = At { tick: u64::MAX, us: 0 };
                (lost.kept, lost.log[0].events.clone())
            };
            let stream = story.open("early", Start::Snapshot, Filter::everything());
            let log = story.log();
            let entries = log.state(kept, &Filter::everything());
            let entries = entries.iter().map(|event| event.entry.clone()).collect();
            story.step(stream, What::Snapshot { entries, revision: kept, token: "early, within".into() });
            story.step(stream, What::SnapshotEnd { revision: kept, token: "early".into() });
            let events = first.into_iter().filter(|event| event.revision > kept).collect();
            story
                .step(stream, What::Events { events, fragment: false, revision: 5, token: "early 5".into() });
            match is_told {
                true => told(story, stream),
                false => story.follow(stream, 5),
            }
        }
    };
    spoiled(&[], seen(true));
    spoiled(&[Rule::LossUntold], seen(false));
}

#[test]
fn who_goes_on_misses_nothing() {
    spoiled(&[Rule::WatchMissed, Rule::EndStateDiffers], |story, p| {
        let has = |step: &Step| matches!(&step.what, What::Events { events, .. } if events[0].revision == 5);
        let steps = &mut story.history.streams[p.behind].steps;
        steps.remove(steps.iter().position(has).unwrap());
    });
}
