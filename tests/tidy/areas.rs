//! Areas, the folders of `api/` and `domain/`: those of a layer use each other in one direction only.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

const LAYERS: [&str; 2] = ["api", "domain"];

/// Which area uses which, with one place where it does.
type Uses = BTreeMap<(String, String), String>;

/// Names a circle of areas, and where each uses the next.
pub fn circles(sources: &[Source]) -> Vec<String> {
    LAYERS.iter().filter_map(|layer| circle(layer, &uses(layer, sources))).collect()
}

/// The area of a file: `ban` of `src/domain/ban/mod.rs`.
fn area<'a>(layer: &str, source: &'a Source) -> Option<&'a str> {
    let path = source.inside_src()?.strip_prefix(layer)?.strip_prefix('/')?;
    path.split_once('/').map(|(area, _)| area)
}

fn uses(layer: &str, sources: &[Source]) -> Uses {
    let areas: BTreeSet<&str> = sources.iter().filter_map(|source| area(layer, source)).collect();
    let prefix = format!("crate::{layer}::");
    let mut uses = Uses::new();
    for source in sources {
        let Some(from) = area(layer, source) else { continue };
        let named = [prefix.as_str(), "super::super::"].map(|path| source.named_after(path));
        for (index, to) in named.into_iter().flatten() {
            if to != from && areas.contains(to.as_str()) {
                let place = format!("{}:{}", source.path, index + 1);
                uses.entry((from.to_owned(), to)).or_insert(place);
            }
        }
    }
    uses
}

fn circle(layer: &str, uses: &Uses) -> Option<String> {
    let mut left = uses.clone();
    // What uses nobody that is left, or is used by nobody, is in no circle.
    loop {
        let from: BTreeSet<String> = left.keys().map(|(from, _)| from.clone()).collect();
        let to: BTreeSet<String> = left.keys().map(|(_, to)| to.clone()).collect();
        let before = left.len();
        left.retain(|(user, used), _| to.contains(user) && from.contains(used));
        if left.len() == before {
            break;
        }
    }
    let places: Vec<_> =
        left.iter().map(|((from, to), place)| format!("  {from} uses {to}: {place}")).collect();
    (!places.is_empty())
        .then(|| format!("src/{layer}: areas use each other in a circle\n{}", places.join("\n")))
}

#[test]
fn a_circle_of_areas_is_found() {
    let source = |path: &str, text: &str| Source::new(path, text, false);
    let mut sources = vec![
        source("src/domain/chat/mod.rs", "use crate::domain::community::server;\n"),
        source("src/domain/community/mod.rs", "use crate::domain::identity::{account, token};\n"),
        source("src/domain/identity/mod.rs", "use crate::domain::error::Error;\n"),
    ];
    assert_eq!(circles(&sources), [""; 0]);
    sources.push(source("src/domain/identity/account.rs", "fn f() { crate::domain::{error, chat::pin} }\n"));
    let found = circles(&sources);
    assert!(found.len() == 1 && found[0].contains("src/domain/identity/account.rs:1"), "{found:?}");
}
