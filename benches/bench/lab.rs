//! The lab: how large Bellwether's image is, and how soon after `make lab` there are workers, the images being there.

use super::chain::run;
use super::results::Measure;
use super::support::compose::Compose;
use anyhow::Context as _;
use std::path::Path;
use std::time::Instant;

/// Its own build of the program, as the Dockerfile's: minutes, where nothing of it is there.
pub(crate) fn lab() -> anyhow::Result<Vec<Measure>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("tests/lab/program");
    let built = std::process::Command::new(program)
        .arg("release")
        // As the Dockerfile builds it, whatever the bench itself is built with.
        .env_remove("CARGO_PROFILE_RELEASE_LTO")
        .status()?;
    anyhow::ensure!(built.success(), "the program cannot be built");
    let target = Path::new(env!("CARGO_BIN_EXE_bellwether")).ancestors().nth(2);
    let image = target.context("no target folder")?.join("image-release");
    run(async {
        let lab = Compose::around("2.40", &image).await.context("a server is missing")?;
        let size =
            lab.run(".", "docker image inspect --format '{{.Size}}' local/bellwether:1").await;
        let size: f64 = size.trim().parse()?;
        let begun = Instant::now();
        lab.run(".", "make lab").await;
        let up = begun.elapsed();
        lab.has_ready(1).await;
        let first = begun.elapsed();
        let scale = "docker compose exec -T k3s-server kubectl scale deployment/work --replicas=6";
        let asked = Instant::now();
        lab.run("compose", scale).await;
        lab.has_ready(2).await;
        let scaled = asked.elapsed();
        Ok(vec![
            Measure::new("image.size_mb", size / 1e6, "MB"),
            Measure::new("compose.up_s", up.as_secs_f64(), "s"),
            Measure::new("compose.up_to_first_scale_s", first.as_secs_f64(), "s"),
            Measure::new("compose.pods_to_ready_s", scaled.as_secs_f64(), "s"),
        ])
    })
}
