//! Whatever comes in over a real connection, the service answers with an error of its own or does as it is told, and goes
//! on. What is sent is made as the fuzz targets make it; they reach further, but without sockets and without SQLite.

use tonic::Code;

use super::harness::{Server, put, refusal};
use crate::fuzz::{
    mutate::Mutator,
    targets::{schema::Schema, source::Source, words::Words},
};

/// Requests that are sent; about five seconds.
const REQUESTS: usize = 1200;
const SEED: u64 = 20_260;
/// Bytes of choices that a message is made of.
const CHOICES_MAX: usize = 80;

#[tokio::test]
async fn anything_may_come_in() {
    let server = Server::start().await;
    let boss = server.orchestrator().await;
    let schema = Schema::get();
    let methods: Vec<_> = schema.methods.iter().filter(|method| method.is_own).collect();
    let (mut mutator, mut words) = (Mutator::seeded(SEED), Words::default());
    let mut taken = 0;
    for n in 0..REQUESTS {
        let method = methods[mutator.below(methods.len())];
        let mut choices = vec![0; mutator.below(CHOICES_MAX)];
        for _ in 0..mutator.below(6) {
            mutator.change(&mut choices);
        }
        let mut bytes = schema.message(&method.input, &mut Source::new(&choices), &words);
        for _ in 0..[0, 0, 0, 1, 2, 4][mutator.below(6)] {
            mutator.change(&mut bytes);
        }
        match server.send(&method.path, bytes.clone().into()).await {
            Ok(answer) => {
                taken += 1;
                schema.texts(&method.output, &answer, &mut |field, text| words.keep(field, text)).unwrap();
            }
            Err(status) => {
                let (code, reason) = refusal(&status);
                let own =
                    !matches!(code, Code::Internal | Code::Unknown | Code::DataLoss | Code::Unavailable);
                assert!(own, "{code:?} {reason} from {} at {n} for {bytes:?}", method.path);
            }
        }
    }
    // Were none taken, the requests would not be what they are meant to be.
    assert!(taken > REQUESTS / 10 && taken < REQUESTS, "{taken}");
    let _ = boss.create_swarm(None).await;
    boss.put(put("shared/x", "last", "")).await.unwrap();
    server.stop().await;
}
