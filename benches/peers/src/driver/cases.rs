//! What is measured at the socket.

/// One load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Echo,
    /// One sends, all receive.
    FanOut,
    /// Open and silent.
    Idle,
}

/// A load, and by it a table.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Names its chart.
    pub name: &'static str,
    pub title: &'static str,
    pub mode: Mode,
    pub connections: u32,
    pub depth: u32,
    pub size: u32,
    pub text: bool,
    /// Without context takeover; the limit echoes the same without compression.
    pub deflate: bool,
    /// TLS 1.3 with AES-128-GCM, for all.
    pub tls: bool,
    /// Threads that serve.
    pub workers: u32,
}

pub const ECHO: Case = Case {
    name: "",
    title: "",
    mode: Mode::Echo,
    connections: 100,
    depth: 1,
    size: 20,
    text: false,
    deflate: false,
    tls: false,
    workers: 1,
};

const CASES: [Case; 13] = [
    Case {
        name: "echo-20",
        title: "Echo: 100 connections, 20 B, one message on its way",
        ..ECHO
    },
    Case {
        name: "echo-20-deep",
        title: "Echo: 100 connections, 20 B, 16 messages on their way",
        depth: 16,
        ..ECHO
    },
    Case {
        name: "echo-1k-deep",
        title: "Echo: 100 connections, 1 KiB, 16 messages on their way",
        depth: 16,
        size: 1024,
        ..ECHO
    },
    Case {
        name: "tls-1k-deep",
        title: "TLS echo, AES-128-GCM: 100 connections, 1 KiB, 16 messages on their way",
        depth: 16,
        size: 1024,
        tls: true,
        ..ECHO
    },
    Case {
        name: "echo-16k",
        title: "Echo: 20 connections, 16 KiB, 4 messages on their way",
        connections: 20,
        depth: 4,
        size: 16 * 1024,
        ..ECHO
    },
    Case {
        name: "echo-1m-text",
        title: "Echo: 4 connections, 1 MiB of text, one message on its way",
        connections: 4,
        size: 1024 * 1024,
        text: true,
        ..ECHO
    },
    Case {
        name: "fanout-500-64",
        title: "Fan-out: one sends, 500 receive, 64 B, 16 messages on their way",
        mode: Mode::FanOut,
        connections: 500,
        depth: 16,
        size: 64,
        ..ECHO
    },
    Case {
        name: "fanout-500-1k",
        title: "Fan-out: one sends, 500 receive, 1 KiB, 16 messages on their way",
        mode: Mode::FanOut,
        connections: 500,
        depth: 16,
        size: 1024,
        ..ECHO
    },
    Case {
        name: "fanout-5000-64",
        title: "Fan-out: one sends, 5,000 receive, 64 B, one message on its way",
        mode: Mode::FanOut,
        connections: 5000,
        size: 64,
        ..ECHO
    },
    Case {
        name: "deflate-200",
        title: "Compressed echo: 20 connections, 200 B of JSON, 4 messages on their way, no takeover",
        connections: 20,
        depth: 4,
        size: 200,
        text: true,
        deflate: true,
        ..ECHO
    },
    Case {
        name: "deflate-1k",
        title: "Compressed echo: 20 connections, 1 KiB of JSON, 4 messages on their way, no takeover",
        connections: 20,
        depth: 4,
        size: 1024,
        text: true,
        deflate: true,
        ..ECHO
    },
    Case {
        name: "deflate-16k",
        title: "Compressed echo: 20 connections, 16 KiB of JSON, 4 messages on their way, no takeover",
        connections: 20,
        depth: 4,
        size: 16 * 1024,
        text: true,
        deflate: true,
        ..ECHO
    },
    Case {
        name: "idle-5000",
        title: "Idle: 5,000 connections that say nothing",
        mode: Mode::Idle,
        connections: 5000,
        ..ECHO
    },
];

/// Those whose name contains one of `names`; all where there is none.
pub fn chosen(names: &[String]) -> Vec<Case> {
    let is_chosen = |case: &Case| {
        names.is_empty() || names.iter().any(|name| case.name.contains(name.as_str()))
    };
    CASES.into_iter().filter(is_chosen).collect()
}
