//! Who is compared, and how each is started.

use std::fs;
use std::path::PathBuf;

use crate::cases::{Case, Mode};
use crate::process::{Certificate, Failure, Setting, output_of};

/// What runs a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    /// A binary of this package.
    Own(&'static str),
    Bun(&'static str),
    Node(&'static str),
}

/// A server among others.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// How the tables call it.
    pub name: &'static str,
    program: Program,
    arguments: &'static [&'static str],
    /// Whose version it has, in Cargo.lock or package.json.
    package: &'static str,
    /// The flags, where it can.
    fan_out: Option<&'static str>,
    deflate: Option<&'static str>,
    workers: Option<&'static str>,
    /// What runs it with TLS, where it was set up for that.
    tls: Option<Program>,
    /// It was set to write the replies to a read together, or does so by itself.
    pub batches: bool,
}

pub const LIMIT: &str = "limit";
pub const LIMIT_AGAIN: &str = "limit again";

const PEER: Peer = Peer {
    name: "",
    program: Program::Own(""),
    arguments: &[],
    package: "",
    fan_out: None,
    deflate: None,
    workers: None,
    tls: None,
    batches: false,
};

const PEERS: &[Peer] = &[
    Peer {
        name: LIMIT,
        program: Program::Own("limit"),
        tls: Some(Program::Own("limit_tls")),
        package: "mio",
        fan_out: Some("--fanout"),
        // It compresses nothing, and is asked for nothing.
        deflate: Some(""),
        batches: true,
        ..PEER
    },
    Peer {
        name: "sockeye",
        program: Program::Own("sockeye_server"),
        arguments: &["--listen", "127.0.0.1:0"],
        package: "sockeye",
        fan_out: Some("--fanout"),
        deflate: Some("--deflate-shared"),
        workers: Some("--workers"),
        tls: Some(Program::Own("sockeye_server")),
        batches: true,
    },
    Peer {
        name: "tokio-tungstenite",
        program: Program::Own("tungstenite"),
        tls: Some(Program::Own("tungstenite")),
        package: "tokio-tungstenite",
        ..PEER
    },
    Peer {
        name: "tokio-tungstenite, batched",
        program: Program::Own("tungstenite"),
        tls: Some(Program::Own("tungstenite")),
        arguments: &["--batch"],
        package: "tokio-tungstenite",
        batches: true,
        ..PEER
    },
    Peer {
        name: "fastwebsockets",
        program: Program::Own("fastwebsockets"),
        tls: Some(Program::Own("fastwebsockets")),
        package: "fastwebsockets",
        ..PEER
    },
    Peer {
        name: "fastwebsockets, batched",
        program: Program::Own("fastwebsockets"),
        tls: Some(Program::Own("fastwebsockets")),
        arguments: &["--batch"],
        package: "fastwebsockets",
        batches: true,
        ..PEER
    },
    Peer {
        name: "tokio-websockets",
        program: Program::Own("tokio_websockets"),
        tls: Some(Program::Own("tokio_websockets")),
        package: "tokio-websockets",
        ..PEER
    },
    Peer {
        name: "tokio-websockets, batched",
        program: Program::Own("tokio_websockets"),
        tls: Some(Program::Own("tokio_websockets")),
        arguments: &["--batch"],
        package: "tokio-websockets",
        batches: true,
        ..PEER
    },
    Peer {
        name: "sockudo-ws",
        program: Program::Own("sockudo"),
        package: "sockudo-ws",
        ..PEER
    },
    Peer {
        name: "sockudo-ws, batched",
        program: Program::Own("sockudo"),
        arguments: &["--batch"],
        package: "sockudo-ws",
        batches: true,
        ..PEER
    },
    Peer {
        name: "yawc",
        program: Program::Own("yawc"),
        tls: Some(Program::Own("yawc")),
        package: "yawc",
        ..PEER
    },
    Peer {
        name: "yawc, batched",
        program: Program::Own("yawc"),
        tls: Some(Program::Own("yawc")),
        arguments: &["--batch"],
        package: "yawc",
        batches: true,
        ..PEER
    },
    Peer {
        name: "soketto",
        program: Program::Own("soketto"),
        package: "soketto",
        ..PEER
    },
    Peer {
        name: "soketto, batched",
        program: Program::Own("soketto"),
        arguments: &["--batch"],
        package: "soketto",
        batches: true,
        ..PEER
    },
    Peer {
        name: "wtx",
        program: Program::Own("wtx"),
        package: "wtx",
        ..PEER
    },
    Peer {
        name: "Bun",
        program: Program::Bun("bun.js"),
        tls: Some(Program::Bun("bun.js")),
        package: "bun",
        fan_out: Some("--fanout"),
        deflate: Some("--deflate"),
        batches: true,
        ..PEER
    },
    Peer {
        name: "ws",
        program: Program::Node("ws.js"),
        tls: Some(Program::Node("ws.js")),
        package: "ws",
        fan_out: Some("--fanout"),
        deflate: Some("--deflate"),
        ..PEER
    },
    // Last, so that a change over the round shows.
    Peer {
        name: LIMIT_AGAIN,
        program: Program::Own("limit"),
        tls: Some(Program::Own("limit_tls")),
        package: "mio",
        fan_out: Some("--fanout"),
        deflate: Some(""),
        batches: true,
        ..PEER
    },
];

/// The limit twice, and those whose name contains one of `names`; all where there is none.
pub fn chosen(_: &Setting, names: &[String]) -> Result<Vec<Peer>, Failure> {
    let is_chosen = |peer: &&Peer| {
        names.is_empty()
            || [LIMIT, LIMIT_AGAIN].contains(&peer.name)
            || names.iter().any(|name| peer.name.contains(name.as_str()))
    };
    Ok(PEERS.iter().filter(is_chosen).copied().collect())
}

impl Peer {
    pub fn program(&self, setting: &Setting, case: &Case) -> PathBuf {
        match self.tls.filter(|_| case.tls).unwrap_or(self.program) {
            Program::Own(name) => setting.binaries.join(name),
            Program::Bun(_) => setting.output.join("npm/node_modules/.bin/bun"),
            Program::Node(_) => "node".into(),
        }
    }

    /// None where it can't do what the case asks.
    pub fn arguments(&self, setting: &Setting, case: &Case) -> Option<Vec<String>> {
        let mut arguments: Vec<String> = match self.program {
            Program::Own(_) => Vec::new(),
            Program::Bun(script) | Program::Node(script) => {
                vec![
                    setting
                        .output
                        .join("npm")
                        .join(script)
                        .display()
                        .to_string(),
                ]
            }
        };
        arguments.extend(self.arguments.iter().copied().map(str::to_owned));
        if case.mode == Mode::FanOut {
            arguments.push(self.fan_out?.to_owned());
        }
        if case.deflate {
            arguments.push(self.deflate?.to_owned());
        }
        if case.tls {
            self.tls?;
            let Certificate { cert, key } = &setting.certificate;
            let files = [cert, key].map(|file| file.display().to_string());
            arguments.push("--tls".to_owned());
            arguments.extend(files);
        }
        if case.workers > 1 {
            arguments.extend([self.workers?.to_owned(), case.workers.to_string()]);
        }
        // An idle connection is the same with both.
        let is_second = self.arguments.contains(&"--batch");
        let asked_twice = is_second && case.mode == Mode::Idle;
        (!asked_twice).then_some(arguments)
    }

    /// Whether it is asked for compression in this case.
    pub fn compresses(&self, case: &Case) -> bool {
        case.deflate && self.deflate.is_some_and(|flag| !flag.is_empty())
    }

    /// Name and version of the package, and of what runs it.
    pub fn version(&self, setting: &Setting) -> String {
        let version = match self.program {
            Program::Own(_) => locked(setting, self.package),
            Program::Bun(_) | Program::Node(_) => {
                let path = format!("npm/node_modules/{}/package.json", self.package);
                let text = fs::read_to_string(setting.output.join(path)).unwrap_or_default();
                let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                json["version"].as_str().map(str::to_owned)
            }
        };
        let version = version.unwrap_or_else(|| "unknown".to_owned());
        match self.program {
            Program::Node(_) => {
                let node = output_of("node", &["--version"]).unwrap_or_default();
                format!("{} {version} on Node {node}", self.package)
            }
            _ => format!("{} {version}", self.package),
        }
    }
}

/// The version that Cargo.lock has.
fn locked(setting: &Setting, package: &str) -> Option<String> {
    let lock = fs::read_to_string(setting.source.join("Cargo.lock")).ok()?;
    let mut lines = lock.lines();
    lines.find(|line| *line == format!("name = \"{package}\""))?;
    let version = lines.next()?.strip_prefix("version = \"")?;
    Some(version.trim_end_matches('"').to_owned())
}
