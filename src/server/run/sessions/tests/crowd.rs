//! Many clients of one worker, each controlled by the test.

use super::*;

pub(super) struct Crowd {
    pub(super) sessions: Sessions<Sim>,
    pub(super) app: App,
    pub(super) clients: Vec<Client>,
}

impl Crowd {
    /// Creates this many, all open and subscribed to `t0`.
    pub(super) fn new(count: usize, builder: crate::server::Builder) -> Self {
        let app = App::default();
        let builder = builder.observer(app.clone()).route("/now", app.clone());
        let Parts { shared, endpoints } = builder.parts(vec![None]).unwrap();
        let mut crowd = Self {
            sessions: Sessions::new(Arc::clone(&shared), endpoints, 0, Duration::ZERO),
            app,
            clients: Vec::new(),
        };
        for number in 0..count {
            let sim = Sim::default();
            sim.0.borrow_mut().room = usize::MAX;
            let mut client = Client::new(number, sim.clone(), number as u64);
            client.say("subscribe", 0, 0);
            shared.take_in(0);
            let permit = shared.connections.admit().unwrap();
            let (peer, token) = (([127, 0, 0, 1], 1).into(), &mut client.token);
            crowd.sessions.insert(sim, peer, permit, |_, it| {
                *token = Some(it);
                true
            });
            crowd.clients.push(client);
        }
        crowd.read_all(Duration::ZERO);
        for client in &mut crowd.clients {
            client.listen();
        }
        assert_eq!(shared.directory.count("/now t0"), count);
        crowd
    }

    /// Delivers and reads all that the clients have sent.
    pub(super) fn read_all(&mut self, now: Duration) {
        for number in 0..self.clients.len() {
            self.read(number, now);
        }
    }

    /// Delivers and reads what the client has sent.
    pub(super) fn read(&mut self, number: usize, now: Duration) {
        let client = &self.clients[number];
        let token = client.token.unwrap();
        let (readable, ended) = client.wire(|wire| {
            let left = wire.input.len();
            wire.arrive(left);
            (wire.read < left || wire.fin, wire.fin)
        });
        if readable {
            self.sessions.at(now).ready(token, true, ended);
        }
    }
}
