//! The admin service for callers in this process, with messages that know their own fields.

use billing_kit::Fault;
use bytes::Buf;
use http::uri::PathAndQuery;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::{AdminService, admin_service};
use crate::{
    app::{Admin, App},
    contract::Method,
};

/// Calls of the admin service: the same handlers that gRPC runs. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct AdminCalls(Grpc<AdminService>);

impl AdminCalls {
    /// Calls of these verbs.
    pub(crate) fn new(app: App) -> Self {
        // A page may be larger than what a client from outside is expected to take.
        Self(Grpc::new(admin_service(app)).max_decoding_message_size(usize::MAX))
    }

    /// Calls a method on behalf of an admin.
    ///
    /// # Errors
    /// What the method answers, logged already.
    pub(crate) async fn call(
        &self,
        method: &Method,
        admin: Admin,
        message: DynamicMessage,
    ) -> Result<DynamicMessage, Fault> {
        let path = PathAndQuery::try_from(method.grpc_path()).map_err(Fault::internal)?;
        let mut request = Request::new(message);
        request.extensions_mut().insert(admin);
        let answered = self
            .0
            .clone()
            .unary(request, path, DynamicCodec(method.output()))
            .await;
        Ok(answered.map_err(Fault::from_status)?.into_inner())
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
