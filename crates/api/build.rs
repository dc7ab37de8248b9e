//! Generates the gRPC code from `proto/` with a compiler written in Rust: nothing to install.

use std::path::PathBuf;

/// What operators see; `shardlift -o json` prints these with the names of their fields as they are in `operator.proto`.
const SHOWN: [&str; 37] = [
    "StatusView",
    "ShardView",
    "RouterView",
    "ShardLimitsView",
    "ClientLatencyView",
    "ListShardsResponse",
    "ListRoutersResponse",
    "FleetNode",
    "Progress",
    "NodeDigest",
    "ExplainNodeResponse",
    "PlanProblem",
    "CheckPlanResponse",
    "ApplyPlanResponse",
    "ShowPlanResponse",
    "GraphPlanResponse",
    "ShardWeek",
    "DiffPlanResponse",
    "PlanShare",
    "NodeElsewhere",
    "ListBatchesResponse",
    "BatchView",
    "DeepVerifyView",
    "ActivityView",
    "WayBack",
    "LossPreview",
    "BatchLossPreview",
    "DiagnoseResponse",
    "Finding",
    "ReceiptLine",
    "EstimateView",
    "EstimatePlanResponse",
    "BatchOutlook",
    "CertificateView",
    "RevokeCertificatesResponse",
    "RevocationsView",
    "RevocationsAt",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let files = ["common", "part", "shard", "router", "operator"].map(|name| format!("shardlift/v1/{name}.proto"));
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(files, [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("shardlift.bin"), prost::Message::encode_to_vec(&descriptors))?;
    let mut builder = tonic_prost_build::configure();
    for message in SHOWN {
        builder = builder.type_attribute(format!(".shardlift.v1.{message}"), "#[derive(serde::Serialize)]");
    }
    builder
        .field_attribute(".shardlift.v1.NodeDigest.root", "#[serde(serialize_with = \"crate::json::hex\")]")
        .compile_fds(descriptors)?;
    Ok(())
}
