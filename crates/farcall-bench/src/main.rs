//! The benchmark without peers: farcall beside a bare tokio program.

fn main() -> anyhow::Result<()> {
    farcall_bench::main(&[])
}
