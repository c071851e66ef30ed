//! XML bodies: `DeleteObjects`, `CompleteMultipartUpload`, `CreateBucket`.
//!
//! Rules: an object goes only if the body names it, an upload is completed only to the bytes of its
//! parts, and a refused body changes nothing.

use super::request::read;
use super::server::{Server, Store};
use super::signer::Signer;
use super::{BUCKET, CONTENT, KEY, UPLOAD_ID, UPLOAD_KEY};
use crate::Decoder;
use gateway_core::objects::Objects as _;

pub(crate) const S3_XML: Decoder = Decoder {
    name: "s3_xml",
    check: xml,
    samples,
    words: &[
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
        " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"",
        "<![CDATA[",
        "]]>",
        "<!DOCTYPE x [<!ENTITY y \"z\">]>",
        "<!--",
        "-->",
        "&amp;",
        "&#x41;",
        "&y;",
        "<Delete>",
        "</Delete>",
        "<Quiet>true</Quiet>",
        "<Object>",
        "</Object>",
        "<Key>",
        "</Key>",
        "<VersionId>",
        "</VersionId>",
        "<ETag>",
        "</ETag>",
        "<CompleteMultipartUpload>",
        "</CompleteMultipartUpload>",
        "<Part>",
        "</Part>",
        "<PartNumber>1</PartNumber>",
        "<ChecksumCRC64NVME>",
        "</ChecksumCRC64NVME>",
        "<CreateBucketConfiguration>",
        "</CreateBucketConfiguration>",
        "<LocationConstraint>us-east-1</LocationConstraint>",
    ],
    rounds: 3_000,
};

const NEW_BUCKET: &str = "new-bucket";

/// The operation, the length of the body's pieces, the body.
fn xml(input: &[u8]) -> bool {
    let Some(([operation, piece_bytes], body)) = input.split_first_chunk::<2>() else {
        return false;
    };
    let operation = operation % 3;
    let line = match operation {
        0 => format!("POST /{BUCKET}?delete"),
        1 => format!("POST /{BUCKET}/{UPLOAD_KEY}?uploadId={UPLOAD_ID}"),
        _ => format!("PUT /{NEW_BUCKET}"),
    };
    let Some((mut parts, _)) = read(line.as_bytes()) else { panic!("no request: {line}") };
    Signer::now().sign(&mut parts, body);
    let server = Server::new();
    let reply = server.send(parts, body, *piece_bytes);
    let accepted = reply.status == 200;
    let store = &server.store;
    let (deletes, completes) = (accepted && operation == 0, accepted && operation == 1);
    if store.get(BUCKET, KEY).is_none() {
        assert!(deletes && may_name(body, KEY), "an object is gone that nobody named");
    }
    let completed = store.get(BUCKET, UPLOAD_KEY);
    assert_eq!(completed.as_deref(), completes.then_some(CONTENT));
    let creates = accepted && operation == 2;
    assert_eq!(store.model.bucket(NEW_BUCKET).is_ok(), creates);
    accepted
}

/// Whether the text of the body may hold the name: as it is, or in a form that only XML can read.
fn may_name(body: &[u8], name: &str) -> bool {
    let holds = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    holds(name.as_bytes()) || holds(b"&") || holds(b"<!") || holds(b"<?")
}

fn samples() -> Vec<Vec<u8>> {
    let etag = Store::new().part_etag;
    let sample = |head: [u8; 2], body: &str| [&head[..], body.as_bytes()].concat();
    vec![
        sample([0, 0], "<Delete><Object><Key>none</Key></Object></Delete>"),
        sample(
            [0, 5],
            "<?xml version=\"1.0\"?>\n<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Quiet>true</Quiet><Object><Key>kept-object</Key></Object>\
             <Object><Key>a&amp;b</Key></Object></Delete>",
        ),
        sample(
            [1, 0],
            &format!(
                "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>\
                 <ETag>\"{etag}\"</ETag></Part></CompleteMultipartUpload>"
            ),
        ),
        sample([2, 0], ""),
        sample(
            [2, 1],
            "<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint>\
             </CreateBucketConfiguration>",
        ),
    ]
}
