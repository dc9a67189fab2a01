//! The names of the metrics.

use std::sync::Arc;

use plexichat::effect::LANES;
use plexichat::gateway::protocol::CLOSES;
use plexichat::observe::{Names, Registry, encode};

use super::check;

/// Dashboards and alarms are built on these names.
#[test]
fn every_metric() {
    let closes = CLOSES.iter().take(1).map(|(_, close)| (close.code, close.reason)).collect();
    let names = Names {
        lanes: LANES.iter().map(|row| row.name).collect(),
        operations: vec!["GET /a".into()],
        closes,
    };
    let registry = Arc::new(Registry::new(1, names));
    registry.cores[0].operation(0, 1);
    registry.cores[0].closes[0].increment();
    let text = encode(&registry);
    // Samples by name and labels; the buckets of a histogram are left out.
    let names = text.lines().filter(|line| !line.contains("_bucket{") && *line != "# EOF");
    let names = names.map(|line| match line.starts_with('#') {
        true => line,
        false => line.rsplit_once(' ').expect("a sample has a value").0,
    });
    check("metrics.txt", &names.map(|line| format!("{line}\n")).collect::<String>());
}
