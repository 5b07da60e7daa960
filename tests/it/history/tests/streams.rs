//! Spoiled streams and ends.

use super::{
    super::{record::*, rules::Rule},
    spoiled,
    story::Story,
};

/// The responses of a stream that have events.
fn responses(story: &mut Story, stream: usize) -> Vec<&mut What> {
    let steps = story.history.streams[stream].steps.iter_mut().map(|step| &mut step.what);
    steps.filter(|what| matches!(what, What::Events { .. })).collect()
}

/// The place of the step of a stream that has the first event of this revision.
fn step_of(story: &Story, stream: usize, revision: u64) -> usize {
    let has =
        |step: &Step| matches!(&step.what, What::Events { events, .. } if events[0].revision == revision);
    story.history.streams[stream].steps.iter().position(has).unwrap()
}

#[test]
fn an_event_that_is_not_sent() {
    spoiled(&[Rule::WatchMissed, Rule::EndStateDiffers], |story, p| {
        // The fragment of a revision.
        let at = step_of(story, p.snapshot, story.head());
        story.history.streams[p.snapshot].steps.remove(at);
    });
}

#[test]
fn an_event_that_is_sent_again() {
    spoiled(&[Rule::WatchRepeated], |story, p| {
        let at = step_of(story, p.live, 9);
        let step = story.history.streams[p.live].steps[at].clone();
        story.history.streams[p.live].steps.insert(at, step);
    });
    spoiled(&[Rule::WatchRepeated], |story, p| {
        let What::Events { events, .. } = responses(story, p.live).remove(0) else { panic!() };
        events.push(events[0].clone());
    });
}

#[test]
fn events_out_of_order() {
    spoiled(&[Rule::WatchReordered], |story, p| {
        let at = step_of(story, p.live, 8);
        let steps = &mut story.history.streams[p.live].steps;
        let (What::Events { events: first, .. }, What::Events { events: second, .. }) =
            (steps[at].what.clone(), steps[at + 1].what.clone())
        else {
            panic!()
        };
        // Both in one response, the later first.
        let What::Events { events, .. } = &mut steps[at + 1].what else { panic!() };
        *events = [second, first].concat();
        steps.remove(at);
    });
}

#[test]
fn an_event_that_never_was() {
    spoiled(&[Rule::WatchInvented, Rule::WatchMissed, Rule::EndStateDiffers], |story, p| {
        let at = step_of(story, p.snapshot, story.head());
        let steps = &mut story.history.streams[p.snapshot].steps;
        let What::Events { events, .. } = &mut steps[at].what else { panic!() };
        events[0].entry.content = "never written".into();
    });
    spoiled(&[Rule::WatchInvented], |story, p| {
        let last = story.history.streams[p.first].steps.len() - 1;
        let mut event = story.log().revision(3)[0].clone();
        event.revision = 99;
        let what = What::Events { events: vec![event], fragment: true, revision: 2, token: "x".into() };
        let at = story.history.streams[p.first].steps[last].at;
        story.history.streams[p.first].steps.insert(last, Step { at, what });
    });
}

#[test]
fn an_event_that_the_filter_excludes() {
    spoiled(&[Rule::FilterLeaked], |story, p| {
        let event = story.log().revision(4)[0].clone();
        let at = step_of(story, p.resumed, 5);
        let What::Events { events, .. } = &mut story.history.streams[p.resumed].steps[at].what else {
            panic!()
        };
        events.insert(0, event);
    });
    // It may read only its own.
    spoiled(&[Rule::FilterLeaked], |story, p| {
        story.history.streams[p.first].filter.prefixes = vec!["shared/ab".into()];
    });
}

#[test]
fn a_revision_in_two_without_a_word() {
    spoiled(&[Rule::RevisionSplit], |story, _| {
        let stream = story.open("split", Start::Revision(3), Filter::everything());
        story.bookmark(stream, 2);
        story.follow(stream, 2);
        let What::Events { fragment, .. } = responses(story, stream).remove(0) else { panic!() };
        *fragment = false;
    });
}

#[test]
fn a_bookmark_ahead_of_what_was_sent() {
    spoiled(&[Rule::BookmarkAhead, Rule::WatchReordered], |story, p| {
        let at = step_of(story, p.live, 9);
        let Step { at: when, .. } = story.history.streams[p.live].steps[at];
        let what = What::Bookmark { revision: 9, token: "early".into() };
        story.history.streams[p.live].steps.insert(at, Step { at: when, what });
    });
    spoiled(&[Rule::BookmarkAhead], |story, p| {
        let at = step_of(story, p.live, 9);
        let Step { at: when, .. } = story.history.streams[p.live].steps[at];
        let what = What::Bookmark { revision: 3, token: "back".into() };
        story.history.streams[p.live].steps.insert(at, Step { at: when, what });
    });
}

#[test]
fn a_stream_that_starts_elsewhere() {
    spoiled(&[Rule::WrongStart], |story, _| {
        // What was known is seen again.
        let stream = story.open("now", Start::Now, Filter::everything());
        story.bookmark(stream, 4);
        story.follow(stream, 4);
    });
    spoiled(&[Rule::WrongStart], |story, _| {
        let time = story.log().time_at(7);
        let stream = story.open("time", Start::Time(time), Filter::everything());
        story.bookmark(stream, 7);
        story.follow(stream, 7);
    });
    spoiled(&[], |story, _| {
        let time = story.log().time_at(7);
        let stream = story.open("time", Start::Time(time), Filter::everything());
        story.bookmark(stream, 6);
        story.follow(stream, 6);
    });
}

#[test]
fn a_snapshot_that_is_not_the_state() {
    spoiled(&[Rule::WrongSnapshot], |story, p| {
        for step in &mut story.history.streams[p.snapshot].steps {
            if let What::Snapshot { entries, .. } = &mut step.what {
                entries.retain(|entry| entry.name.key != "a");
            }
        }
    });
    spoiled(&[Rule::WrongSnapshot], |story, p| {
        story.history.streams[p.snapshot].steps.retain(|step| !matches!(step.what, What::SnapshotEnd { .. }));
        story.history.end.as_mut().unwrap().watching.clear();
    });
}

#[test]
fn what_was_compacted_is_skipped() {
    spoiled(&[Rule::CompactionSkipped], |story, _| {
        let stream = story.open("clamped", Start::Revision(1), Filter::everything());
        story.bookmark(stream, 0);
        story.follow(stream, 2);
    });
}

#[test]
fn a_refusal_of_what_is_there() {
    for (reason, floor) in [("COMPACTED", Some(2)), ("INCARNATION_CHANGED", None), ("FUTURE_REVISION", None)]
    {
        spoiled(&[Rule::RefusedStart], |story, _| {
            let stream = story.open("refused", Start::Revision(5), Filter::everything());
            let (code, reason) = ("Aborted".into(), Some(reason.into()));
            story.step(stream, What::Ended { code, reason, floor });
        });
    }
}

#[test]
fn a_close_without_a_bookmark() {
    let close = |marks: bool| {
        move |story: &mut Story, _: &super::Places| {
            let stream = story.open("drained", Start::Revision(11), Filter::everything());
            story.bookmark(stream, 10);
            let head = story.head();
            if !marks {
                let (events, token) = (story.log().revision(head).to_vec(), "x".to_owned());
                story.step(stream, What::Events { events, fragment: false, revision: head, token });
            }
            let (code, reason) = ("Unavailable".into(), Some("DRAINING".into()));
            story.step(stream, What::Ended { code, reason, floor: None });
        }
    };
    spoiled(&[], close(true));
    spoiled(&[Rule::ClosedUnmarked], close(false));
}

#[test]
fn a_watcher_that_never_arrives() {
    spoiled(&[Rule::NotConverged], |story, p| {
        let at = step_of(story, p.live, story.head());
        story.history.streams[p.live].steps.truncate(at);
    });
}

#[test]
fn an_end_that_differs() {
    spoiled(&[Rule::EndStateDiffers], |story, _| {
        // Each stream is right, and between the two something was left out.
        let stream = story.open("forgetful", Start::Revision(1), Filter::everything());
        story.bookmark(stream, 0);
        let (events, token) = (story.log().between((0, 0), (3, 9)).to_vec(), "3 of it".to_owned());
        story.step(stream, What::Events { events, fragment: false, revision: 3, token });
        let stream = story.open("forgetful", Start::Token("token 10".into()), Filter::everything());
        story.follow(stream, 10);
        story.history.end.as_mut().unwrap().watching.push("forgetful".into());
    });
}

#[test]
fn a_store_that_lists_something_else() {
    spoiled(&[Rule::StoreDiffers, Rule::EndStateDiffers], |story, _| {
        drop(story.history.end.as_mut().unwrap().entries.pop());
    });
}

/// Found by the soak: a store that is slow lets the bookmark come before the first part.
#[test]
fn a_snapshot_that_has_not_begun_can_be_resumed() {
    let resumed = |skips: bool| {
        move |story: &mut Story, _: &super::Places| {
            let left = story.open("left", Start::Snapshot, Filter::everything());
            let (revision, token) = (story.head(), "before the first part".to_owned());
            story.step(left, What::Bookmark { revision, token: token.clone() });
            story.step(left, What::Left);
            let again = story.open("left", Start::Token(token), Filter::everything());
            story.bookmark(again, revision);
            if skips {
                story.step(again, What::SnapshotEnd { revision, token: "end".into() });
            } else {
                story.snapshot(again);
            }
        }
    };
    spoiled(&[], resumed(false));
    spoiled(&[Rule::WrongSnapshot], resumed(true));
}

/// Found by the pass: by the token one stands behind what one was not sent, because it was not for one.
#[test]
fn two_readers_with_one_token_stand_at_one_place() {
    spoiled(&[], |story, _| {
        let events = story.log().revision(3).to_vec();
        // Both stand in the midst of the revision, behind its second event. Only one of them was sent that.
        for sent in [events.clone(), events[..1].to_vec()] {
            let key = sent.last().unwrap().entry.name.key.clone();
            let filter = match &*key {
                "c" => Filter::everything(),
                _ => Filter { authors: vec!["nobody".into(), "ann".into()], ..Filter::default() },
            };
            let stream = story.open("a reader", Start::Revision(3), filter);
            story.bookmark(stream, 2);
            let token = "the same".to_owned();
            story.step(stream, What::Events { events: sent, fragment: true, revision: 2, token });
        }
        let stream = story.open("a reader", Start::Token("the same".into()), Filter::everything());
        story.follow(stream, 3);
    });
}
