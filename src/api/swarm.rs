//! `SwarmService`: swarms themselves.

use tonic::{Request, Response, Status};

use super::{Service, encode, parse, status::invalid};
use crate::{
    domain::{
        Invalid,
        position::{Arguments, Place, Position, Purpose},
        swarm::{Swarm, SwarmId},
    },
    wire::v1::{self, swarm_service_server::SwarmService},
};

type Answer<T> = Result<Response<T>, Status>;

/// Stands for all swarms where a token must be bound to one: no swarm can have this name.
const ALL: &str = "*";

impl Service {
    fn swarm_token(&self, swarm: &Swarm) -> String {
        self.token(&swarm.id, &Position::after(swarm.head.incarnation, swarm.head.mark))
    }
}

#[tonic::async_trait]
impl SwarmService for Service {
    async fn create_swarm(
        &self,
        request: Request<v1::CreateSwarmRequest>,
    ) -> Answer<v1::CreateSwarmResponse> {
        let mut call = self.call(request)?;
        let id = call.swarm(&call.message.swarm)?;
        let retention = call.message.retention.take();
        let retention = parse::retention(retention, self.coordinator.default_retention()).map_err(invalid)?;
        call.in_time()?;
        let swarm = call.change(self.coordinator.create_swarm(&call.caller, &id, retention)).await?;
        let token = self.swarm_token(&swarm);
        Ok(Response::new(v1::CreateSwarmResponse { swarm: Some(encode::swarm(&swarm, &call.caller)), token }))
    }

    async fn get_swarm(&self, request: Request<v1::GetSwarmRequest>) -> Answer<v1::GetSwarmResponse> {
        let call = self.call(request)?;
        let id = call.swarm(&call.message.swarm)?;
        let swarm = call.read(self.coordinator.swarm(&id)).await?;
        let token = self.swarm_token(&swarm);
        Ok(Response::new(v1::GetSwarmResponse { swarm: Some(encode::swarm(&swarm, &call.caller)), token }))
    }

    async fn list_swarms(&self, request: Request<v1::ListSwarmsRequest>) -> Answer<v1::ListSwarmsResponse> {
        let call = self.call(request)?;
        let message = &call.message;
        let size = parse::page_size(message.page_size, self.coordinator.limits()).map_err(invalid)?;
        let (tokens, all) = (self.coordinator.tokens(), SwarmId::trusted(ALL));
        let after = match message.page_token.as_str() {
            "" => None,
            token => match tokens.open(&all, Purpose::Swarms, token) {
                Ok((Position { place: Place::Name(name), .. }, _)) => Some(SwarmId::trusted(&name)),
                _ => {
                    return Err(invalid(Invalid::new(
                        "page_token",
                        "is not a page token that this call gave out",
                    )));
                }
            },
        };
        let mut swarms = call.read(self.coordinator.list_swarms(after, size + 1)).await?;
        let more = swarms.len() > size;
        swarms.truncate(size);
        let next = swarms.last().filter(|_| more).map(|last| {
            let place = Place::Name(last.id.as_str().into());
            let position = Position { place, incarnation: Default::default(), mark: Default::default() };
            tokens.seal(&all, Purpose::Swarms, Arguments::default(), &position)
        });
        Ok(Response::new(v1::ListSwarmsResponse {
            swarms: swarms.iter().map(|swarm| encode::swarm(swarm, &call.caller)).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn delete_swarm(
        &self,
        request: Request<v1::DeleteSwarmRequest>,
    ) -> Answer<v1::DeleteSwarmResponse> {
        let call = self.call(request)?;
        let id = call.swarm(&call.message.swarm)?;
        call.in_time()?;
        call.change(self.coordinator.delete_swarm(&call.caller, &id)).await?;
        Ok(Response::new(v1::DeleteSwarmResponse {}))
    }
}
