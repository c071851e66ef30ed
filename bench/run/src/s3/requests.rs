//! The requests of every operation.
//!
//! Source: the Amazon S3 API reference, one page for each action.

use super::Shared;
use super::exchange::Exchange;
use crate::planner::Planner;
use crate::task::Task;
use bench_client::request::{Header, encode_base64, encode_path, encode_query};
use bench_client::{Method, Request, Signing};
use bench_model::Operation;
use md5::{Digest, Md5};
use std::io::Write;

/// Where a multipart upload is; everything else is a single request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Step {
    #[default]
    Single,
    Begin,
    Part(Part),
    End,
    /// It has failed: what was sent is thrown away.
    Abort,
}

/// A part of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// From 1 on.
    pub(super) number: u32,
    /// Where in the object it begins.
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Step {
    pub(super) fn part(self) -> Option<Part> {
        match self {
            Self::Part(part) => Some(part),
            _ => None,
        }
    }

    /// What follows on a step of an upload.
    pub(super) fn next(self, object_bytes: u64, part_bytes: u64) -> Self {
        let (number, offset) = match self {
            Self::Part(part) => (part.number + 1, part.offset + part.bytes),
            _ => (1, 0),
        };
        // An empty object has one empty part.
        if offset >= object_bytes && number > 1 {
            return Self::End;
        }
        Self::Part(Part { number, offset, bytes: part_bytes.min(object_bytes - offset) })
    }
}

/// A request as it is asked; its buffers are used again.
#[derive(Default)]
pub(super) struct Asked {
    method: Option<Method>,
    path: Vec<u8>,
    query: Vec<u8>,
    pub(super) headers: Vec<(&'static str, Vec<u8>)>,
    payload_bytes: Option<u64>,
    /// The body is a text, always signed as a whole.
    is_text: bool,
    /// Bytes of objects that the request sends.
    pub(super) object_bytes: u64,
}

impl Asked {
    pub(super) fn request<'a>(
        &'a self,
        headers: &'a [Header<'a>],
        signing: Signing,
    ) -> Request<'a> {
        Request {
            method: self.method.expect("a request is written before it is asked"),
            path: &self.path,
            query: &self.query,
            headers,
            payload_bytes: self.payload_bytes,
            signing: if self.is_text { Signing::Signed } else { signing },
            payload_sha256: None,
        }
    }

    fn begin(&mut self, method: Method, bucket: &str) {
        self.method = Some(method);
        self.path.clear();
        self.query.clear();
        self.headers.clear();
        (self.payload_bytes, self.is_text, self.object_bytes) = (None, false, 0);
        self.path.push(b'/');
        self.path.extend_from_slice(bucket.as_bytes());
    }

    fn key(&mut self, shared: &Shared, key: u64) {
        self.path.push(b'/');
        push_key(shared, key, &mut self.path);
    }

    fn sends_object(&mut self, bytes: u64) {
        (self.payload_bytes, self.object_bytes) = (Some(bytes), bytes);
    }

    fn sends_text(&mut self, text: &[u8]) {
        (self.payload_bytes, self.is_text) = (Some(text.len() as u64), true);
    }
}

/// Appends a key's name, encoded for a path.
fn push_key(shared: &Shared, key: u64, path: &mut Vec<u8>) {
    let mut name = Vec::with_capacity(shared.load.keys.name_bytes());
    shared.load.keys.append_name(key, &mut name);
    encode_path(&name, path);
}

impl Exchange {
    /// Writes the operation's next request.
    pub(super) fn write_request(&mut self, shared: &Shared, planner: &Planner) {
        self.begin_request();
        self.text_out.clear();
        let task = *self.task();
        let bucket = shared.bucket.as_str();
        match task.operation {
            Operation::Put => {
                self.asked.begin(Method::Put, bucket);
                self.asked.key(shared, task.key);
                self.asked.sends_object(task.size_bytes);
            }
            Operation::Get | Operation::GetRange | Operation::Head | Operation::Delete => {
                self.asked.begin(method_of(task.operation), bucket);
                self.asked.key(shared, task.key);
                if task.operation == Operation::GetRange && task.range.1 > 0 {
                    let (first, last) = (task.range.0, task.range.0 + task.range.1 - 1);
                    self.asked
                        .headers
                        .push(("range", format!("bytes={first}-{last}").into_bytes()));
                }
            }
            Operation::List => self.write_list(shared, &task),
            Operation::Copy => self.write_copy(shared, &task),
            Operation::MultiDelete => self.write_multi_delete(shared, &task, planner),
            Operation::MultipartPut => self.write_upload(shared, &task),
        }
    }

    fn write_list(&mut self, shared: &Shared, task: &Task) {
        let asked = &mut self.asked;
        asked.begin(Method::Get, &shared.bucket);
        // Writing to memory never fails.
        _ = write!(asked.query, "list-type=2&max-keys={}&prefix=", shared.load.list_keys);
        encode_query(shared.load.keys.prefix().as_bytes(), &mut asked.query);
        asked.query.extend_from_slice(b"&start-after=");
        let mut name = Vec::new();
        shared.load.keys.append_name(task.key, &mut name);
        encode_query(&name, &mut asked.query);
    }

    /// Copies have a name that no other operation asks for: their bytes say where they are from.
    fn write_copy(&mut self, shared: &Shared, task: &Task) {
        let asked = &mut self.asked;
        asked.begin(Method::Put, &shared.bucket);
        asked.path.push(b'/');
        push_key(shared, task.key, &mut asked.path);
        asked.path.extend_from_slice(COPY_SUFFIX.as_bytes());
        let mut source = format!("/{}/", shared.bucket).into_bytes();
        push_key(shared, task.key, &mut source);
        asked.headers.push(("x-amz-copy-source", source));
    }

    fn write_multi_delete(&mut self, shared: &Shared, task: &Task, planner: &Planner) {
        let text = &mut self.text_out;
        let names = (0..task.keys).map(|step| {
            let mut name = Vec::new();
            shared.load.keys.append_name(planner.key_behind(task.key, step), &mut name);
            name
        });
        write_multi_delete(names, text);
        let mut sum = Vec::new();
        encode_base64(&Md5::digest(&*text), &mut sum);
        self.asked.begin(Method::Post, &shared.bucket);
        self.asked.query.extend_from_slice(b"delete=");
        self.asked.headers.push(("content-md5", sum));
        self.asked.sends_text(text);
    }

    fn write_upload(&mut self, shared: &Shared, task: &Task) {
        let method = match self.step {
            Step::Part(_) => Method::Put,
            Step::Abort => Method::Delete,
            Step::Single | Step::Begin | Step::End => Method::Post,
        };
        self.asked.begin(method, &shared.bucket);
        self.asked.key(shared, task.key);
        let query = &mut self.asked.query;
        match self.step {
            Step::Single | Step::Begin => query.extend_from_slice(b"uploads="),
            Step::Part(part) => {
                _ = write!(query, "partNumber={}&uploadId=", part.number);
                encode_query(&self.upload_id, query);
                self.asked.sends_object(part.bytes);
            }
            Step::Abort => {
                query.extend_from_slice(b"uploadId=");
                encode_query(&self.upload_id, query);
            }
            Step::End => {
                query.extend_from_slice(b"uploadId=");
                encode_query(&self.upload_id, query);
                let text = &mut self.text_out;
                text.extend_from_slice(b"<CompleteMultipartUpload>");
                for (number, etag) in (1..).zip(&self.etags) {
                    _ = write!(text, "<Part><PartNumber>{number}</PartNumber><ETag>\"");
                    push_escaped(etag, text);
                    text.extend_from_slice(b"\"</ETag></Part>");
                }
                text.extend_from_slice(b"</CompleteMultipartUpload>");
                self.asked.sends_text(&self.text_out);
            }
        }
    }
}

/// Appends the body of a request that deletes objects of these names.
pub(crate) fn write_multi_delete(
    names: impl Iterator<Item = impl AsRef<[u8]>>,
    text: &mut Vec<u8>,
) {
    text.extend_from_slice(b"<Delete><Quiet>true</Quiet>");
    for name in names {
        text.extend_from_slice(b"<Object><Key>");
        push_escaped(name.as_ref(), text);
        text.extend_from_slice(b"</Key></Object>");
    }
    text.extend_from_slice(b"</Delete>");
}

/// What the name of a copy ends with.
pub(crate) const COPY_SUFFIX: &str = ".copy";

fn method_of(operation: Operation) -> Method {
    match operation {
        Operation::Head => Method::Head,
        Operation::Delete => Method::Delete,
        _ => Method::Get,
    }
}

fn push_escaped(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            _ => out.push(*byte),
        }
    }
}
