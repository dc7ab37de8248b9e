//! One case: a few requests in a row and what each of three servers answers.

use super::expect::{Expect, is};
use super::peer::{Mode, Peer, Protocol, Which};
use super::request::{Request, create};
use bytes::Bytes;

/// What is expected of each server, and why one departs from the reference.
#[derive(Clone)]
pub(super) struct Expected {
    pub(super) rest_server: Expect,
    pub(super) ours: Expect,
    pub(super) rclone: Expect,
    pub(super) why: Vec<(Which, &'static str)>,
}

impl Expected {
    pub(super) fn of(&self, which: Which) -> &Expect {
        match which {
            Which::RestServer => &self.rest_server,
            Which::Ours => &self.ours,
            Which::Rclone => &self.rclone,
        }
    }
}

/// What is done in a step.
pub(super) enum Action {
    /// One request.
    Ask(Request),
    /// All at once: exactly `winners` answers are 200, each other one fits the expectation.
    Race { requests: Vec<Request>, winners: usize },
    /// An upload is half sent and stays open during the step after this one; then the client vanishes.
    HoldUpload(Request),
}

/// One step.
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) expected: Expected,
}

/// What a case needs of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Passwords.
    Password,
    /// Private repositories and a second account.
    OtherAccount,
    /// A repository that is this case's alone.
    OwnRepository,
    /// HTTP/1.1.
    Http1,
    /// A server that creates a file in one step, so that of two clients exactly one wins. rclone looks first and writes
    /// then: how many win is luck, and luck is not tested.
    ExclusiveCreate,
}

/// One case.
pub(super) struct Case {
    pub(super) id: &'static str,
    pub(super) says: &'static str,
    pub(super) mode: Mode,
    pub(super) needs: Vec<Needs>,
    pub(super) steps: Vec<Step>,
}

/// Where the cases are written: knows the paths for one peer and one protocol, and collects them.
pub(super) struct Book<'a> {
    pub(super) peer: &'a Peer,
    pub(super) protocol: Protocol,
    pub(super) cases: Vec<Case>,
}

impl Book<'_> {
    /// The repository of a case, with slashes on both ends.
    pub(super) fn repository(&self, id: &str) -> String {
        self.peer.repository.as_ref().map_or_else(
            || format!("/{}/{id}-{}/", self.peer.account, self.protocol),
            |repository| format!("/{repository}/"),
        )
    }

    /// Bytes that no other case has, `count` of them.
    pub(super) fn content(&self, id: &str, count: usize) -> Bytes {
        let seed = format!("{id} {} ", self.protocol);
        seed.bytes().cycle().take(count).collect::<Vec<u8>>().into()
    }

    /// A case for servers in normal mode, without a step yet.
    pub(super) fn case(&mut self, id: &'static str, says: &'static str) -> &mut Case {
        self.push(id, says, Mode::Normal)
    }

    /// A case for servers in append-only mode.
    pub(super) fn append_only(&mut self, id: &'static str, says: &'static str) -> &mut Case {
        self.push(id, says, Mode::AppendOnly)
    }

    fn push(&mut self, id: &'static str, says: &'static str, mode: Mode) -> &mut Case {
        let at = self.cases.len();
        self.cases.push(Case { id, says, mode, needs: Vec::new(), steps: Vec::new() });
        &mut self.cases[at]
    }
}

impl Case {
    pub(super) fn needs(&mut self, needs: Needs) -> &mut Self {
        self.needs.push(needs);
        self
    }

    fn step(&mut self, action: Action, expect: Expect) -> &mut Self {
        let (rest_server, ours, rclone) = (expect.clone(), expect.clone(), expect);
        self.steps.push(Step { action, expected: Expected { rest_server, ours, rclone, why: Vec::new() } });
        self
    }

    /// The repository exists.
    pub(super) fn given(&mut self, repository: &str) -> &mut Self {
        self.ask(create(repository), is(200))
    }

    /// Sends a request; all servers answer so, unless one of the next calls says otherwise.
    pub(super) fn ask(&mut self, request: Request, expect: Expect) -> &mut Self {
        self.step(Action::Ask(request), expect)
    }

    /// Sends requests at once; the losers' answers are `expect`.
    pub(super) fn race(&mut self, requests: Vec<Request>, winners: usize, expect: Expect) -> &mut Self {
        self.step(Action::Race { requests, winners }, expect)
    }

    /// Holds a half-sent upload open during the next step.
    pub(super) fn hold(&mut self, request: Request) -> &mut Self {
        self.step(Action::HoldUpload(request), is(200))
    }

    fn depart(&mut self, which: Which, expect: Expect, why: &'static str) -> &mut Self {
        if let Some(step) = self.steps.last_mut() {
            let expected = &mut step.expected;
            *match which {
                Which::RestServer => &mut expected.rest_server,
                Which::Ours => &mut expected.ours,
                Which::Rclone => &mut expected.rclone,
            } = expect;
            expected.why.push((which, why));
        }
        self
    }

    /// In the last step our shard answers otherwise.
    pub(super) fn ours(&mut self, expect: Expect, why: &'static str) -> &mut Self {
        self.depart(Which::Ours, expect, why)
    }

    /// In the last step rclone answers otherwise.
    pub(super) fn rclone(&mut self, expect: Expect, why: &'static str) -> &mut Self {
        self.depart(Which::Rclone, expect, why)
    }

    /// In the last step rest-server answers otherwise than the protocol's rule, which stays for the others.
    pub(super) fn rest_server(&mut self, expect: Expect, why: &'static str) -> &mut Self {
        self.depart(Which::RestServer, expect, why)
    }

    /// True when some step is judged differently for `which` than for our shard.
    pub(super) fn departs(&self, which: Which) -> bool {
        let different = |step: &Step| step.expected.why.iter().any(|(who, _)| *who == which || *who == Which::Ours);
        self.steps.iter().any(different)
    }
}
