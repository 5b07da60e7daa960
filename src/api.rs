//! The gRPC face: parses, authorises by identity, converts, and maps errors to codes. Knows the coordinator and the
//! domain, no store and no bus.

mod admission;
mod boundary;
mod call;
mod connection;
mod convert;
mod encode;
pub mod health;
mod memory;
mod mutation;
mod outbound;
mod parse;
mod recall;
pub mod server;
pub mod status;
mod swarm;
mod tally;
mod watch;
mod write_stream;

use std::time::Duration;

use tonic::service::Routes;

pub use encode::WireEncoder;
pub use health::{HealthBoard, HealthService};
pub use write_stream::WriteStreamLimits;

use crate::{
    coordinator::Coordinator,
    wire::v1::{
        memory_service_server::MemoryServiceServer, recall_service_server::RecallServiceServer,
        swarm_service_server::SwarmServiceServer, watch_service_server::WatchServiceServer,
    },
};

/// Bytes of a request for reflection: a name. It repeats in its trailers one that it does not know, and clients take as
/// little as 8 KiB of trailers.
const REFLECTION_BYTES_MAX: usize = 1024;

/// What every service needs.
#[derive(Clone)]
struct Service {
    coordinator: Coordinator,
    /// What a write on a stream gets.
    request_timeout: Duration,
    /// What one stream of writes may have unanswered.
    write_stream: WriteStreamLimits,
}

/// The health service alone, for probes that reach no other listener.
#[must_use]
pub fn health_routes(health: HealthBoard) -> Routes {
    Routes::new(tonic_health::pb::health_server::HealthServer::new(HealthService::new(health)))
}

/// All services over one coordinator.
///
/// # Panics
/// When the descriptors that are built in cannot be read.
#[must_use]
pub fn routes(
    coordinator: &Coordinator,
    health: HealthBoard,
    request_timeout: Duration,
    write_stream: WriteStreamLimits,
) -> Routes {
    let service = Service { coordinator: coordinator.clone(), request_timeout, write_stream };
    let bytes_max = coordinator.limits().request_bytes_max;
    let memory = MemoryServiceServer::new(service.clone()).max_decoding_message_size(bytes_max);
    let recall = RecallServiceServer::new(service.clone()).max_decoding_message_size(bytes_max);
    let watch = WatchServiceServer::new(service.clone()).max_decoding_message_size(bytes_max);
    let swarm = SwarmServiceServer::new(service).max_decoding_message_size(bytes_max);
    let health = tonic_health::pb::health_server::HealthServer::new(HealthService::new(health));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(crate::wire::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let built_in = "the descriptors that are built in are readable";
    Routes::new(memory)
        .add_service(watch)
        .add_service(recall)
        .add_service(swarm)
        .add_service(health)
        .add_service(reflection().build_v1().expect(built_in).max_decoding_message_size(REFLECTION_BYTES_MAX))
        .add_service(
            reflection().build_v1alpha().expect(built_in).max_decoding_message_size(REFLECTION_BYTES_MAX),
        )
}
