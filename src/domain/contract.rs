//! The published contracts that Waxwing stands in for beside its own API (contract 7).

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Contract {
    Marea,
    AgentMessage,
}

impl Contract {
    pub const ALL: [Self; 2] = [Self::Marea, Self::AgentMessage];

    pub fn name(self) -> &'static str {
        match self {
            Self::Marea => "marea",
            Self::AgentMessage => "agentmessage",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|contract| contract.name() == name)
    }
}

/// Those of them that an instance speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contracts {
    pub marea: bool,
    pub agentmessage: bool,
}

impl Contracts {
    pub const ALL: Self = Self { marea: true, agentmessage: true };
    pub const NONE: Self = Self { marea: false, agentmessage: false };

    pub fn has(self, contract: Contract) -> bool {
        let Self { marea, agentmessage } = self;
        match contract {
            Contract::Marea => marea,
            Contract::AgentMessage => agentmessage,
        }
    }

    pub fn iter(self) -> impl Iterator<Item = Contract> {
        Contract::ALL.into_iter().filter(move |contract| self.has(*contract))
    }
}

impl FromIterator<Contract> for Contracts {
    fn from_iter<I: IntoIterator<Item = Contract>>(contracts: I) -> Self {
        contracts.into_iter().fold(Self::NONE, |all, contract| match contract {
            Contract::Marea => Self { marea: true, ..all },
            Contract::AgentMessage => Self { agentmessage: true, ..all },
        })
    }
}
