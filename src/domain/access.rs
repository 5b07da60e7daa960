//! Who may do what where: the one place that decides. Every read and write passes here.

use super::namespace::{AgentId, Namespace, Prefix};

/// What a caller is in its swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads and writes its own memory and the common knowledge.
    Agent,
    /// Reads and writes everything; creates and deletes swarms.
    Orchestrator,
    /// Reads everything, writes nothing.
    Observer,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// Under which name.
    pub agent: AgentId,
    /// In which role.
    pub role: Role,
}

/// The caller may not do this; whether what it asked for exists is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not allowed")]
pub struct Denied;

/// Which namespaces a caller may read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All of the swarm.
    All,
    /// These and below.
    Below(Vec<Prefix>),
}

impl Scope {
    /// Whether entries in `namespace` may be seen.
    #[must_use]
    pub fn covers(&self, namespace: &Namespace) -> bool {
        match self {
            Self::All => true,
            Self::Below(prefixes) => prefixes.iter().any(|p| p.covers(namespace)),
        }
    }

    /// The part of `wanted` (empty: everything) that may be seen; none where it is everything.
    #[must_use]
    pub fn narrow(&self, wanted: &[Prefix]) -> Option<Vec<Prefix>> {
        let allowed = match self {
            Self::All if wanted.is_empty() => return None,
            Self::All => return Some(wanted.to_vec()),
            Self::Below(allowed) if wanted.is_empty() => return Some(allowed.clone()),
            Self::Below(allowed) => allowed,
        };
        let mut both = Vec::new();
        for w in wanted {
            for a in allowed {
                if a.contains(w) {
                    both.push(w.clone());
                } else if w.contains(a) {
                    both.push(a.clone());
                }
            }
        }
        Some(both)
    }
}

impl Principal {
    /// What this caller may read. What is outside does not exist for it.
    #[must_use]
    pub fn readable(&self) -> Scope {
        match self.role {
            Role::Orchestrator | Role::Observer => Scope::All,
            Role::Agent => Scope::Below(vec![Prefix::of_agent(&self.agent), Prefix::shared()]),
        }
    }

    /// Whether this caller may write in `namespace`.
    ///
    /// # Errors
    /// When it may not.
    pub fn may_write(&self, namespace: &Namespace) -> Result<(), Denied> {
        match self.role {
            Role::Orchestrator => Ok(()),
            Role::Agent if self.readable().covers(namespace) => Ok(()),
            Role::Agent | Role::Observer => Err(Denied),
        }
    }

    /// Whether this caller may write everywhere below `prefix`.
    ///
    /// # Errors
    /// When it may not.
    pub fn may_write_below(&self, prefix: &Prefix) -> Result<(), Denied> {
        match (self.role, self.readable()) {
            (Role::Orchestrator, _) => Ok(()),
            (Role::Agent, Scope::Below(own)) if own.iter().any(|p| p.contains(prefix)) => Ok(()),
            _ => Err(Denied),
        }
    }

    /// Whether this caller may read in `namespace` as part of a write (a comparison or a read inside a transaction).
    ///
    /// # Errors
    /// When it may not.
    pub fn may_read(&self, namespace: &Namespace) -> Result<(), Denied> {
        if self.readable().covers(namespace) { Ok(()) } else { Err(Denied) }
    }

    /// Whether this caller may read everything below `prefix` as part of a write.
    ///
    /// # Errors
    /// When it may not.
    pub fn may_read_below(&self, prefix: &Prefix) -> Result<(), Denied> {
        match self.readable() {
            Scope::All => Ok(()),
            Scope::Below(own) if own.iter().any(|p| p.contains(prefix)) => Ok(()),
            Scope::Below(_) => Err(Denied),
        }
    }

    /// Whether this caller may create and delete swarms.
    ///
    /// # Errors
    /// When it may not.
    pub fn may_administer(&self) -> Result<(), Denied> {
        if self.role == Role::Orchestrator { Ok(()) } else { Err(Denied) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits::Limits;

    fn principal(role: Role) -> Principal {
        Principal { agent: AgentId::trusted("ann"), role }
    }

    fn namespace(text: &str) -> Namespace {
        Namespace::parse(text, &Limits::default()).unwrap()
    }

    fn prefix(text: &str) -> Prefix {
        Prefix::parse(text, &Limits::default()).unwrap()
    }

    #[test]
    fn roles_read_and_write_what_they_may() {
        for (role, place, read, write) in [
            (Role::Agent, "agents/ann", true, true),
            (Role::Agent, "agents/ann/x", true, true),
            (Role::Agent, "agents/anna", false, false),
            (Role::Agent, "agents/bob", false, false),
            (Role::Agent, "shared/x", true, true),
            (Role::Orchestrator, "agents/bob", true, true),
            (Role::Observer, "agents/bob", true, false),
            (Role::Observer, "shared/x", true, false),
        ] {
            let who = principal(role);
            assert_eq!(who.readable().covers(&namespace(place)), read, "{role:?} reads {place}");
            assert_eq!(who.may_write(&namespace(place)).is_ok(), write, "{role:?} writes {place}");
            assert_eq!(who.may_write_below(&prefix(place)).is_ok(), write, "{role:?} writes below {place}");
        }
        assert!(principal(Role::Agent).may_write_below(&prefix("agents")).is_err());
        assert!(principal(Role::Agent).may_administer().is_err());
    }

    #[test]
    fn a_scope_is_narrowed_to_what_may_be_read() {
        let scope = principal(Role::Agent).readable();
        assert_eq!(scope.narrow(&[prefix("agents")]), Some(vec![prefix("agents/ann")]));
        assert_eq!(scope.narrow(&[prefix("agents/bob")]), Some(vec![]));
        assert_eq!(scope.narrow(&[prefix("shared/x")]), Some(vec![prefix("shared/x")]));
        assert_eq!(scope.narrow(&[]), Some(vec![prefix("agents/ann"), prefix("shared")]));
        assert_eq!(Scope::All.narrow(&[]), None);
    }
}
