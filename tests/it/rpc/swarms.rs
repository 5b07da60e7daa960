//! SwarmService, health and reflection.

use futures_util::stream;
use swarmem::wire::v1;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tonic_reflection::pb;

use super::harness::{SWARM, Server, put, refusal};

#[tokio::test]
async fn a_swarm_is_created_described_and_deleted() {
    let server = Server::start().await;
    let boss = server.orchestrator().await.in_swarm("lab_1-x");
    let retention =
        v1::Retention { age: Some(prost_types::Duration { seconds: 60, nanos: 0 }), revisions: Some(7) };
    let created = boss.create_swarm(Some(retention)).await.unwrap();
    let swarm = created.swarm.unwrap();
    assert_eq!(
        (swarm.swarm.as_str(), swarm.revision, swarm.floor, swarm.entries),
        ("lab_1-x", 0, 0, Some(0))
    );
    assert_eq!(swarm.retention, Some(retention));
    assert!(swarm.create_time.is_some() && uuid::Uuid::parse_str(&swarm.incarnation).is_ok());
    let error = boss.create_swarm(None).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::AlreadyExists, Some("SWARM_EXISTS")));

    let start = Some(v1::watch_request::Start::Token(created.token));
    let mut watch = boss.watch_once(v1::WatchRequest { start, ..Default::default() }).await.unwrap();
    boss.put(put("shared/x", "k", "four")).await.unwrap();
    let now = boss.get_swarm().await.unwrap().swarm.unwrap();
    assert_eq!((now.revision, now.entries, now.content_bytes), (1, Some(1), Some(4)));
    assert_eq!(now.incarnation, swarm.incarnation);

    boss.delete_swarm().await.unwrap();
    let ended = loop {
        match watch.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a stream ends with the reason"),
            Err(error) => break error,
        }
    };
    assert_eq!((ended.code(), ended.reason()), (Code::NotFound, Some("SWARM_DELETED")));
    for error in [
        boss.delete_swarm().await.unwrap_err(),
        boss.get_swarm().await.unwrap_err(),
        boss.put(put("shared/x", "k", "")).await.unwrap_err(),
        boss.list(v1::ListRequest::default()).await.unwrap_err(),
        boss.watch_once(v1::WatchRequest::default()).await.unwrap_err(),
    ] {
        assert_eq!((error.code(), error.reason()), (Code::NotFound, Some("SWARM_NOT_FOUND")));
    }
    let again = boss.create_swarm(None).await.unwrap().swarm.unwrap();
    assert_ne!(again.incarnation, swarm.incarnation);
    let day = prost_types::Duration { seconds: 86_400, nanos: 0 };
    assert_eq!(again.retention, Some(v1::Retention { age: Some(day), revisions: Some(1000) }));
    server.stop().await;
}

#[tokio::test]
async fn swarms_are_listed_by_name_in_pages() {
    let server = Server::start().await;
    let boss = server.orchestrator().await;
    for name in ["b", "a", "z", "_", "0"] {
        boss.in_swarm(name).create_swarm(None).await.unwrap();
    }
    let mut names = Vec::new();
    let mut request = v1::ListSwarmsRequest { page_size: 4, ..Default::default() };
    loop {
        let page = boss.list_swarms(request.clone()).await.unwrap();
        names.push(page.swarms.into_iter().map(|s| s.swarm).collect::<Vec<_>>());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, [vec!["0", "_", "a", "b"], vec![SWARM, "z"]]);
    server.stop().await;
}

#[tokio::test]
async fn health_has_a_status_per_service() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel());
    let of = |service: &str| HealthCheckRequest { service: service.into() };
    for service in [
        "",
        "liveness",
        "swarmem.v1.MemoryService",
        "swarmem.v1.RecallService",
        "swarmem.v1.WatchService",
        "swarmem.v1.SwarmService",
    ] {
        // Nothing serves before the store answered, which may be a moment after the first call.
        let mut watch = health.watch(of(service)).await.unwrap().into_inner();
        while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
        let answer: HealthCheckResponse = health.check(of(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    let status = health.check(of("no.such.Service")).await.unwrap_err();
    assert_eq!(refusal(&status), (Code::NotFound, "SERVICE_UNKNOWN".into()));
    let mut unknown = health.watch(of("no.such.Service")).await.unwrap().into_inner();
    assert_eq!(unknown.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);

    let mut memory = health.watch(of("swarmem.v1.MemoryService")).await.unwrap().into_inner();
    let mut alive = health.watch(of("liveness")).await.unwrap().into_inner();
    for stream in [&mut memory, &mut alive] {
        assert_eq!(stream.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    }
    let stopped = tokio::spawn(server.stop());
    assert_eq!(memory.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(memory.message().await.unwrap(), None, "and then the stream ends");
    assert_eq!(alive.message().await.unwrap(), None);
    drop(unknown);
    stopped.await.unwrap();
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let server = Server::start().await;
    let wanted = [
        "grpc.health.v1.Health",
        "swarmem.v1.MemoryService",
        "swarmem.v1.RecallService",
        "swarmem.v1.SwarmService",
        "swarmem.v1.WatchService",
    ];
    let missing = |names: Vec<String>| wanted.iter().find(|w| !names.iter().any(|n| n == *w)).copied();

    use pb::v1::{server_reflection_request::MessageRequest, server_reflection_response::MessageResponse};
    let list = MessageRequest::ListServices(String::new());
    let ask = pb::v1::ServerReflectionRequest { message_request: Some(list), ..Default::default() };
    let mut client = pb::v1::server_reflection_client::ServerReflectionClient::new(server.channel());
    let answers = client.server_reflection_info(stream::iter([ask])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else { panic!() };
    assert_eq!(missing(services.service.into_iter().map(|s| s.name).collect()), None);

    use pb::v1alpha::{
        server_reflection_request::MessageRequest as Old,
        server_reflection_response::MessageResponse as OldAnswer,
    };
    let ask = pb::v1alpha::ServerReflectionRequest {
        message_request: Some(Old::ListServices(String::new())),
        ..Default::default()
    };
    let mut client = pb::v1alpha::server_reflection_client::ServerReflectionClient::new(server.channel());
    let answers = client.server_reflection_info(stream::iter([ask])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(OldAnswer::ListServicesResponse(services)) = answer.message_response else { panic!() };
    assert_eq!(missing(services.service.into_iter().map(|s| s.name).collect()), None);
    server.stop().await;
}
