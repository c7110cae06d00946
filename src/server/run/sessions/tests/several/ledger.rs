//! What was requested of the server, in the order of the calls, and what each connection therefore
//! has to hear: compared with what its client hears.
//!
//! The simulation has one thread, so the order of the calls is known. For each pair of a connection
//! and a topic only one thread subscribes and unsubscribes ([`Ledger::owner`]), so that the
//! beginning and the end of each subscription are known, too.

use super::*;

/// A message by its number: who requested it, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) thread: usize,
    pub(super) call: u64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// Refused, dropped (which the caller knows), or not yet decided: no client may hear it.
    Nothing,
    To(ConnectionId),
    Published(usize, u64),
}

/// What is published to a topic.
#[derive(Clone, Copy, Debug)]
struct Told {
    offset: u64,
    except: Option<ConnectionId>,
}

/// A topic, and all that was published to it.
pub(super) struct TopicLog {
    pub(super) name: String,
    pub(super) conflates: bool,
    /// How many of the last messages a new subscriber is sent.
    pub(super) keeps: usize,
    told: Vec<Told>,
    /// Which users are present, according to the announcements.
    pub(super) members: BTreeMap<String, String>,
}

/// The beginning and the end of a subscription.
#[derive(Debug)]
struct Segment {
    begin: u64,
    replay: Vec<u64>,
    /// The last offset that it may deliver, and whether it is certain to.
    end: Option<(u64, bool)>,
}

/// How much of what it is due in a topic a client has heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Ear {
    segment: usize,
    replay: usize,
    live: u64,
}

/// A connection.
#[derive(Default)]
pub(super) struct Conn {
    pub(super) opened: usize,
    pub(super) closed: usize,
    pub(super) ended: usize,
    /// Whether the application knows that something waits.
    pub(super) owes_drain: bool,
    /// Whether something may have been dropped, which its application knows.
    pub(super) lossy: bool,
    /// Whether it takes all that is written.
    keen: bool,
    pub(super) paused: bool,
    /// Whether a fragmented message is under way.
    pub(super) fragment: bool,
    pub(super) acts: usize,
    /// By thread: the messages sent to it alone.
    sent: BTreeMap<usize, Vec<usize>>,
    heard: BTreeMap<usize, usize>,
    /// By thread: the last call that it heard of.
    last: BTreeMap<usize, u64>,
    segments: BTreeMap<usize, Vec<Segment>>,
    /// By topic: there may be several ways to interpret what came.
    ears: BTreeMap<usize, Vec<Ear>>,
}

pub(super) struct Ledger {
    calls: u64,
    asked: Vec<Asked>,
    pub(super) topics: Vec<TopicLog>,
    pub(super) connections: BTreeMap<ConnectionId, Conn>,
    /// Which of the connections take all that is written.
    pub(super) keen: BTreeMap<ConnectionId, bool>,
    pub(super) workers: usize,
    pub(super) threads: usize,
    /// How much may wait for a connection, if that is little.
    pub(super) tight: Option<usize>,
    /// Whether no client may pause any more, nor begin a fragmented message.
    pub(super) rests: bool,
    /// Bytes of commands that are added in any case.
    pub(super) forced: usize,
    /// How many reports of connections have come, and are due.
    pub(super) reports: (usize, usize),
    pub(super) seen: Seen,
}

/// The longest message in a run in which little may wait.
pub(super) const SHORT: usize = 900;

impl TopicLog {
    pub(super) fn new(name: &str, keeps: usize, conflates: bool) -> Self {
        Self {
            name: name.into(),
            conflates,
            keeps,
            told: Vec::new(),
            members: BTreeMap::new(),
        }
    }

    fn last(&self) -> u64 {
        self.told.last().map_or(0, |it| it.offset)
    }

    /// Returns what is published behind `from` and up to `to`.
    fn between(&self, from: u64, to: u64) -> &[Told] {
        let begin = self.told.partition_point(|it| it.offset <= from);
        let end = self.told.partition_point(|it| it.offset <= to);
        &self.told[begin..end.max(begin)]
    }

    pub(super) fn offsets_behind(&self, from: u64) -> Vec<u64> {
        let told = self.between(from, u64::MAX);
        told.iter().map(|it| it.offset).collect()
    }
}

impl Segment {
    /// Returns what it is still due behind an offset.
    fn live<'t>(
        &self,
        log: &'t TopicLog,
        behind: u64,
        me: ConnectionId,
    ) -> impl Iterator<Item = u64> + 't {
        let to = self.end.map_or(u64::MAX, |(to, _)| to);
        let told = log.between(behind.max(self.begin), to).iter();
        told.filter(move |it| it.except != Some(me))
            .map(|it| it.offset)
    }
}

impl Ledger {
    pub(super) fn new(workers: usize, threads: usize, topics: Vec<TopicLog>) -> Self {
        Self {
            calls: 0,
            asked: Vec::new(),
            topics,
            connections: BTreeMap::new(),
            keen: BTreeMap::new(),
            workers,
            threads,
            tight: None,
            rests: false,
            forced: 0,
            reports: (0, 0),
            seen: Seen::default(),
        }
    }

    /// Returns who subscribes this connection to this topic: mostly its own worker's handlers.
    pub(super) fn owner(&self, id: ConnectionId, topic: usize) -> usize {
        let mut random = Random(id.to_u64() << 8 | topic as u64);
        match random.one_in(2) {
            true => id.worker(),
            false => random.below(self.workers + self.threads),
        }
    }

    /// Returns one of the latest connections.
    pub(super) fn pick(&self, random: &mut Random) -> Option<ConnectionId> {
        let open = self.connections.iter().filter(|(_, it)| it.closed == 0);
        let open: Vec<ConnectionId> = open.map(|(id, _)| *id).collect();
        (!open.is_empty()).then(|| open[random.below(open.len())])
    }

    pub(super) fn conn(&mut self, id: ConnectionId) -> &mut Conn {
        let keen = self.keen.get(&id).copied().unwrap_or(false);
        self.connections.entry(id).or_insert_with(|| Conn {
            keen,
            ..Conn::default()
        })
    }

    /// Notes that a call of this thread begins.
    pub(super) fn call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    /// The same for a call with a message, which has this number.
    pub(super) fn message(&mut self, thread: usize) -> usize {
        let call = self.call();
        self.asked.push(Asked {
            thread,
            call,
            what: What::Nothing,
        });
        self.asked.len() - 1
    }

    // ---- what the server returned
    // ----------------------------------------------------------------

    pub(super) fn sent(&mut self, message: usize, to: ConnectionId) {
        self.asked[message].what = What::To(to);
        let thread = self.asked[message].thread;
        let sent = self.conn(to).sent.entry(thread).or_default();
        sent.push(message);
    }

    pub(super) fn published(
        &mut self,
        message: usize,
        topic: usize,
        offset: u64,
        except: Option<ConnectionId>,
    ) {
        let log = &mut self.topics[topic];
        assert!(offset > log.last(), "two have the same place");
        log.told.push(Told { offset, except });
        self.asked[message].what = What::Published(topic, offset);
    }

    pub(super) fn is_subscribed(&self, id: ConnectionId, topic: usize) -> bool {
        let conn = self.connections.get(&id);
        let segments = conn.and_then(|it| it.segments.get(&topic)?.last());
        segments.is_some_and(|it| it.end.is_none())
    }

    pub(super) fn subscribed(&mut self, id: ConnectionId, topic: usize, begin: u64) {
        if self.is_subscribed(id, topic) {
            return;
        }
        let log = &self.topics[topic];
        assert!(begin >= log.last(), "it begins in the past");
        let kept = log.told.len().saturating_sub(log.keeps);
        let replay = log.told[kept..].iter().map(|it| it.offset).collect();
        // The kept messages may be more than may wait.
        let lossy = self.tight.is_some() && log.keeps > 0;
        let conn = self.conn(id);
        conn.lossy |= lossy;
        let segments = conn.segments.entry(topic).or_default();
        segments.push(Segment {
            begin,
            replay,
            end: None,
        });
    }

    /// The subscription ends behind all that is published; `surely` if that is still delivered.
    pub(super) fn unsubscribed(&mut self, id: ConnectionId, topic: usize, surely: bool) {
        let last = self.topics[topic].last();
        let segments = self.conn(id).segments.get_mut(&topic);
        if let Some(segment) = segments.and_then(|it| it.last_mut()) {
            segment.end.get_or_insert((last, surely));
        }
    }

    // ---- what clients hear ----------------------------------------------------------------------

    fn is_strict(&self, conn: &Conn) -> bool {
        self.is_strict_if(conn.keen, conn.lossy)
    }

    fn is_strict_if(&self, keen: bool, lossy: bool) -> bool {
        !lossy && (self.tight.is_none() || keen)
    }

    fn is_strict_in(&self, conn: &Conn, log: &TopicLog) -> bool {
        self.is_strict(conn) && !log.conflates
    }

    /// Checks that a client that hears this message is due to it, and that it is next.
    pub(super) fn hear(&mut self, id: ConnectionId, message: usize, offset: u64) {
        let asked = self.asked[message];
        let mut conn = self.connections.remove(&id).unwrap();
        let mut kept = false;
        match asked.what {
            What::Nothing => panic!("{id:?} heard {message}, which was refused: {asked:?}"),
            What::To(to) => {
                assert_eq!(to, id, "heard what is another's");
                let sent = &conn.sent[&asked.thread];
                let at = conn.heard.entry(asked.thread).or_default();
                let behind = sent[*at..].iter().position(|it| *it == message);
                let behind =
                    behind.unwrap_or_else(|| panic!("{id:?} heard {message} twice or late"));
                assert!(
                    behind == 0 || !self.is_strict_if(conn.keen, conn.lossy),
                    "{id:?} missed {:?} before {asked:?}",
                    &sent[*at..*at + behind]
                );
                *at += behind + 1;
            }
            What::Published(topic, at) => {
                assert!(offset == 0 || offset == at, "told another place");
                let log = &self.topics[topic];
                let strict = self.is_strict_in(&conn, log);
                let segments = conn.segments.get(&topic);
                let segments = segments.map_or(&[][..], |it| it);
                let ears = conn
                    .ears
                    .entry(topic)
                    .or_insert_with(|| vec![Ear::default()]);
                let mut next = Vec::new();
                for ear in &*ears {
                    kept |= ear.take(log, segments, (id, at), strict, &mut next);
                }
                next.sort_unstable();
                next.dedup();
                if next.is_empty() {
                    let told = log.between(at - 9.min(at), at);
                    let name = &log.name;
                    panic!(
                        "{id:?} heard {asked:?} of {name}, not due or not next: {segments:?} \
                         {ears:?} of {told:?}"
                    );
                }
                *ears = next;
            }
        }
        self.seen.replayed += u64::from(kept);
        // Kept messages come with the subscription, whenever they were published.
        if !kept {
            let last = conn.last.entry(asked.thread).or_default();
            assert!(*last <= asked.call, "{id:?} heard {asked:?} behind {last}");
            *last = asked.call;
        }
        self.connections.insert(id, conn);
    }

    /// A client was told that its connection is closed, by this call of that thread.
    pub(super) fn hear_close(&mut self, id: ConnectionId, thread: usize, call: u64) {
        let conn = &self.connections[&id];
        assert!(
            conn.last.get(&thread).is_none_or(|it| *it < call),
            "said after it closed"
        );
        if !self.is_strict(conn) || conn.fragment {
            return;
        }
        let sent = conn.sent.get(&thread).map_or(&[][..], |it| it);
        let heard = conn.heard.get(&thread).copied().unwrap_or(0);
        let missed = sent[heard..].iter().find(|it| self.asked[**it].call < call);
        assert!(missed.is_none(), "{id:?} was closed before {missed:?}");
        self.seen.closed += 1;
    }

    /// Nothing is under way: what was due to an open connection has come.
    pub(super) fn check_complete(&mut self, id: ConnectionId) {
        let conn = &self.connections[&id];
        assert!(!conn.owes_drain, "{id:?} waits for on_drain");
        if !self.is_strict(conn) {
            return;
        }
        for (thread, sent) in &conn.sent {
            let heard = conn.heard.get(thread).copied().unwrap_or(0);
            assert_eq!(heard, sent.len(), "{id:?} of thread {thread}: {sent:?}");
        }
        for (topic, segments) in &conn.segments {
            let log = &self.topics[*topic];
            let start = vec![Ear::default()];
            let ears = conn.ears.get(topic).unwrap_or(&start);
            let last = segments.len() - 1;
            if self.is_strict_in(conn, log) {
                let misses = ears.iter().all(|it| it.misses(log, segments, id));
                let name = &log.name;
                assert!(
                    !misses,
                    "{id:?} missed some of {name}: {segments:?} {ears:?}"
                );
            } else if log.conflates {
                // The latest message always comes.
                let latest = segments[last].live(log, 0, id).last();
                let came = latest.is_none_or(|it| {
                    segments[last].end.is_some() || ears.iter().any(|ear| ear.live == it)
                });
                let name = &log.name;
                assert!(
                    came,
                    "{id:?} missed the latest of {name}: {segments:?} {ears:?}"
                );
            }
        }
        self.seen.complete += 1;
    }
}

impl Ear {
    /// Takes the next message, in each way in which it may be meant: as a kept message of a
    /// subscription, or as a live one. Adds the resulting positions, and whether one of them takes
    /// it as kept.
    fn take(
        mut self,
        log: &TopicLog,
        segments: &[Segment],
        (me, offset): (ConnectionId, u64),
        strict: bool,
        next: &mut Vec<Self>,
    ) -> bool {
        let (mut kept, most) = (false, if strict { 1 } else { usize::MAX });
        while let Some(segment) = segments.get(self.segment) {
            let rest = &segment.replay[self.replay..];
            if let Some(at) = rest.iter().take(most).position(|it| *it == offset) {
                kept = true;
                next.push(Self {
                    replay: self.replay + at + 1,
                    ..self
                });
            }
            if rest.is_empty() || !strict {
                let mut live = segment.live(log, self.live, me).take(most);
                if live.any(|it| it == offset) {
                    next.push(Self {
                        segment: self.segment,
                        replay: segment.replay.len(),
                        live: offset,
                    });
                }
            }
            if strict && self.owed(segment, log, me) {
                break;
            }
            (self.segment, self.replay) = (self.segment + 1, 0);
        }
        kept
    }

    /// Returns whether the subscription that it has come to is still certain to deliver something.
    fn owed(&self, segment: &Segment, log: &TopicLog, me: ConnectionId) -> bool {
        let surely = segment.end.is_none_or(|(_, surely)| surely);
        let live = || segment.live(log, self.live, me).next().is_some();
        self.replay < segment.replay.len() || surely && live()
    }

    /// Returns whether a later subscription is.
    fn misses(mut self, log: &TopicLog, segments: &[Segment], me: ConnectionId) -> bool {
        while let Some(segment) = segments.get(self.segment) {
            if self.owed(segment, log, me) {
                return true;
            }
            (self.segment, self.replay) = (self.segment + 1, 0);
        }
        false
    }
}
