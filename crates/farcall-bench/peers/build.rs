//! Writes tonic's service and client from a description in Rust, so that nobody needs protoc; and tells the program
//! which versions the lock file holds.

use std::fs;

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");
    let lock = fs::read_to_string("Cargo.lock").expect("Cargo.lock beside build.rs");
    for peer in ["tarpc", "tonic", "ractor_cluster", "kameo", "actix-telepathy"] {
        let entry = lock.split(&format!("name = \"{peer}\"\nversion = \"")).nth(1).expect("a locked peer");
        let version = entry.split('"').next().expect("a version");
        println!("cargo:rustc-env=VERSION_{}={version}", peer.replace('-', "_"));
    }
    let mut bench = Service::builder().name("Bench").package("farcall.bench");
    for (name, route, message) in [
        ("echo", "Echo", "crate::tonic::Numbers"),
        ("later", "Later", "crate::tonic::Numbers"),
        ("record", "Record", "crate::tonic::Entry"),
        ("bytes", "Bytes", "crate::tonic::Payload"),
    ] {
        bench = bench.method(
            Method::builder()
                .name(name)
                .route_name(route)
                .input_type(message)
                .output_type(message)
                .codec_path("tonic_prost::ProstCodec")
                .build(),
        );
    }
    Builder::new().compile(&[bench.build()]);
}
