//! One operation under way on one lane: what is asked next, and what has come of the answers.

use super::requests::{Asked, Step};
use crate::check::{Check, is_changed};
use crate::plan::Load;
use crate::planner::Planner;
use crate::target::{Done, Outcome};
use crate::task::Task;
use bench_client::{Head, Lane};
use bench_model::{Operation, Payload};

/// Of a text (an error, a listing, an upload's id), at most so much is kept.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// One lane.
#[derive(Default)]
pub(super) struct Exchange {
    task: Option<Task>,
    pub(super) step: Step,
    pub(super) asked: Asked,
    /// The request's body, where it is a text.
    pub(super) text_out: Vec<u8>,
    /// The client's code for a request that broke.
    pub(super) broken: Option<&'static str>,
    answer: Answer,
    connecting_ns: u64,
    /// When the connection was made that the first request went out on, where one was.
    connected_ns: Option<u64>,
    first_byte_ns: Option<u64>,
    connect_ns: Option<u64>,
    /// Bytes of objects that went either way.
    object_bytes: u64,
    pub(super) upload_id: Vec<u8>,
    /// Entity tags of the parts so far.
    pub(super) etags: Vec<Vec<u8>>,
    /// Why an upload is being aborted.
    failure: Option<Outcome>,
}

/// What has come of one answer.
#[derive(Default)]
struct Answer {
    status: u16,
    /// What it says where it is no object.
    text: Vec<u8>,
    etag: Vec<u8>,
    object: Check,
}

impl Answer {
    fn clear(&mut self) {
        self.text.clear();
        self.etag.clear();
        self.object.clear();
        self.status = 0;
    }
}

fn is_object(operation: Operation) -> bool {
    matches!(operation, Operation::Get | Operation::GetRange)
}

impl Exchange {
    pub(super) fn begin(&mut self, task: &Task) {
        self.task = Some(*task);
        self.step = Step::Single;
        if task.operation == Operation::MultipartPut {
            self.step = Step::Begin;
        }
        (self.connected_ns, self.first_byte_ns, self.connect_ns) = (None, None, None);
        self.object_bytes = 0;
        self.etags.clear();
        self.upload_id.clear();
        self.failure = None;
    }

    pub(super) fn task(&self) -> &Task {
        self.task.as_ref().expect("an exchange has a task while it is under way")
    }

    /// Forgets what the last request brought.
    pub(super) fn begin_request(&mut self) {
        self.answer.clear();
        self.broken = None;
    }

    pub(super) fn connecting(&mut self, now_ns: u64) {
        self.connecting_ns = now_ns;
    }

    pub(super) fn connected(&mut self, now_ns: u64) {
        self.connect_ns.get_or_insert(now_ns.saturating_sub(self.connecting_ns));
        if self.first_byte_ns.is_none() {
            self.connected_ns = Some(now_ns);
        }
    }

    pub(super) fn head(&mut self, head: &Head, planner: &Planner, now_ns: u64) {
        self.first_byte_ns.get_or_insert(now_ns);
        let task = *self.task();
        let answer = &mut self.answer;
        answer.status = head.status;
        answer.etag.extend_from_slice(head.etag.as_bytes());
        let is_checked =
            is_object(task.operation) && head.is_success() && planner.is_checked(&task);
        answer.object.begin(is_checked, head.content_length);
    }

    pub(super) fn body(&mut self, bytes: &[u8], payload: &Payload, planner: &Planner) {
        let task = *self.task();
        if !is_object(task.operation) || !(200..300).contains(&self.answer.status) {
            let room = TEXT_BYTES_MAX.saturating_sub(self.answer.text.len());
            self.answer.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
            return;
        }
        self.answer.object.take(&task, bytes, payload, planner);
    }

    /// Puts the next bytes of the request's body into a buffer.
    pub(super) fn fill(&self, payload: &Payload, offset: u64, out: &mut [u8]) {
        if self.text_out.is_empty() {
            let begin = self.step.part().map_or(0, |part| part.offset);
            payload.fill(self.task().stamp(), begin + offset, out);
        } else {
            let begin = usize::try_from(offset).unwrap_or(usize::MAX);
            out.copy_from_slice(&self.text_out[begin..begin + out.len()]);
        }
    }

    /// What a request that has ended means: `None` where the operation goes on.
    pub(super) fn end_request(
        &mut self,
        load: &Load,
        payload: &Payload,
        planner: &Planner,
    ) -> Option<Outcome> {
        if self.step == Step::Abort {
            return Some(self.failure.take().unwrap_or(Outcome::Done));
        }
        let outcome = self.outcome(payload, planner);
        if outcome != Outcome::Done {
            if self.upload_id.is_empty() || self.step == Step::Begin {
                return Some(outcome);
            }
            // What an upload has sent so far is not left behind.
            (self.failure, self.step) = (Some(outcome), Step::Abort);
            return None;
        }
        self.object_bytes += self.asked.object_bytes + self.answer.object.received();
        match self.step {
            Step::Single | Step::End | Step::Abort => return Some(Outcome::Done),
            Step::Begin => match tag_of(&self.answer.text, "UploadId") {
                Some(id) => self.upload_id.extend_from_slice(id),
                None => return Some(Outcome::Failed("no UploadId".to_owned())),
            },
            Step::Part(_) => self.etags.push(self.answer.etag.clone()),
        }
        let object_bytes = self.task().size_bytes;
        self.step = self.step.next(object_bytes, load.part_bytes_of(object_bytes));
        None
    }

    fn outcome(&mut self, payload: &Payload, planner: &Planner) -> Outcome {
        if let Some(code) = self.broken {
            return Outcome::Failed(code.to_owned());
        }
        let task = *self.task();
        let is_success = (200..300).contains(&self.answer.status);
        if is_success && task.is_absent {
            return Outcome::Failed("undeleted".to_owned());
        }
        if is_success
            && is_object(task.operation)
            && let Some(mismatch) = self.answer.object.end(&task, payload, planner)
        {
            return Outcome::Wrong(mismatch);
        }
        match self.answer.status {
            // Completions and copies answer 200 before they know; deletes of many tell each.
            200..300 if tag_of(&self.answer.text, "Code").is_some() => Outcome::Failed(self.code()),
            200..300 if task.operation == Operation::Head => {
                let wrong = self.answer.object.end_head(&task, planner);
                wrong.map_or(Outcome::Done, Outcome::Wrong)
            }
            200..300 => Outcome::Done,
            404 if task.is_absent => Outcome::Done,
            404 if task.reads() && planner.may_be_absent(&task) => Outcome::Raced,
            416 if is_changed(planner, &task) => Outcome::Raced,
            _ => Outcome::Failed(self.code()),
        }
    }

    /// What the server calls its refusal.
    fn code(&self) -> String {
        match tag_of(&self.answer.text, "Code") {
            Some(code) => String::from_utf8_lossy(&code[..code.len().min(64)]).into_owned(),
            None => self.answer.status.to_string(),
        }
    }

    /// What is told of an operation that has ended.
    pub(super) fn done(&self, lane: Lane, outcome: Outcome, now_ns: u64) -> Done {
        Done {
            lane,
            outcome,
            object_bytes: self.object_bytes,
            first_byte_ns: self.first_byte_ns,
            connect_ns: self.connect_ns,
            connected_ns: self.connected_ns,
            ended_ns: now_ns,
        }
    }
}

/// The text of the first element of a name.
pub(crate) fn tag_of<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let begin = find(text, open.as_bytes())? + open.len();
    let length = find(&text[begin..], close.as_bytes())?;
    Some(&text[begin..begin + length])
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_or_not() {
        let text = b"<a><Code>NoSuchKey</Code><UploadId></UploadId><Open>";
        assert_eq!(tag_of(text, "Code"), Some(b"NoSuchKey".as_slice()));
        assert_eq!(tag_of(text, "UploadId"), Some(b"".as_slice()));
        assert_eq!(tag_of(text, "Open"), None);
        assert_eq!(tag_of(b"", "Code"), None);
    }
}
