//! Bellwether's image, around a program that is there already: what it may do, and what it says of its health.

use crate::support::compose::Compose;

/// As compose/ runs it: no right, and no place to write to but its store's.
const HARDENED: &str = "--read-only --cap-drop ALL --security-opt no-new-privileges:true";

/// F-192. The program finds nothing in there but itself and whom to trust.
#[tokio::test(flavor = "multi_thread")]
async fn the_image_runs_without_rights_and_its_healthcheck_notices_one_that_hangs() {
    let Some(lab) = Compose::new("2.40").await else { return };
    let files = lab
        .run(".", "docker create --name look local/bellwether:1 >&2; docker export look | tar -t")
        .await;
    let own = ["bellwether", "ca-certificates.crt"];
    let (program, rest): (Vec<&str>, Vec<&str>) = files
        .lines()
        .filter(|file| !file.ends_with('/'))
        .partition(|file| own.iter().any(|name| file.ends_with(name)));
    assert_eq!(program.len(), 2, "{files}");
    // What Docker puts into every container.
    let docker = ["dev/", "etc/host", "etc/resolv.conf", "etc/mtab", ".dockerenv"];
    let strange = rest.iter().find(|file| !docker.iter().any(|own| file.starts_with(own)));
    assert_eq!(strange, None);

    // Its store is a volume that the image's own user may write to.
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/minimal.yaml");
    lab.run(
        ".",
        &format!(
            "docker run --detach --name own {HARDENED} --health-interval 1s --health-timeout 2s --health-retries 2 \
             --volume store:/var/lib/bellwether --volume {config}:/etc/bellwether/bellwether.yaml:ro local/bellwether:1"
        ),
    )
    .await;
    is(&lab, "healthy").await;
    let user = lab.run(".", "docker top own -o pid,uid,args").await;
    let process = user.lines().nth(1).unwrap();
    assert_eq!(process.split_whitespace().nth(1), Some("65532"), "{user}");
    lab.until("its pool to be shown", async || {
        lab.run(".", "docker exec own bellwether status").await.contains("workers")
    })
    .await;
    lab.run(".", "docker kill --signal STOP own").await;
    is(&lab, "unhealthy").await;
    lab.run(".", "docker kill --signal CONT own").await;
    is(&lab, "healthy").await;
    let stopped = lab
        .run(".", "docker stop own >&2; docker inspect --format '{{.State.ExitCode}}' own")
        .await;
    assert_eq!(stopped.trim(), "0");
}

async fn is(lab: &Compose, health: &str) {
    lab.until(health, async || {
        let ask = "docker inspect --format '{{.State.Health.Status}}' own";
        lab.run(".", ask).await.trim() == health
    })
    .await;
}
