//! What is fuzzed: the connection, its settings, and how its application behaves.

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Unstructured;
use sockeye::proto::{
    Accept, ClientHandshake, ClientRequest, Config, Connection, Delivery, Input, RandomSource,
    Received, Role, ServerHandshake, Url,
};

use crate::byte;
use crate::rle::Rle;

#[derive(Clone)]
pub(super) struct Setup {
    pub(super) role: Role,
    pub(super) config: Arc<Config>,
    /// This endpoint's Close is sent before anything arrives.
    pub(super) close_first: bool,
    /// What the application does with a message.
    pub(super) reaction: u8,
}

impl Setup {
    pub(super) fn read(u: &mut Unstructured<'_>, role: Role, flags: u8) -> Self {
        let mut config = Config::default();
        if flags & 2 != 0 {
            config.delivery = Delivery::Streamed;
        }
        if flags & 4 != 0 {
            config.extensions.push(Rle::shared());
        }
        if flags & 8 != 0 {
            config.fragment_size = Some(core::num::NonZeroUsize::MIN.saturating_add(20));
        }
        if flags & 16 != 0 {
            config.max_frame_size = Some(100);
        }
        if flags & 32 != 0 {
            config.idle_timeout = Some(Duration::from_secs(45));
        }
        match byte(u) {
            0 => {}
            some => config.max_message_size = usize::from(some - 1) * 4,
        }
        match byte(u) {
            0 => {}
            some => config.max_fragments = u32::from(some - 1),
        }
        Self {
            role,
            config: Arc::new(config),
            close_first: flags & 64 != 0,
            reaction: byte(u),
        }
    }

    pub(super) fn extended(&self) -> bool {
        !self.config.extensions.is_empty()
    }

    pub(super) fn connect(&self) -> Connection {
        let now = Duration::ZERO;
        let config = || Arc::clone(&self.config);
        if !self.extended() {
            return match self.role {
                Role::Server => Connection::server(config(), now),
                Role::Client => Connection::client(config(), random(), now),
            };
        }
        let (client, server) = connect_pair(config());
        match self.role {
            Role::Server => server,
            Role::Client => client,
        }
    }
}

/// No random at all: runs repeat.
fn random() -> Box<dyn RandomSource> {
    let mut count = 0x9e37_79b9_u32;
    Box::new(move |bytes: &mut [u8]| {
        for byte in bytes {
            count = count.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            *byte = (count >> 24) as u8;
        }
    })
}

/// A client and a server after their handshake, which is how an extension gets in.
fn connect_pair(config: Arc<Config>) -> (Connection, Connection) {
    let now = Duration::ZERO;
    let url = Url::parse("ws://localhost/").expect("a URL");
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut client = ClientHandshake::new(
        &url,
        &ClientRequest::default(),
        Arc::clone(&config),
        random(),
        &mut to_server,
        now,
    )
    .expect("a request");
    let server = ServerHandshake::new(config, now);
    let received = server.recv(&mut Input::new(&mut to_server), &mut to_client, now);
    let Ok(Received::Upgrade(upgrade)) = received else {
        panic!("{received:?}");
    };
    let server = upgrade
        .accept(&Accept::default(), &mut to_client, now)
        .expect("an upgrade");
    let client = client
        .recv(&mut Input::new(&mut to_client), now)
        .expect("a good response")
        .expect("a whole one");
    (client, server)
}
