//! The contracts between the services, compiled from the proto files beside this crate.
//!
//! Architecture invariant: there is no hand-written logic here. What a message means to a service
//! is that service's business; what every service does alike is `billing_kit`'s.

/// The encoded `FileDescriptorSet` of all contracts, with their comments and our own options: for gRPC
/// reflection, and for REST, which is made from it.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// `billing.admin.v1`: what admins call, on the gateway.
pub mod admin {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("billing.admin.v1");
    }
}

/// `billing.common.v1`: the words that several contracts share.
pub mod common {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("billing.common.v1");
    }
}

/// `billing.ingest.v1`: ingest-svc.
pub mod ingest {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("billing.ingest.v1");
    }
}

/// `billing.org.v1`: org-svc.
pub mod org {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("billing.org.v1");
    }
}

/// `billing.stripe.v1`: stripe-svc.
pub mod stripe {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("billing.stripe.v1");
    }
}
