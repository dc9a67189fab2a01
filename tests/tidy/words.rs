//! Words that stand only where they belong.

use super::source::{Source, has_word};

/// Words that must not stand in some part of `src`.
pub struct Rule {
    pub words: &'static [&'static str],
    /// Path prefixes below `src/`; none = everywhere.
    pub inside: &'static [&'static str],
    /// Path prefixes below `src/` where it is allowed.
    except: &'static [&'static str],
    /// Also in code for tests.
    pub tests_too: bool,
    why: &'static str,
}

pub const RULES: &[Rule] = &[
    Rule {
        words: &[".unwrap()", ".unwrap_err()"],
        inside: &[],
        except: &[],
        tests_too: false,
        why: "write expect(\"why this cannot fail\")",
    },
    Rule {
        words: &["todo!", "unimplemented!", "dbg!"],
        inside: &[],
        except: &[],
        tests_too: true,
        why: "unfinished code does not merge",
    },
    Rule {
        words: &["println!", "print!", "eprintln!", "eprint!"],
        inside: &[],
        except: &[],
        tests_too: false,
        why: "they panic when the output cannot be written: the command line has cli/print.rs, the server tracing",
    },
    Rule {
        words: &["thread::sleep"],
        inside: &[],
        // Ports are opened by the main thread, before there are cores, rings by cores that serve nobody yet.
        except: &["log/", "search/", "effect/", "observe/", "net/listen.rs", "net/rings.rs"],
        tests_too: false,
        why: "a core thread never sleeps",
    },
    Rule {
        words: &["Instant::now", "SystemTime::now"],
        inside: &["domain/", "wire/", "gateway/", "store/", "config/", "id.rs"],
        except: &[],
        tests_too: false,
        why: "time is passed in",
    },
    Rule {
        words: &[
            "HashMap",
            "HashSet",
            "FxHashMap",
            "FxHashSet",
            "f32",
            "f64",
            "getrandom",
            "fastrand",
            "std::env",
            "std::fs",
        ],
        inside: &["domain/"],
        except: &[],
        tests_too: false,
        why: "apply is deterministic: no hash order, no floats, no randomness, nothing from outside",
    },
    Rule {
        words: &["to_lowercase", "to_uppercase"],
        inside: &["domain/"],
        // The search among members, which is no command.
        except: &["domain/community/member.rs"],
        tests_too: false,
        why: "the tables of Unicode are another build's: the API makes keys, commands carry them",
    },
    Rule {
        words: &["SystemTime", "Instant", "OnceLock", "LazyLock", "thread_local!", "static mut"],
        inside: &["domain/"],
        // The prefix of URLs.
        except: &["domain/view.rs"],
        tests_too: false,
        why: "apply depends on nothing but the entry and the state",
    },
    Rule {
        words: &["TcpStream", "TcpListener", "UdpSocket", "UnixStream"],
        inside: &["domain/", "wire/", "store/", "api/", "gateway/", "config/"],
        except: &[],
        tests_too: false,
        why: "sockets belong to net, effect and observe",
    },
    Rule {
        words: &["heed"],
        inside: &[],
        except: &["store/"],
        tests_too: true,
        why: "LMDB is named in store only",
    },
    Rule {
        words: &["rkyv"],
        inside: &[],
        except: &["store/", "domain/", "id.rs"],
        tests_too: true,
        why: "records are encoded in store, commands in domain",
    },
    Rule {
        words: &["monoio", "io_uring", "io_uring_monoio"],
        inside: &[],
        except: &["runtime/", "net/", "effect/"],
        tests_too: true,
        why: "io_uring is named in runtime, net and effect only",
    },
    Rule {
        words: &["simd_json"],
        inside: &[],
        except: &["wire/json/fast.rs"],
        tests_too: true,
        why: "the JSON crate is named in wire/json/fast.rs only",
    },
];

pub fn words(source: &Source, out: &mut Vec<String>) {
    let Some(inside) = source.inside_src() else { return };
    let below = |prefixes: &[&str]| prefixes.iter().any(|prefix| inside.starts_with(prefix));
    for rule in RULES {
        if below(rule.except) || !(rule.inside.is_empty() || below(rule.inside)) {
            continue;
        }
        for (index, line) in source.lines.iter().enumerate().filter(|(_, line)| rule.tests_too || !line.test)
        {
            for word in rule.words.iter().filter(|word| has_word(&line.code, word)) {
                out.push(source.complain(index, &format!("{word}: {}", rule.why)));
            }
        }
    }
}
