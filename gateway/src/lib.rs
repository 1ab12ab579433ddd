//! The public face: REST, Better Auth, the dashboard and gRPC for admins; it translates and forwards.
