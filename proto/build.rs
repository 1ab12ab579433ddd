//! Compiles the proto files with protox, so that no `protoc` is needed on the machine.

use std::{env, error::Error, fs, path::PathBuf};

const PROTO_FILES: [&str; 30] = [
    "billing/admin/v1/admin_service.proto",
    "billing/common/v1/api_key.proto",
    "billing/common/v1/audit_event.proto",
    "billing/common/v1/error_reason.proto",
    "billing/common/v1/field_violation.proto",
    "billing/common/v1/held_report.proto",
    "billing/common/v1/intake.proto",
    "billing/common/v1/notice.proto",
    "billing/common/v1/organization.proto",
    "billing/common/v1/reconciliation.proto",
    "billing/common/v1/reporting.proto",
    "billing/common/v1/rest.proto",
    "billing/common/v1/signing_key.proto",
    "billing/common/v1/stripe_objects.proto",
    "billing/common/v1/terms.proto",
    "billing/common/v1/usage_report.proto",
    "billing/common/v1/webhook_event.proto",
    "billing/ingest/v1/held_report_service.proto",
    "billing/ingest/v1/reconciliation_service.proto",
    "billing/ingest/v1/reporting_service.proto",
    "billing/ingest/v1/usage_report_service.proto",
    "billing/org/v1/admin_session_service.proto",
    "billing/org/v1/api_key_service.proto",
    "billing/org/v1/audit_service.proto",
    "billing/org/v1/notice_service.proto",
    "billing/org/v1/organization_service.proto",
    "billing/stripe/v1/customer_service.proto",
    "billing/stripe/v1/meter_event_service.proto",
    "billing/stripe/v1/subscription_service.proto",
    "billing/stripe/v1/webhook_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    // Neither protox nor tonic-prost-build tells cargo what it reads; without these lines every
    // build would compile the contracts, and all that stands on them, again.
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=billing");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(PROTO_FILES)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    // Encoded by the compiler itself: prost's own types would lose the options of ours.
    fs::write(
        out.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
