//! Which layer uses which.

use super::source::Source;

/// Which layer may use which: only what stands to its right in
/// `cli → net → docs → api, gateway → search → log → domain → store, wire → config, id, limits`, and of the folders beside them
/// what does I/O for it. What decides and what is stored knows no configuration.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "net", "docs", "api", "console", "gateway", "search", "log", "domain", "store", "wire", "config",
            "id", "limits", "runtime", "effect", "observe", "text",
        ],
    ),
    (
        "net",
        &[
            "docs", "api", "console", "gateway", "search", "log", "domain", "store", "wire", "config", "id",
            "limits", "runtime", "effect", "observe", "text",
        ],
    ),
    ("docs", &["api", "gateway", "domain", "store", "wire", "config", "id", "limits"]),
    (
        "api",
        &[
            "console", "search", "log", "domain", "store", "wire", "config", "id", "limits", "runtime",
            "effect", "observe", "text",
        ],
    ),
    ("console", &["wire"]),
    ("gateway", &["log", "domain", "store", "wire", "config", "id", "limits", "runtime", "observe", "text"]),
    ("search", &["log", "domain", "store", "id", "limits", "runtime", "observe", "text"]),
    ("log", &["domain", "store", "config", "id", "limits", "runtime", "observe"]),
    ("domain", &["store", "wire", "id", "limits"]),
    ("store", &["id", "limits"]),
    ("wire", &["id", "limits"]),
    ("config", &["id", "limits"]),
    ("runtime", &["limits"]),
    ("effect", &["store", "runtime", "observe", "config", "wire", "id", "limits", "text"]),
    ("observe", &["runtime", "config", "limits"]),
    ("text", &["limits"]),
    ("limits", &[]),
    ("id", &[]),
];

/// Files that use a layer to their left today. The list may only shrink.
pub const ARROWS_BACKWARDS: &[(&str, &str)] = &[];

pub fn arrows(source: &Source, out: &mut Vec<String>) {
    let Some(inside) = source.inside_src() else { return };
    let layer = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if ["main", "lib"].contains(&layer) {
        return;
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return out.push(source.complain(0, "this folder is no layer: add it to LAYERS"));
    };
    let mut backwards = ARROWS_BACKWARDS.iter().filter(|(path, _)| *path == source.path);
    let excepted = backwards.next().map(|(_, name)| *name);
    let mut excused = false;
    for (index, name) in source.named_after("crate::") {
        let known = LAYERS.iter().any(|(layer, _)| *layer == name);
        if !known || name == layer || allowed.contains(&name.as_str()) {
            continue;
        }
        if excepted == Some(name.as_str()) {
            excused = true;
        } else {
            out.push(source.complain(index, &format!("{layer} must not use {name}")));
        }
    }
    if excepted.is_some() && !excused {
        out.push(source.complain(0, "uses nothing backwards any more: remove it from ARROWS_BACKWARDS"));
    }
}
