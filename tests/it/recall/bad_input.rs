//! Questions that are refused, each with the field that is wrong.

use swarmem::{
    client::{Client, Error},
    wire::v1,
};

use super::answers::question;
use crate::rpc::harness::Server;

async fn refused(client: &Client, request: v1::RecallRequest) -> String {
    match client.recall(request).await {
        Err(Error::Refused(refusal)) => refusal.fields[0].field.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let good = || question("anything", "");
    let embedding = |embedding: Vec<f32>, model: &str| v1::RecallRequest {
        embedding,
        embedding_model: model.into(),
        ..good()
    };
    let mut nan = vec![0.5_f32; 256];
    nan[9] = f32::NAN;
    for (request, field) in [
        (v1::RecallRequest { query: "x".repeat(100_000), ..good() }, "query"),
        (v1::RecallRequest { limit: 1_001, ..good() }, "limit"),
        (embedding(nan, "minilm-static-256"), "embedding"),
        (embedding(vec![0.5; 255], "minilm-static-256"), "embedding"),
        (embedding(vec![0.5; 256], "somebody-elses"), "embedding_model"),
        (question("x", "/shared"), "filter.prefixes[0]"),
        (
            v1::RecallRequest {
                consistency: Some(v1::Consistency { revision: 1, ..Default::default() }),
                ..good()
            },
            "consistency.revision",
        ),
        (
            v1::RecallRequest {
                consistency: Some(v1::Consistency {
                    level: v1::consistency::Level::AtLeast.into(),
                    token: "nonsense".into(),
                    revision: 0,
                }),
                ..good()
            },
            "consistency.token",
        ),
    ] {
        assert_eq!(refused(&ann, request.clone()).await, field, "{:.80}", format!("{request:?}"));
    }
    let budget = v1::ContextRequest { query: "x".into(), max_tokens: 3, ..Default::default() };
    assert!(
        matches!(ann.context(budget).await, Err(Error::Refused(refusal)) if refusal.fields[0].field == "max_tokens")
    );
    let missing = ann.in_swarm("nowhere").recall(good()).await;
    assert!(
        matches!(missing, Err(Error::Refused(refusal)) if refusal.code == swarmem::client::Code::NotFound)
    );
    // A question of the longest kind is answered.
    let long = v1::RecallRequest { query: "word ".repeat(3_000), ..good() };
    assert!(ann.recall(long).await.is_ok());
    server.stop().await;
}
