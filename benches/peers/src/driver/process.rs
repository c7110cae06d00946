//! Building, starting and ending: every process is one that this started, and ends in time.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::CertifiedKey;

use crate::cases::Case;
use crate::peers::Peer;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The cores of the servers and of the generator.
const SERVER_CORE: &str = "1";
const ALL_CORES: &str = "0,1";
const GENERATOR_CORE: &str = "0";
/// A server has so long to listen.
const START: Duration = Duration::from_secs(20);
/// What the generator offers to servers with TLS, so that all use the same.
const CIPHER: &str = "TLS13_AES_128_GCM_SHA256";

/// Where everything is.
pub struct Setting {
    /// Of this package.
    pub source: PathBuf,
    /// `target/peers` of the crate: what is installed, and the results.
    pub output: PathBuf,
    /// The built binaries of this package.
    pub binaries: PathBuf,
    pub generator: PathBuf,
    pub certificate: Certificate,
}

/// Files of the servers with TLS, in PEM.
pub struct Certificate {
    /// Its own root.
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// A new one for 127.0.0.1, ECDSA on P-256.
    fn make(directory: &Path) -> Result<Self, Failure> {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let files = Self {
            cert: directory.join("cert.pem"),
            key: directory.join("key.pem"),
        };
        fs::write(&files.cert, cert.pem())?;
        fs::write(&files.key, signing_key.serialize_pem())?;
        Ok(files)
    }
}

impl Setting {
    /// Builds all that is needed, and installs the packages of npm.
    pub fn prepare(generator: Option<&Path>) -> Result<Self, Failure> {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let root = source.join("../..").canonicalize()?;
        let output = root.join("target/peers");
        let npm = output.join("npm");
        fs::create_dir_all(&npm)?;
        let lock = |directory: &Path| fs::read(directory.join("package-lock.json")).ok();
        let is_installed =
            npm.join("node_modules").exists() && lock(&npm) == lock(&source.join("npm"));
        for file in ["package.json", "package-lock.json", "bun.js", "ws.js"] {
            fs::copy(source.join("npm").join(file), npm.join(file))?;
        }

        // Wherever this program was built to: `target/release` of some directory.
        let own = std::env::current_exe()?;
        let binaries = own.parent().ok_or("no directory has this program")?;
        let built = binaries.parent().ok_or("no directory has its own")?;
        let cargo = |directory: &Path, target: &Path, arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO"));
            command.current_dir(directory);
            command.args(["build", "--release", "--locked"]);
            // Those that `cargo run` sets are of this package; build scripts would take them for a
            // change, and so rebuild.
            for (name, _) in std::env::vars() {
                if ["CARGO_PKG_", "CARGO_MANIFEST_"]
                    .iter()
                    .any(|it| name.starts_with(it))
                {
                    command.env_remove(name);
                }
            }
            command.args(arguments).arg("--target-dir").arg(target);
            command
        };
        finish(&mut cargo(&source, built, &["--bins"]))?;
        let generator = match generator {
            Some(path) => path.canonicalize()?,
            None => {
                let target = root.join("target");
                let what = ["--features", "cli,deflate,tls", "--bin", "sockeye"];
                finish(&mut cargo(&root, &target, &what))?;
                target.join("release/sockeye")
            }
        };
        if !is_installed {
            let mut install = Command::new("npm");
            install.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
            finish(install.current_dir(&npm))?;
        }
        Ok(Self {
            binaries: binaries.to_owned(),
            certificate: Certificate::make(&output)?,
            source,
            output,
            generator,
        })
    }
}

/// Runs it to its end.
fn finish(command: &mut Command) -> Result<(), Failure> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}").into()),
        Err(error) => Err(format!("{command:?}: {error}").into()),
    }
}

/// What a program prints when asked for its version.
pub fn output_of(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// On one core, with as many files as the system lets it have.
fn on_core(core: &str, program: &Path) -> Command {
    let mut command = Command::new("sh");
    let script = "ulimit -n \"$(ulimit -H -n)\"; exec taskset -c \"$0\" \"$@\"";
    command.args(["-c", script, core]).arg(program);
    command.stdin(Stdio::null());
    command
}

/// What measures itself there.
pub fn pin_to_server_core(program: &Path) -> Command {
    on_core(SERVER_CORE, program)
}

/// A server that listens.
pub struct Server {
    child: Child,
    pub address: String,
    /// The root of its certificate, where it has TLS.
    root: Option<PathBuf>,
}

impl Server {
    /// Starts it, on one core if it has one worker, and waits for the line that says where it
    /// listens.
    pub fn start(setting: &Setting, peer: &Peer, case: &Case) -> Result<Self, Failure> {
        let cores = match case.workers {
            1 => SERVER_CORE,
            _ => ALL_CORES,
        };
        let mut command = on_core(cores, &peer.program(setting, case));
        command.args(peer.arguments(setting, case).unwrap_or_default());
        command.stdout(Stdio::piped());
        command.stderr(Stdio::null());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let _ = sender.send(lines.next());
            // What it says later is read, so that it doesn't wait.
            lines.for_each(drop);
        });
        let mut server = Self {
            child,
            address: String::new(),
            root: case.tls.then(|| setting.certificate.cert.clone()),
        };
        let line = receiver.recv_timeout(START).ok().flatten();
        let address = line
            .as_deref()
            .and_then(|line| line.strip_prefix("listening on "));
        server.address = address.ok_or("it didn't listen")?.to_owned();
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What `sockeye bench` is told of it.
    pub fn target(&self) -> Vec<String> {
        match &self.root {
            Some(root) => vec![
                format!("wss://{}/", self.address),
                format!("--ca={}", root.display()),
                format!("--cipher={CIPHER}"),
            ],
            None => vec![format!("ws://{}/", self.address)],
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `sockeye bench` on the generator's core, and returns its report.
pub fn generate(
    setting: &Setting,
    arguments: &[String],
    timeout: Duration,
) -> Result<serde_json::Value, Failure> {
    let mut command = on_core(GENERATOR_CORE, &setting.generator);
    command.args(["bench", "--json"]).args(arguments);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let reader = thread::spawn(move || {
        let mut text = (String::new(), String::new());
        let _ = stdout.as_mut().map(|it| it.read_to_string(&mut text.0));
        let _ = stderr.as_mut().map(|it| it.read_to_string(&mut text.1));
        text
    });
    let deadline = Instant::now() + timeout;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err("it took too long".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let (stdout, stderr) = reader.join().map_err(|_| "no output")?;
    let report: serde_json::Value = serde_json::from_str(&stdout)
        .map_err(|_| stderr.lines().last().unwrap_or("no report").to_owned())?;
    match report["error"].as_str() {
        Some(error) => Err(error.into()),
        None => Ok(report),
    }
}
