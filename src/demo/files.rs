//! The shipped files, made fast, with the addresses of this machine, in a folder of the demo's own.

use super::render::faster;
use super::servers::free_ports;
use std::path::Path;

/// The shipped rules, by file name.
const RULES: [(&str, &str); 4] = [
    ("health.yaml", include_str!("../../rules/health.yaml")),
    ("scale-down.yaml", include_str!("../../rules/scale-down.yaml")),
    ("scale-up.yaml", include_str!("../../rules/scale-up.yaml")),
    ("trouble.yaml", include_str!("../../rules/trouble.yaml")),
];
const PROMETHEUS: &str = include_str!("../../rules/prometheus.yml");
const ALERTMANAGER: &str = include_str!("../../alertmanager/alertmanager.yml");
const BELLWETHER: &str = include_str!("../../docs/examples/sim.yaml");

/// Ports of 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) prometheus: u16,
    pub(super) alertmanager: u16,
    pub(super) bellwether: u16,
    pub(super) world: u16,
}

impl Ports {
    pub(super) fn choose() -> anyhow::Result<Self> {
        let [prometheus, alertmanager, bellwether, world] = free_ports()?;
        Ok(Self { prometheus, alertmanager, bellwether, world })
    }

    /// Puts these ports where the shipped files name hosts that people replace by their own.
    fn place(self, text: &str) -> String {
        [
            ("prometheus:9090", self.prometheus),
            ("alertmanager:9093", self.alertmanager),
            ("bellwether:8080", self.bellwether),
            ("127.0.0.1:8080", self.bellwether),
            ("127.0.0.1:8090", self.world),
        ]
        .iter()
        .fold(text.to_owned(), |text, (host, port)| {
            text.replace(host, &format!("127.0.0.1:{port}"))
        })
    }
}

/// Writes the servers' files, and answers with Bellwether's own configuration.
pub(super) fn write(folder: &Path, ports: Ports, factor: u32) -> anyhow::Result<String> {
    std::fs::create_dir_all(folder.join("nodes"))?;
    for (name, rules) in RULES {
        std::fs::write(folder.join(name), faster(rules, factor))?;
    }
    std::fs::write(folder.join("prometheus.yml"), ports.place(&faster(PROMETHEUS, factor)))?;
    std::fs::write(folder.join("alertmanager.yml"), ports.place(&faster(ALERTMANAGER, factor)))?;
    Ok(ports.place(&faster(BELLWETHER, factor)))
}
