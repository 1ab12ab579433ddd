//! Clients of the admin service within this process: a typed one for the dashboard, and one for REST
//! whose messages carry their descriptors.

use billing_kit::Fault;
use billing_proto::admin::v1::admin_service_client::AdminServiceClient;
use bytes::Buf;
use http::uri::PathAndQuery;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::{
    Response, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::{AdminService, admin_service};
use crate::{
    app::{Admin, App},
    contract::Method,
};

/// A client of the admin service in this process: the same handlers that gRPC runs.
pub(crate) type AdminClient = AdminServiceClient<AdminService>;

/// A typed client.
pub(crate) fn client(app: App) -> AdminClient {
    // A page may exceed tonic's default limit for external clients.
    AdminServiceClient::new(admin_service(app)).max_decoding_message_size(usize::MAX)
}

/// The answer of a client's method. The handler has logged its fault already.
///
/// # Errors
/// What went wrong.
pub(crate) fn answered<T>(answer: Result<Response<T>, Status>) -> Result<T, Fault> {
    match answer {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => Err(Fault::from_status(status).logged()),
    }
}

/// A client for messages that carry their descriptors.
#[derive(Debug, Clone)]
pub(crate) struct DynamicClient(Grpc<AdminService>);

impl DynamicClient {
    /// A client of this admin service.
    pub(crate) fn new(app: App) -> Self {
        Self(Grpc::new(admin_service(app)).max_decoding_message_size(usize::MAX))
    }

    /// Calls a method on behalf of an admin.
    ///
    /// # Errors
    /// What went wrong; the handler has logged it.
    pub(crate) async fn call(
        &self,
        method: &Method,
        admin: &Admin,
        message: DynamicMessage,
    ) -> Result<DynamicMessage, Fault> {
        let path = PathAndQuery::try_from(method.grpc_path()).map_err(Fault::internal)?;
        let codec = DynamicCodec(method.output());
        let mut grpc = self.0.clone();
        answered(grpc.unary(admin.asks(message), path, codec).await)
    }
}

/// Writes any message, and reads those of one kind.
#[derive(Debug)]
struct DynamicCodec(MessageDescriptor);

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = Self;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct DynamicEncoder;

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(
        &mut self,
        message: DynamicMessage,
        buffer: &mut EncodeBuf<'_>,
    ) -> Result<(), Status> {
        let written = message.encode(buffer);
        written.map_err(|error| Fault::internal(error).into_status())
    }
}

impl Decoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let read = DynamicMessage::decode(self.0.clone(), bytes);
        read.map(Some)
            .map_err(|error| Fault::internal(error).into_status())
    }
}
