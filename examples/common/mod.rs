//! What the applications among the examples share: options, pages, and running until told to stop.
#![allow(dead_code, reason = "each example uses a part of it")]

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sockeye::server::{Builder, HttpResponse, Request, Server, json};

/// Options and their values, as given or by default.
pub(crate) struct Options(Vec<(&'static str, String)>);

impl Options {
    /// Reads the program's arguments; `known` names the options with their defaults. `--help` shows
    /// these and ends the program.
    pub(crate) fn read(known: &[(&'static str, &str)]) -> Result<Self, String> {
        let known = known.iter().map(|&(name, value)| (name, value.to_owned()));
        let mut options: Vec<_> = known.collect();
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            if name == "--help" {
                println!("Options, each with a value, and their defaults:");
                for (name, value) in &options {
                    println!("  {name} {value}");
                }
                std::process::exit(0);
            }
            let Some(option) = options.iter_mut().find(|(known, _)| *known == name) else {
                let known: Vec<_> = options.iter().map(|(known, _)| *known).collect();
                return Err(format!("{name}: unknown; there are {}", known.join(", ")));
            };
            option.1 = arguments.next().ok_or(format!("{name} needs a value"))?;
        }
        Ok(Self(options))
    }

    /// The value of an option that was named as known; else empty.
    pub(crate) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64, String> {
        let value = self.text(name);
        value
            .parse()
            .map_err(|_| format!("{name} {value}: not a number"))
    }
}

/// A page. Its policy lets it load nothing from elsewhere and run nothing that isn't a file of its
/// own, so that an injected element could do nothing and send nothing.
pub(crate) fn page(
    html: &'static str,
) -> impl Fn(&Request<'_>) -> HttpResponse + Send + Sync + 'static {
    const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src \
        'self'; img-src data:; connect-src 'self' ws: wss:; form-action 'self'; base-uri 'none'; \
        frame-ancestors 'none'";
    let html = HttpResponse::html(html).with_header("Content-Security-Policy", POLICY);
    file(html.with_header("Cross-Origin-Opener-Policy", "same-origin"))
}

pub(crate) fn script(
    text: &'static str,
) -> impl Fn(&Request<'_>) -> HttpResponse + Send + Sync + 'static {
    file(HttpResponse::new("text/javascript; charset=utf-8", text))
}

pub(crate) fn style(
    text: &'static str,
) -> impl Fn(&Request<'_>) -> HttpResponse + Send + Sync + 'static {
    file(HttpResponse::new("text/css; charset=utf-8", text))
}

/// Answers with a file. Pages and their workers are isolated from other sites', and so may sleep.
fn file(response: HttpResponse) -> impl Fn(&Request<'_>) -> HttpResponse + Send + Sync + 'static {
    let response = response
        .with_header("X-Content-Type-Options", "nosniff")
        .with_header("Cross-Origin-Embedder-Policy", "require-corp")
        .with_header("Cache-Control", "no-cache");
    move |_: &Request<'_>| response.clone()
}

/// A server with the files that all pages load.
pub(crate) fn builder() -> Builder {
    Server::builder()
        .get("/sockeye.js", script(json::BROWSER_CLIENT))
        .get("/common.js", script(include_str!("common.js")))
        .get("/common.css", style(include_str!("common.css")))
        .get("/theme.js", script(include_str!("theme.js")))
}

/// Listens, says where, and serves until SIGINT or SIGTERM; then everyone who is connected is sent
/// a Close. `start` is called once it listens.
pub(crate) fn serve(
    builder: Builder,
    listen: &str,
    start: impl FnOnce(&Server),
) -> Result<(), Box<dyn Error>> {
    #[cfg(unix)]
    let builder = builder.signals();
    let server = builder.listen(listen)?;
    println!("listening on {}", server.local_addr());
    start(&server);
    server.run()?;
    Ok(())
}

/// The program's exit code; what went wrong goes to standard error.
pub(crate) fn exit(name: &str, result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The time since 1970.
pub(crate) fn unix_time() -> Duration {
    #[allow(clippy::disallowed_methods, reason = "the examples' one clock")]
    let now = SystemTime::now();
    // A clock before 1970 is wrong in any case.
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The same in whole milliseconds, as JavaScript counts.
pub(crate) fn unix_millis() -> u64 {
    u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX)
}
