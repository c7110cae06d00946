//! The results of a run, for people and as JSON.

use core::fmt;
use core::time::Duration;

use serde::Serialize;

use crate::latency::Latencies;
use crate::options::{Mode, Options};
use crate::process::Usage;

/// The share of a core that counts as all of it: sampling, and other processes, take a few percent.
const BUSY: f64 = 0.95;

/// The number of cores waited for at which the machine counts as crowded: on an idle one, waking up
/// takes a few percent.
const CROWDED: f64 = 0.2;

/// What was measured.
pub(crate) struct Measured {
    pub(crate) time: Duration,
    /// What arrived: echoes, deliveries of a fan-out, handshakes.
    pub(crate) messages: u64,
    pub(crate) latencies: Latencies,
    pub(crate) generator: Option<Usage>,
    pub(crate) server: Option<Server>,
}

/// The same for the server's processes.
pub(crate) struct Server {
    pub(crate) pids: Vec<u32>,
    pub(crate) usage: Usage,
    /// Bytes before the first connection.
    pub(crate) resident_before: u64,
    /// Bytes at the end of the measurement.
    pub(crate) resident: u64,
}

/// The report of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    url: String,
    mode: Mode,
    connections: u64,
    depth: u64,
    size: usize,
    text: bool,
    deflate: bool,
    /// None without TLS.
    tls: Option<Tls>,
    rate: Option<u64>,
    /// Absent when a fault came before the measurement.
    #[serde(flatten)]
    results: Option<Results>,
    /// The fault that ended the run.
    pub(crate) error: Option<String>,
}

/// What TLS agreed on.
#[derive(Debug, Serialize)]
pub(crate) struct Tls {
    /// "1.2" or "1.3".
    pub(crate) version: &'static str,
    pub(crate) cipher_suite: &'static str,
    /// Whether the server's certificate was verified; with `--insecure` any is accepted.
    pub(crate) verified: bool,
}

#[derive(Debug, Serialize)]
struct Results {
    seconds: f64,
    messages: u64,
    messages_per_second: f64,
    /// Payload bytes of what arrived.
    bytes_per_second: f64,
    /// None if nothing arrived.
    latency_ns: Option<Percentiles>,
    generator: Option<Cpu>,
    server: Option<ServerResults>,
    bottleneck: Option<Bottleneck>,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    mean: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// Processor time.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cpu {
    /// None if nothing arrived, and for the generator with a rate.
    user_ns_per_message: Option<f64>,
    system_ns_per_message: Option<f64>,
    /// Cores used, on average.
    cores: f64,
    /// Cores waited for, on average: by threads that were ready to run.
    cores_waited: f64,
}

#[derive(Debug, Serialize)]
struct ServerResults {
    pids: Vec<u32>,
    #[serde(flatten)]
    cpu: Cpu,
    resident_bytes: u64,
    resident_bytes_before: u64,
    /// The memory that each connection added.
    resident_bytes_per_connection: f64,
}

/// Which side was the bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Bottleneck {
    Generator,
    Server,
    /// Both were busy all the time.
    Both,
    /// Both slept at times: the round trip bounds the rate, and a larger depth, or more
    /// connections, would raise it.
    Neither,
    /// Both waited for cores that other processes used.
    Machine,
    /// Not the generator; without --pid no more is known.
    NotGenerator,
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        tls: Option<Tls>,
        measured: Option<Measured>,
        error: Option<String>,
    ) -> Self {
        Self {
            url: options.url.clone(),
            mode: options.mode,
            connections: options.connections,
            depth: options.depth,
            size: options.size,
            text: options.text,
            deflate: options.deflate,
            tls,
            rate: options.rate.map(Into::into),
            results: measured.map(|measured| Results::new(options, measured)),
            error,
        }
    }
}

impl Results {
    fn new(options: &Options, measured: Measured) -> Self {
        let Measured {
            time,
            messages,
            latencies,
            generator,
            server,
        } = measured;
        let seconds = time.as_secs_f64().max(1e-9);
        let messages_per_second = messages as f64 / seconds;
        // With a rate it spins between messages, which isn't their cost.
        let generated = options.rate.map_or(messages, |_| 0);
        let generator = generator.map(|usage| Cpu::new(usage, seconds, generated));
        let server = server.map(|server| ServerResults {
            cpu: Cpu::new(server.usage, seconds, messages),
            pids: server.pids,
            resident_bytes: server.resident,
            resident_bytes_before: server.resident_before,
            resident_bytes_per_connection: (server.resident as f64 - server.resident_before as f64)
                / options.connections as f64,
        });
        let loads = options.mode != Mode::Idle && options.rate.is_none();
        let bottleneck = generator
            .filter(|_| loads)
            .map(|generator| Bottleneck::of(generator, server.as_ref().map(|it| it.cpu)));
        let payload = match options.mode {
            Mode::Echo | Mode::FanOut => options.size,
            Mode::Idle | Mode::Handshakes => 0,
        };
        Self {
            seconds,
            messages,
            messages_per_second,
            bytes_per_second: messages_per_second * payload as f64,
            latency_ns: (!latencies.is_empty()).then(|| Percentiles::new(&latencies)),
            generator,
            server,
            bottleneck,
        }
    }
}

impl Percentiles {
    fn new(latencies: &Latencies) -> Self {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let quantile = |share| nanoseconds(latencies.quantile(share));
        Self {
            mean: nanoseconds(latencies.mean()),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: nanoseconds(latencies.max()),
        }
    }
}

impl Cpu {
    fn new(usage: Usage, seconds: f64, messages: u64) -> Self {
        let per_message = |time: Duration| {
            let nanoseconds = time.as_nanos() as f64 / messages as f64;
            (messages > 0).then_some(nanoseconds)
        };
        Self {
            user_ns_per_message: per_message(usage.user),
            system_ns_per_message: per_message(usage.system),
            cores: (usage.user + usage.system).as_secs_f64() / seconds,
            cores_waited: usage.waiting.as_secs_f64() / seconds,
        }
    }

    /// Whether it ran, or would have run if it had got a core, all the time.
    fn is_busy(&self) -> bool {
        self.cores + self.cores_waited >= BUSY
    }
}

impl Bottleneck {
    fn of(generator: Cpu, server: Option<Cpu>) -> Self {
        let waited = generator.cores_waited + server.map_or(0.0, |it| it.cores_waited);
        match (generator.is_busy(), server.map(|it| it.is_busy())) {
            (false, None | Some(false)) if waited >= CROWDED => Self::Machine,
            (true, None | Some(false)) => Self::Generator,
            (true, Some(true)) => Self::Both,
            (false, Some(true)) => Self::Server,
            (false, Some(false)) => Self::Neither,
            (false, None) => Self::NotGenerator,
        }
    }
}

// ---- for people ---------------------------------------------------------------------------------

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_what(f)?;
        match &self.results {
            Some(results) => results.write(self, f),
            None => Ok(()),
        }
    }
}

impl Report {
    /// The settings of the run, in one line.
    fn write_what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.connections;
        write!(f, "{}: ", self.url)?;
        match self.mode {
            Mode::Idle => write!(f, "{connections} idle connections")?,
            Mode::Handshakes => write!(f, "handshakes, {connections} at a time")?,
            Mode::Echo => write!(f, "echo, {connections} connections")?,
            Mode::FanOut => write!(f, "fan-out to {connections} connections")?,
        }
        if matches!(self.mode, Mode::Echo | Mode::FanOut) {
            let kind = if self.text { "text" } else { "binary" };
            write!(f, ", {} B {kind}", self.size)?;
            match self.rate {
                Some(rate) => write!(f, ", {rate}/s")?,
                None => write!(f, ", depth {}", self.depth)?,
            }
            f.write_str(if self.deflate { ", deflate" } else { "" })?;
        }
        if let Some(tls) = &self.tls {
            write!(f, ", TLS {} with {}", tls.version, tls.cipher_suite)?;
            if !tls.verified {
                f.write_str(", the certificate not verified")?;
            }
        }
        writeln!(f)
    }
}

impl Results {
    fn write(&self, report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match report.mode {
            Mode::Echo => "messages",
            Mode::FanOut => "deliveries",
            Mode::Idle | Mode::Handshakes => "handshakes",
        };
        if report.mode != Mode::Idle {
            let (per_second, count) = (self.messages_per_second, self.messages);
            let time = self.seconds;
            writeln!(f, "  {what:<12}{per_second:.0}/s ({count} in {time:.2} s)")?;
        }
        if self.bytes_per_second > 0.0 {
            let megabytes = self.bytes_per_second / 1e6;
            writeln!(f, "  {:<12}{megabytes:.1} MB/s received", "payload")?;
        }
        if let Some(latency) = &self.latency_ns {
            let time = Duration::from_nanos;
            writeln!(
                f,
                "  {:<12}p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, max {:.1?}",
                "latency",
                time(latency.p50),
                time(latency.p90),
                time(latency.p99),
                time(latency.p999),
                time(latency.max),
            )?;
        }
        if let Some(cpu) = &self.generator {
            writeln!(f, "  {:<12}{cpu}", "generator")?;
        }
        if let Some(server) = &self.server {
            writeln!(f, "  {:<12}{}", "server", server.cpu)?;
            writeln!(
                f,
                "  {:<12}{:.1} MiB resident, {:.1} before the connections: {:.0} B for each",
                "",
                server.resident_bytes as f64 / f64::from(1 << 20),
                server.resident_bytes_before as f64 / f64::from(1 << 20),
                server.resident_bytes_per_connection,
            )?;
        }
        if let Some(bottleneck) = self.bottleneck {
            writeln!(f, "  {:<12}{bottleneck}", "bottleneck")?;
        }
        Ok(())
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = (self.user_ns_per_message, self.system_ns_per_message);
        if let (Some(user), Some(system)) = times {
            write!(f, "{user:.0} ns user and {system:.0} ns system for each, ")?;
        }
        write!(f, "{:.2} cores", self.cores)?;
        if self.cores_waited >= 0.01 {
            write!(f, " and {:.2} waited for", self.cores_waited)?;
        }
        Ok(())
    }
}

impl fmt::Display for Bottleneck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generator => {
                "the generator: the server may be faster; compare the processor time for each"
            }
            Self::Server => "the server",
            Self::Both => "both were busy all the time; the server may have cores to spare",
            Self::Neither => "neither: the round trip; more depth or connections would tell",
            Self::Machine => "this machine: other processes had the cores",
            Self::NotGenerator => "not the generator; --pid tells more",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(cores: f64, cores_waited: f64) -> Cpu {
        Cpu {
            user_ns_per_message: None,
            system_ns_per_message: None,
            cores,
            cores_waited,
        }
    }

    #[test]
    fn who_is_busy_is_the_bottleneck_also_where_it_waits_for_a_core() {
        let (busy, crowded, idle) = (cpu(0.97, 0.0), cpu(0.5, 0.46), cpu(0.9, 0.01));
        for (generator, server, expected) in [
            (busy, Some(idle), Bottleneck::Generator),
            (crowded, Some(idle), Bottleneck::Generator),
            (busy, None, Bottleneck::Generator),
            (idle, Some(busy), Bottleneck::Server),
            (idle, Some(crowded), Bottleneck::Server),
            (busy, Some(cpu(1.8, 0.0)), Bottleneck::Both),
            (idle, Some(idle), Bottleneck::Neither),
            (cpu(0.3, 0.4), Some(cpu(0.3, 0.5)), Bottleneck::Machine),
            (cpu(0.3, 0.4), None, Bottleneck::Machine),
            (idle, None, Bottleneck::NotGenerator),
        ] {
            assert_eq!(Bottleneck::of(generator, server), expected);
        }
    }

    #[test]
    fn processor_time_is_for_each_message() {
        let usage = Usage {
            user: Duration::from_millis(500),
            system: Duration::from_millis(1500),
            waiting: Duration::from_millis(200),
        };
        let cpu = Cpu::new(usage, 4.0, 1_000_000);
        assert_eq!(cpu.user_ns_per_message, Some(500.0));
        assert_eq!(cpu.system_ns_per_message, Some(1500.0));
        assert_eq!((cpu.cores, cpu.cores_waited), (0.5, 0.05));
        assert_eq!(Cpu::new(usage, 4.0, 0).user_ns_per_message, None);
    }
}
