//! The world as a witness of who may act.

use super::World;
use crate::cluster::fence::{Fence, Result};
use crate::model::{Claim, Token};
use async_trait::async_trait;
use std::time::Duration;

/// The lease of one world, by the world's clock.
#[derive(Clone, Debug)]
pub struct Witness {
    world: World,
}

impl Witness {
    /// The witness of a world.
    pub fn new(world: World) -> Self {
        Self { world }
    }
}

#[async_trait]
impl Fence for Witness {
    async fn last(&self) -> Result<Token> {
        Ok(self.world.look(|state| state.lease.last()))
    }

    async fn hold(&self, claim: &Claim, ttl: Duration) -> Result<()> {
        self.world.change(|state| {
            let now = state.now;
            state.lease.hold(claim, ttl, now)
        })
    }

    async fn let_go(&self, claim: &Claim) -> Result<()> {
        self.world.change(|state| state.lease.let_go(claim));
        Ok(())
    }
}
