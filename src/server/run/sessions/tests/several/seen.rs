//! What the simulation of several workers has reached.

/// What the schedules reached, so that a test that tests nothing fails.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Calls that found an inbox full.
    pub(super) refused: u64,
    /// Sessions that were not read from, since they published too fast.
    pub(super) throttled: u64,
    /// Turns that ended with a closed gate.
    pub(super) gates: u64,
    /// Turns that ended within a message's deliveries.
    pub(super) partial: u64,
    /// Calls of a socket after calls of a handle on the same thread.
    pub(super) caught_up: u64,
    /// Upgrades that were decided later.
    pub(super) deferred: u64,
    pub(super) drains: u64,
    pub(super) replayed: u64,
    pub(super) announced: u64,
    /// Turns that a worker missed.
    pub(super) blocked: u64,
    /// Connections that heard all that they were due; below, those of them that a handle closed.
    pub(super) complete: u64,
    pub(super) closed: u64,
    pub(super) deflated: u64,
    /// Offsets that `history_since` returned.
    pub(super) since: u64,
}

impl Seen {
    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            refused,
            throttled,
            gates,
            partial,
            caught_up,
            deferred,
            drains,
            replayed,
            announced,
            blocked,
            complete,
            closed,
            deflated,
            since,
        } = other;
        self.refused += refused;
        self.throttled += throttled;
        self.gates += gates;
        self.partial += partial;
        self.caught_up += caught_up;
        self.deferred += deferred;
        self.drains += drains;
        self.replayed += replayed;
        self.announced += announced;
        self.blocked += blocked;
        self.complete += complete;
        self.closed += closed;
        self.deflated += deflated;
        self.since += since;
    }

    pub(super) fn all(&self) -> [u64; 14] {
        [
            self.refused,
            self.throttled,
            self.gates,
            self.partial,
            self.caught_up,
            self.deferred,
            self.drains,
            self.replayed,
            self.announced,
            self.blocked,
            self.complete,
            self.closed,
            self.deflated,
            self.since,
        ]
    }
}
