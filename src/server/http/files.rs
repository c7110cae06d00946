//! A folder whose files plain requests get.
//!
//! Owns what is set for a folder, its paths, and the threads that read. Which file a path means is in
//! `path`, what of it a request gets, by its conditions and its range, in `select`.

mod path;
mod select;

use std::boxed::Box;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::string::String;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::vec::Vec;
use std::{format, vec};

use self::path::{Found, find};
use self::select::{Conditions, Content, Selected, Validators};
use super::answer::Reply;
use super::methods::Methods;
use super::response::HttpResponse;
use crate::server::build_error::BuildError;
use crate::server::sync::{Mutex, lock};

/// The threads that read for one folder: enough that a slow disk holds up a few files and not all.
const READERS: usize = 4;

/// The parameter of the path that is the file; nobody else's has such a name.
const FILE: &str = "sockeye file";

/// A folder whose files plain GET and HEAD requests get, for
/// [`Builder::files`](crate::server::Builder::files).
///
/// Each file has its media type by the ending of its name, an `ETag` and `Last-Modified`; what a
/// browser has already is a 304, and a single range of bytes is a 206 (RFC 9110 sections 13 and
/// 14). `index.html` stands for its folder. A path reaches nothing outside the folder, also
/// through links, nothing whose name begins with a dot, and no devices or pipes.
///
/// Files are read on threads of their own, never on a worker's. A response is kept whole until the
/// client has taken it, so that a client costs at most [`max_file`](Self::max_file).
///
/// ```no_run
/// use std::time::Duration;
/// use sockeye::server::Server;
/// use sockeye::server::http::Files;
///
/// let server = Server::builder()
///     .files("/", Files::new("site"))
///     .files("/assets", Files::new("assets").max_age(Duration::from_secs(86_400)));
/// # let _ = server;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Files {
    folder: PathBuf,
    max_age: Option<Duration>,
    max_file: u64,
    public: bool,
}

impl Files {
    /// Takes the files of this folder and those below it, as they are when they are asked for. If it
    /// isn't there, [`listen`](crate::server::Builder::listen) fails.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            max_age: None,
            max_file: 16 * 1024 * 1024,
            public: false,
        }
    }

    /// Sets for how long a browser may use a file without asking again, in whole seconds.
    ///
    /// Default not at all (`Cache-Control: no-cache`): it asks each time, and gets a 304 for what it
    /// has. Right for files whose names change with their content is a year.
    pub fn max_age(self, age: Duration) -> Self {
        Self {
            max_age: Some(age),
            ..self
        }
    }

    /// Sets the most bytes of a file that a response has. A longer file can be had in ranges, each
    /// cut to this length, as a browser asks for video; a request for all of it is a 403.
    ///
    /// Default 16 MiB, what may wait for a WebSocket connection.
    pub fn max_file(self, bytes: u64) -> Self {
        Self {
            max_file: bytes,
            ..self
        }
    }

    /// Leaves the [server's guards](crate::server::Builder::guard) out.
    pub fn public(self) -> Self {
        Self {
            public: true,
            ..self
        }
    }

    /// Returns the paths at which this folder stands, with their handlers.
    ///
    /// # Errors
    /// The folder isn't there.
    pub(in crate::server) fn into_methods(
        self,
        path: &str,
    ) -> Result<impl Iterator<Item = (String, Methods)>, BuildError> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let public = self.public;
        let folder = Arc::new(Folder::new(self)?);
        let mut paths = vec![format!("{path}/"), format!("{path}/{{*{FILE}}}")];
        if !path.is_empty() {
            paths.push(path.into());
        }
        Ok(paths.into_iter().map(move |path| {
            let (folder, at_slash) = (Arc::clone(&folder), path.ends_with('/'));
            let methods = Methods::new().defer("GET", move |request, reply| {
                let below = match request.raw_param(FILE) {
                    Some(file) => format!("/{file}"),
                    None if at_slash => "/".into(),
                    None => String::new(),
                };
                folder.ask(Asked {
                    path: request.path().into(),
                    below,
                    query: request.query().map(Into::into),
                    conditions: Conditions::of(request),
                    reply,
                });
            });
            match public {
                true => (path, methods.public()),
                false => (path, methods),
            }
        }))
    }
}

/// A request on its way to a reader.
struct Asked {
    path: Box<str>,
    /// What of it is below the folder, percent-encoded: empty, or with a slash in front.
    below: String,
    query: Option<Box<str>>,
    conditions: Conditions,
    reply: Reply,
}

/// A folder while the server runs. Its readers end with it.
struct Folder {
    asked: Sender<Asked>,
    /// What the readers begin with; None once they run.
    readers: Mutex<Option<(Arc<Reader>, Receiver<Asked>)>>,
}

impl Folder {
    fn new(files: Files) -> Result<Self, BuildError> {
        // What links lead to is compared with it.
        let canonical = files.folder.canonicalize();
        let root = canonical.and_then(|root| match root.is_dir() {
            true => Ok(root),
            false => Err(io::ErrorKind::NotADirectory.into()),
        });
        let root = root.map_err(|error| BuildError::Folder {
            path: files.folder.as_path().into(),
            error,
        })?;
        let cache = match files.max_age {
            Some(age) => format!("max-age={}", age.as_secs()),
            None => "no-cache".into(),
        };
        let (asked, waiting) = channel();
        let reader = Arc::new(Reader {
            root,
            cache,
            max_file: files.max_file,
        });
        Ok(Self {
            asked,
            readers: Mutex::new(Some((reader, waiting))),
        })
    }

    /// Gives a request to the readers. If none can be started it is answered with 500, as by each
    /// reply that is dropped.
    fn ask(&self, asked: Asked) {
        if let Some((reader, waiting)) = lock(&self.readers).take() {
            let waiting = Arc::new(Mutex::new(waiting));
            for _ in 0..READERS {
                let (reader, waiting) = (Arc::clone(&reader), Arc::clone(&waiting));
                let named = thread::Builder::new().name("sockeye files".into());
                let _ = named.spawn(move || reader.run(&waiting));
            }
        }
        let _ = self.asked.send(asked);
    }
}

struct Reader {
    root: PathBuf,
    /// The value of `Cache-Control`.
    cache: String,
    max_file: u64,
}

impl Reader {
    fn run(&self, waiting: &Mutex<Receiver<Asked>>) {
        loop {
            let next = lock(waiting).recv();
            let Ok(asked) = next else { return };
            // Of a client that has gone nothing is read.
            if asked.reply.is_awaited() {
                let response = self.response(&asked);
                asked.reply.send(response);
            }
        }
    }

    fn response(&self, asked: &Asked) -> HttpResponse {
        match find(&self.root, &asked.below) {
            Ok(Found::File(path)) => match self.read(&path, &asked.conditions) {
                Ok(response) => response,
                Err(error) => failed(&error),
            },
            // Relative links of its index would lead to the folder above.
            Ok(Found::NoSlash) => {
                let query = asked.query.as_ref().map(|it| format!("?{it}"));
                let target = format!("{}/{}", asked.path, query.unwrap_or_default());
                HttpResponse::status(308).with_header("Location", target)
            }
            Ok(Found::Nothing) => nothing(),
            Err(error) => failed(&error),
        }
    }

    fn read(&self, path: &Path, conditions: &Conditions) -> io::Result<HttpResponse> {
        let mut file = File::open(path)?;
        let about = file.metadata()?;
        let content = Content {
            length: about.len(),
            max: self.max_file,
            validators: Validators::new(about.len(), about.modified().ok()),
        };
        let (status, from, length) = match conditions.select(&content) {
            Selected::Whole => (200, 0, content.length),
            Selected::Range { from, length } => (206, from, length),
            Selected::NotModified => return Ok(self.described(304, path, &content)),
            Selected::Unsatisfiable => {
                let range = format!("bytes */{}", content.length);
                return Ok(HttpResponse::status(416).with_header("Content-Range", range));
            }
            Selected::Failed => return Ok(HttpResponse::status(412)),
            Selected::TooLong => {
                let text = "the file is too long to be had at once; ask for a range";
                let response = HttpResponse::text(text).with_status(403);
                return Ok(response.with_header("Accept-Ranges", "bytes"));
            }
        };
        let mut response = self.described(status, path, &content);
        if status == 206 {
            let last = from + length - 1;
            let range = format!("bytes {from}-{last}/{}", content.length);
            response = response.with_header("Content-Range", range);
        }
        // It is at most `max_file`, or only its length is sent.
        let count = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        response.body = match conditions.is_head() {
            true => vec![0; count],
            false => {
                file.seek(SeekFrom::Start(from))?;
                let mut body = Vec::with_capacity(count);
                file.take(length).read_to_end(&mut body)?;
                if body.len() != count {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                body
            }
        };
        Ok(response)
    }

    /// Returns the response without its content.
    fn described(&self, status: u16, path: &Path, content: &Content) -> HttpResponse {
        let mut response = HttpResponse::status(status)
            .with_header("Cache-Control", self.cache.as_str())
            .with_header("ETag", content.validators.etag.as_str());
        if let Some(modified) = content.validators.modified {
            let date = httpdate::fmt_http_date(modified);
            response = response.with_header("Last-Modified", date);
        }
        if status != 304 {
            response = response
                .with_header("Content-Type", media_type(path))
                .with_header("X-Content-Type-Options", "nosniff")
                .with_header("Accept-Ranges", "bytes");
        }
        response
    }
}

/// What can't be opened is as good as not there, so that nothing is told of what is.
fn failed(error: &io::Error) -> HttpResponse {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};

    match error.kind() {
        NotFound | NotADirectory | PermissionDenied | InvalidFilename => nothing(),
        _ => HttpResponse::text("the file can't be read").with_status(500),
    }
}

fn nothing() -> HttpResponse {
    HttpResponse::text("there is nothing at this path").with_status(404)
}

/// Returns the media type by the ending of the name; texts are taken to be UTF-8.
fn media_type(path: &Path) -> String {
    let guessed = mime_guess::from_path(path).first_or_octet_stream();
    let essence = guessed.essence_str();
    let is_text = essence.starts_with("text/") || essence.ends_with("/javascript");
    match is_text {
        true => format!("{essence}; charset=utf-8"),
        false => essence.into(),
    }
}

/// Returns the validators' form of a time: whole seconds, as HTTP has them.
fn whole_seconds(time: SystemTime) -> SystemTime {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => UNIX_EPOCH + Duration::from_secs(since.as_secs()),
        Err(_) => UNIX_EPOCH,
    }
}
