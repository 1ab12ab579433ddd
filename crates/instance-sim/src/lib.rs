//! The instance's side of the contract: one VaultAI instance, or a fleet of them.
