//! Where the parts meet: the generated gRPC code, its conversions from and to `model`, who may call what, and the one
//! mapping between errors and what a caller sees.
//!
//! - [`v1`]: generated from `proto/shardlift/v1`.
//! - [`convert`]: protobuf messages <-> checked values. Nothing unchecked goes further than this.
//! - [`policy`]: method x role, default deny, and the layer that enforces it.
//! - [`fault`]: a public and an internal text that cannot be mixed up, and their gRPC status.
//! - [`json`]: what of the messages operators see, as JSON.
//! - [`configuration`]: how every part reads its configuration file.
//! - [`view`]: what the status API shows, published by the controller.

pub mod configuration;
pub mod convert;
pub mod fault;
pub mod json;
pub mod policy;
pub mod view;

/// Generated code.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("shardlift.v1");

    /// The descriptors of all services and messages, as a `FileDescriptorSet`.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shardlift.bin"));
}

/// ALPN of the probe on a shard's client listener; see `router.proto`.
pub const PROBE_ALPN: &[u8] = b"shardlift-probe/1";

/// ALPN of the object stream on a shard's control listener; see `docs/object-stream.md`.
pub const OBJECTS_ALPN: &[u8] = b"shardlift-objects/1";

/// Largest probe message in bytes.
pub const PROBE_BYTES_MAX: u32 = 4096;

/// Largest piece of an object in one frame of the object stream, in bytes.
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;
