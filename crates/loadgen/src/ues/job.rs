//! One exchange, from its first request to its last answer.

use super::text::{Dialog, Sender};
use super::{Action, CLOCKS, GIVE_UP, HOLD, Outbox, Ues};
use crate::plan::Work;
use crate::series::End;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use sip::{HeaderId, Limits, Message, Method};
use wire::Instant;
use wire::bytes_class::push_decimal;

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The answer to the first request.
    First,
    /// The answer to the REGISTER with credentials.
    Proved,
    /// The time to hang up.
    Held,
    /// The answer to BYE.
    Bye,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) user: usize,
    pub(super) due: Instant,
    pub(super) generation: u32,
    pub(super) step: Step,
    /// Registers before the load.
    pub(super) setup: bool,
    cseq: u32,
    /// What to send again over UDP until an answer comes.
    request: Vec<u8>,
    sends: u8,
    dialog: Option<Box<Dialog>>,
}

impl Ues {
    pub(super) fn begin_job(
        &mut self,
        user: usize,
        work: Work,
        due: Instant,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.generation = self.generation.wrapping_add(1);
        let job = Job {
            work,
            user,
            due,
            generation: self.generation,
            step: Step::First,
            setup: self.phase == super::Phase::Setup,
            cseq: 1,
            request: Vec::new(),
            sends: 0,
            dialog: None,
        };
        self.users[user].busy += 1;
        let slot = self.jobs.insert(job);
        self.clocks[GIVE_UP].push_back((now + CLOCKS[GIVE_UP], slot, self.generation));
        match work {
            Work::Connect => {
                let conn = self.plan.connections.saturating_add(u32::try_from(slot).unwrap_or(u32::MAX));
                out.actions.push(Action::Open(conn));
            }
            Work::Register | Work::Refresh => {
                let uri = format!("sip:{}", self.plan.domain);
                let known = (work == Work::Refresh)
                    .then(|| self.users[user].authenticator.unasked("REGISTER", &uri))
                    .flatten();
                self.send_register(slot, known.as_deref().unwrap_or(""), now, out);
            }
            Work::Message => {
                let (peer, length) = (self.peer_of(user), self.plan.text_bytes);
                self.send(slot, now, out, |sender, out| sender.message(peer, length, out));
            }
            Work::Call => {
                let peer = self.peer_of(user);
                self.send(slot, now, out, |sender, out| sender.invite(peer, out));
            }
        }
    }

    fn peer_of(&self, user: usize) -> u64 {
        self.first_user + ((user + 1) % self.users.len()) as u64
    }

    fn send_register(&mut self, slot: usize, authorization: &str, now: Instant, out: &mut Outbox) {
        let user = self.jobs[slot].user;
        self.users[user].cseq += 1;
        self.jobs[slot].cseq = self.users[user].cseq;
        self.send(slot, now, out, |sender, out| sender.register(authorization.as_bytes(), out));
    }

    /// Writes a request of a job and sends it.
    fn send(
        &mut self,
        slot: usize,
        now: Instant,
        out: &mut Outbox,
        write: impl FnOnce(&Sender<'_>, &mut Vec<u8>),
    ) {
        let start = out.bytes.len();
        self.write(slot, out, write);
        let job = &mut self.jobs[slot];
        job.sends = 1;
        if self.plan.transport == wire::Transport::Udp {
            job.request.clear();
            job.request.extend_from_slice(&out.bytes[start..]);
            self.clocks[0].push_back((now + CLOCKS[0], slot, job.generation));
        }
        let conn = self.connection_of(self.jobs[slot].user);
        out.actions.push(Action::Send(conn, start..out.bytes.len()));
    }

    fn write(&self, slot: usize, out: &mut Outbox, write: impl FnOnce(&Sender<'_>, &mut Vec<u8>)) {
        let job = &self.jobs[slot];
        let user = &self.users[job.user];
        let (mut branch, mut call_id) = (Vec::with_capacity(24), Vec::with_capacity(32));
        for number in [slot as u64, u64::from(job.generation), u64::from(job.cseq)] {
            push_decimal(number, &mut branch);
            branch.push(b'.');
        }
        let registers = matches!(job.work, Work::Register | Work::Refresh);
        // Threads and runs are told apart by their seed.
        push_decimal(self.plan.seed, &mut call_id);
        call_id.extend_from_slice(if registers { b"r" } else { b"c" });
        push_decimal(self.first_user + job.user as u64, &mut call_id);
        if !registers {
            call_id.push(b'.');
            push_decimal(u64::from(job.generation), &mut call_id);
        }
        let local = self.open.get(self.connection_of(job.user) as usize).copied().flatten();
        let sender = Sender {
            user: self.first_user + job.user as u64,
            domain: &self.plan.domain,
            local: local.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)),
            transport: self.plan.transport,
            branch: &branch,
            call_id: &call_id,
            cseq: job.cseq,
            route: if registers { &[] } else { &user.route },
        };
        write(&sender, &mut out.bytes);
    }

    pub(super) fn on_clock(&mut self, clock: usize, slot: usize, now: Instant, out: &mut Outbox) {
        let job = &mut self.jobs[slot];
        match clock {
            HOLD => self.hang_up(slot, now, out),
            GIVE_UP if job.step != Step::Held => self.end(slot, End::Lost, now),
            GIVE_UP => {}
            _ if job.request.is_empty() => {}
            _ => {
                // T1, 2·T1, 4·T1, then T2 (RFC 3261 §17.1.2.2); an INVITE would go on doubling, but one that
                // is not even answered by 100 for so long is as good as lost.
                let next = usize::from(job.sends).min(3);
                job.sends = job.sends.saturating_add(1);
                self.clocks[next].push_back((now + CLOCKS[next], slot, job.generation));
                let start = out.bytes.len();
                out.bytes.extend_from_slice(&job.request);
                self.series.retransmissions += 1;
                let conn = self.connection_of(self.jobs[slot].user);
                out.actions.push(Action::Send(conn, start..out.bytes.len()));
            }
        }
    }

    /// A message came on a connection: an answer, or a request that is answered at once.
    pub fn handle_message(&mut self, conn: super::ConnId, bytes: &[u8], now: Instant, out: &mut Outbox) {
        let mut index = core::mem::take(&mut self.index);
        if let Ok(message) = sip::parse(bytes, &Limits::default(), &mut index) {
            if message.is_request() {
                answer_request(conn, message, out);
            } else if let Some(slot) = self.job_of(message) {
                self.on_answer(slot, message, now, out);
            }
        }
        self.index = index;
    }

    fn job_of(&self, message: Message<'_>) -> Option<usize> {
        let via = message.top_via().ok()?;
        let mut numbers = via.branch()?.strip_prefix(b"z9hG4bK")?.split(|byte| *byte == b'.');
        let mut next = || wire::bytes_class::decimal(numbers.next()?);
        let (slot, generation, cseq) = (next()?, next()?, next()?);
        let job = self.jobs.get(slot as usize)?;
        (job.generation == generation && job.cseq == cseq).then_some(slot as usize)
    }

    fn on_answer(&mut self, slot: usize, answer: Message<'_>, now: Instant, out: &mut Outbox) {
        let status = answer.status();
        let (work, step) = (self.jobs[slot].work, self.jobs[slot].step);
        if status < 200 {
            if work == Work::Call {
                self.jobs[slot].request.clear();
            }
            return;
        }
        self.jobs[slot].request.clear();
        match (work, step) {
            (Work::Register | Work::Refresh, Step::First) if status == 401 => {
                self.prove(slot, answer, now, out);
            }
            (Work::Register | Work::Refresh, _) => {
                let user = self.jobs[slot].user;
                self.users[user].registered = status < 300;
                self.users[user].route = joined(answer, HeaderId::ServiceRoute, false).into();
                self.end(slot, ended(status), now);
            }
            (Work::Call, Step::First) if status < 300 => self.on_answered(slot, answer, now, out),
            (Work::Call, Step::First) => {
                let (uri, to) = (&b"sip:refused"[..], answer.value(HeaderId::To).unwrap_or_default());
                let start = out.bytes.len();
                self.write(slot, out, |sender, out| sender.ack_refusal(uri, to, out));
                let conn = self.connection_of(self.jobs[slot].user);
                out.actions.push(Action::Send(conn, start..out.bytes.len()));
                self.end(slot, ended(status), now);
            }
            // A retransmitted 2xx gets its ACK again (RFC 3261 §13.2.2.4).
            (Work::Call, Step::Held) => self.acknowledge(slot, out),
            (Work::Call, _) if answer.method() == Method::Invite => self.acknowledge(slot, out),
            _ => self.end(slot, ended(status), now),
        }
    }

    fn prove(&mut self, slot: usize, answer: Message<'_>, now: Instant, out: &mut Outbox) {
        let user = self.jobs[slot].user;
        let challenge = answer.value(HeaderId::WwwAuthenticate).unwrap_or_default();
        let challenge = core::str::from_utf8(challenge).unwrap_or_default();
        let uri = format!("sip:{}", self.plan.domain);
        let authenticator = &mut self.users[user].authenticator;
        match authenticator.answer(challenge, "REGISTER", &uri, &mut self.random) {
            Ok(authorization) => {
                self.jobs[slot].step = Step::Proved;
                self.send_register(slot, &authorization, now, out);
            }
            Err(_) => self.end(slot, End::Refused(401), now),
        }
    }

    fn on_answered(&mut self, slot: usize, answer: Message<'_>, now: Instant, out: &mut Outbox) {
        let target =
            answer.name_addrs(HeaderId::Contact).find_map(Result::ok).map(|contact| contact.uri.to_vec());
        let dialog = Dialog {
            target: target.unwrap_or_default(),
            to: answer.value(HeaderId::To).unwrap_or_default().to_vec(),
            route: joined(answer, HeaderId::RecordRoute, true),
        };
        let job = &mut self.jobs[slot];
        job.dialog = Some(Box::new(dialog));
        job.step = Step::Held;
        let (work, due, generation) = (job.work, job.due, job.generation);
        if !job.setup {
            self.note_end(work, due, now, End::Done);
        }
        self.acknowledge(slot, out);
        if self.plan.hold.is_zero() {
            self.hang_up(slot, now, out);
        } else {
            self.clocks[HOLD].push_back((now + self.plan.hold, slot, generation));
        }
    }

    fn acknowledge(&mut self, slot: usize, out: &mut Outbox) {
        let Some(dialog) = self.jobs[slot].dialog.take() else {
            return;
        };
        let start = out.bytes.len();
        let cseq = core::mem::replace(&mut self.jobs[slot].cseq, 1);
        self.write(slot, out, |sender, out| sender.in_dialog("ACK", &dialog, out));
        self.jobs[slot].cseq = cseq;
        self.jobs[slot].dialog = Some(dialog);
        let conn = self.connection_of(self.jobs[slot].user);
        out.actions.push(Action::Send(conn, start..out.bytes.len()));
    }

    fn hang_up(&mut self, slot: usize, now: Instant, out: &mut Outbox) {
        let Some(dialog) = self.jobs[slot].dialog.take() else {
            return;
        };
        let job = &mut self.jobs[slot];
        job.step = Step::Bye;
        job.cseq = 2;
        let generation = job.generation;
        self.clocks[GIVE_UP].push_back((now + CLOCKS[GIVE_UP], slot, generation));
        self.send(slot, now, out, |sender, out| sender.in_dialog("BYE", &dialog, out));
        self.jobs[slot].dialog = Some(dialog);
    }
}

const fn ended(status: u16) -> End {
    if status < 300 { End::Done } else { End::Refused(status) }
}

/// All values of a header in one line, if `reversed` from the last to the first.
fn joined(message: Message<'_>, id: HeaderId, reversed: bool) -> Vec<u8> {
    let mut values: Vec<_> = message.elements(id).map(|element| element.text).collect();
    if reversed {
        values.reverse();
    }
    values.join(&b", "[..])
}

/// A UE answers 200 to whatever the network asks.
fn answer_request(conn: super::ConnId, request: Message<'_>, out: &mut Outbox) {
    if request.method() == Method::Ack {
        return;
    }
    let span = sip::write::response(request, 200, "", Some(b"ue"), &[], &mut out.bytes);
    out.actions.push(Action::Send(conn, span.start as usize..span.end as usize));
}
