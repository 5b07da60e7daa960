//! Who may connect: users and their rights, certificates, and what is said when they are wrong.

use swarmem::bus::{
    Bus as _, State,
    redis::{Login, RedisBus, RedisOptions, Tls},
};

use super::harness::{Swarm, key, open, options, until_up};
use crate::{
    process::eventually,
    servers::redis::{Certificates, RedisServer},
};

/// What docs/operations.md says that a user needs.
const RIGHTS: &str = "resetchannels -@all +hello +auth +ping +subscribe +unsubscribe +publish &swarmem:*";

fn login(user: Option<&str>, password: &str) -> Option<Login> {
    Some(Login { user: user.map(str::to_owned), password: password.to_owned() })
}

/// Why the bus has not come up, once it has tried.
async fn why_not(options: RedisOptions) -> String {
    let bus = RedisBus::open(options, key());
    let mut state = bus.state();
    let tried = |state: &State| !matches!(state, State::Down(why) if &**why == "not connected yet");
    match &*state.wait_for(tried).await.unwrap() {
        State::Down(why) => why.to_string(),
        State::Up => panic!("it works"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_needs_few_rights_and_the_right_password() {
    let server = RedisServer::with(&[&format!("user swarmem on >sesame {RIGHTS}"), "user default off"]);
    let right = RedisOptions { login: login(Some("swarmem"), "sesame"), ..options(server.port) };
    let (here, there) = (open(right.clone()).await, open(right).await);
    let swarm = Swarm::new("swarm");
    let mut far = swarm.listen(&there).await;
    far.hears(&swarm.say(&here, 10)).await;
    drop(far);
    // Not even to leave a channel more is needed.
    let mut again = swarm.listen(&there).await;
    again.hears(&swarm.say(&here, 10)).await;
    assert_eq!(there.counts().interruptions, 0);

    for wrong in [login(Some("swarmem"), "open-barley"), login(Some("ali"), "open-barley"), None] {
        let why = why_not(RedisOptions { login: wrong, ..options(server.port) }).await;
        assert!(why.contains("bus.password"), "{why}");
        assert!(why.contains(&server.port.to_string()), "{why}");
        assert!(!why.contains("barley"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_alone_is_the_default_user() {
    let server = RedisServer::with(&["requirepass sesame"]);
    open(RedisOptions { login: login(None, "sesame"), ..options(server.port) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named() {
    let server = RedisServer::with(&[
        "user blind on >sesame resetchannels -@all +hello +auth +ping +subscribe +unsubscribe +publish &other:*",
        "user mute on >sesame resetchannels -@all +hello +auth +ping +subscribe +unsubscribe &swarmem:*",
    ]);
    let swarm = Swarm::new("swarm");
    let as_user = |user| RedisOptions { login: login(Some(user), "sesame"), ..options(server.port) };
    let blind = open(as_user("blind")).await;
    let _ear = swarm.listen(&blind).await;
    let why = super::harness::until_down(&blind).await;
    assert!(why.contains("lacks a right"), "{why}");

    let (mute, other) = (open(as_user("mute")).await, open(options(server.port)).await);
    let mut ear = swarm.listen(&mute).await;
    ear.hears(&swarm.say(&other, 10)).await;
    swarm.say(&mute, 10);
    eventually("it is lost", async || (mute.counts().lost == 1).then_some(())).await;
    // What it hears goes on.
    ear.hears(&swarm.say(&other, 10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_when_it_is_named() {
    let certificates = Certificates::make();
    let server = RedisServer::with_tls(&certificates);
    let trusting = Tls { ca: Some(certificates.read("ca.pem")), own: None };
    let right = RedisOptions { tls: Some(trusting), ..options(server.port) };
    let (here, there) = (open(right.clone()).await, open(right).await);
    let swarm = Swarm::new("swarm");
    let mut far = swarm.listen(&there).await;
    far.hears(&swarm.say(&here, 100_000)).await;

    let why = why_not(RedisOptions { tls: Some(Tls::default()), ..options(server.port) }).await;
    assert!(why.to_lowercase().contains("certificate"), "{why}");
    let other = Tls { ca: Some(Certificates::make().read("ca.pem")), own: None };
    let why = why_not(RedisOptions { tls: Some(other), ..options(server.port) }).await;
    assert!(why.to_lowercase().contains("certificate"), "{why}");
    until_up(&here).await;
}
