//! The program as a user runs it: what it prints, and what it ends with. Knows nothing of how it does it.

mod bench;
mod copies;
mod demo;
mod doctor;
mod entries;
mod failing;
mod serving;

use std::process::Output;

use serde_json::Value;

/// What a command printed that succeeded, and had nothing to complain about.
fn printed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*said), (Some(0), ""), "{}", String::from_utf8_lossy(&output.stdout));
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!printed.contains('\u{1b}'), "no colours where nobody sees them: {printed:?}");
    printed
}

/// The objects a command printed, one a line.
fn objects(output: &Output) -> Vec<Value> {
    printed(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The one object a command printed.
fn object(output: &Output) -> Value {
    let mut objects = objects(output);
    assert_eq!(objects.len(), 1);
    objects.remove(0)
}

/// The one line a command complained in. On a machine that is busy it may have said before that it is still trying.
fn complaint(output: &Output, code: i32) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let said = match said.split_once('\n') {
        Some((before, said)) if before.starts_with("still trying, ") => said.to_owned(),
        _ => said,
    };
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.starts_with("error: ") && said.ends_with('\n'), "{said:?}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
    said
}

/// What is said with --json: one object on standard error, and nothing else.
fn error_object(output: &Output, code: i32) -> Value {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(code), 1), "{said}");
    let object: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(object["exit_code"], code, "{object}");
    for field in ["reason", "message"] {
        assert!(object[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {object}");
    }
    object
}
