//! What every service stands on: config, telemetry, servers and clients, caller identity, faults, shutdown.
