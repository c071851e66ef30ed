//! The one table of operations: by what method, resource and query keys each is chosen, and what
//! other keys it may have.
//!
//! Invariants: the first row that matches counts; a key in neither list of that row is refused,
//! so that `PUT ?tagging` never replaces an object and `DELETE ?versionId` never deletes one;
//! s3s resolves a request that passes to the same operation.

use crate::domains::Scope;
use crate::query::Query;
use crate::refusal::Refusal;
use gateway_core::ErrorCode;
use http::{HeaderMap, Method};
use std::sync::LazyLock;

macro_rules! operations {
    ($($name:ident)+) => {
        /// An operation that this server implements.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names are those of the S3 API reference")]
        pub enum Operation {
            $($name,)+
        }
    };
}

operations! {
    ListBuckets CreateBucket HeadBucket DeleteBucket GetBucketLocation GetBucketVersioning
    GetBucketAcl GetBucketTagging GetBucketLifecycle GetBucketCors GetBucketPolicy
    GetBucketEncryption GetBucketReplication GetBucketWebsite GetObjectLockConfiguration
    ListMultipartUploads ListObjects ListObjectsV2 DeleteObjects
    GetObject HeadObject PutObject CopyObject DeleteObject GetObjectAcl GetObjectTagging
    CreateMultipartUpload UploadPart UploadPartCopy CompleteMultipartUpload AbortMultipartUpload
    ListParts
}

impl Operation {
    /// Whether the request's body is XML that is read whole.
    #[must_use]
    pub fn has_xml_body(self) -> bool {
        matches!(self, Self::CreateBucket | Self::DeleteObjects | Self::CompleteMultipartUpload)
    }

    /// Whether it is a read of an object, with a range and conditions.
    #[must_use]
    pub fn reads_object(self) -> bool {
        matches!(self, Self::GetObject | Self::HeadObject)
    }
}

type Needs = &'static [(&'static str, Option<&'static str>)];

struct Row {
    operation: Operation,
    method: Method,
    scope: Scope,
    /// Keys that must be there: with this value, where one is given.
    needs: Needs,
    /// Whether `x-amz-copy-source` must be there; `None`: no matter (its header list decides).
    copy: Option<bool>,
    /// Further keys that may be there.
    allows: &'static [&'static str],
}

/// Keys any operation may have: a presigned URL's, and the operation's name that SDKs add.
const ANYWHERE: &[&str] = &[
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "x-id",
];

const RESPONSE: &[&str] = &[
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];

fn row(operation: Operation, method: Method, scope: Scope) -> Row {
    Row { operation, method, scope, needs: &[], copy: None, allows: &[] }
}

impl Row {
    fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    fn allows(mut self, allows: &'static [&'static str]) -> Self {
        self.allows = allows;
        self
    }

    fn copy(mut self, copy: bool) -> Self {
        self.copy = Some(copy);
        self
    }
}

const PART: Needs = &[("uploadId", None), ("partNumber", None)];

const UPLOAD: Needs = &[("uploadId", None)];

const LISTING: &[&str] = &["prefix", "delimiter", "marker", "max-keys", "encoding-type"];

const LISTING_V2: &[&str] = &[
    "prefix",
    "delimiter",
    "start-after",
    "continuation-token",
    "max-keys",
    "encoding-type",
    "fetch-owner",
];

const UPLOADS: &[&str] =
    &["prefix", "delimiter", "key-marker", "upload-id-marker", "max-uploads", "encoding-type"];

fn get_bucket(operation: Operation, needs: Needs) -> Row {
    row(operation, Method::GET, Scope::Bucket).needs(needs)
}

fn object(operation: Operation, method: Method) -> Row {
    row(operation, method, Scope::Object)
}

static TABLE: LazyLock<Vec<Row>> = LazyLock::new(table);

fn table() -> Vec<Row> {
    use Operation as Op;
    let root = [row(Op::ListBuckets, Method::GET, Scope::Root).allows(&[
        "prefix",
        "max-buckets",
        "continuation-token",
    ])];
    let put_bucket = [
        row(Op::CreateBucket, Method::PUT, Scope::Bucket),
        row(Op::HeadBucket, Method::HEAD, Scope::Bucket),
        row(Op::DeleteBucket, Method::DELETE, Scope::Bucket),
        row(Op::DeleteObjects, Method::POST, Scope::Bucket).needs(&[("delete", None)]),
    ];
    let get_buckets = [
        get_bucket(Op::GetBucketLocation, &[("location", None)]),
        get_bucket(Op::GetBucketVersioning, &[("versioning", None)]),
        get_bucket(Op::GetBucketAcl, &[("acl", None)]),
        get_bucket(Op::GetBucketTagging, &[("tagging", None)]),
        // minio-go asks for the time of the last change too, which none has that is not there.
        get_bucket(Op::GetBucketLifecycle, &[("lifecycle", None)]).allows(&["withUpdatedAt"]),
        get_bucket(Op::GetBucketCors, &[("cors", None)]),
        get_bucket(Op::GetBucketPolicy, &[("policy", None)]),
        get_bucket(Op::GetBucketEncryption, &[("encryption", None)]),
        get_bucket(Op::GetBucketReplication, &[("replication", None)]),
        get_bucket(Op::GetBucketWebsite, &[("website", None)]),
        get_bucket(Op::GetObjectLockConfiguration, &[("object-lock", None)]),
        get_bucket(Op::ListMultipartUploads, &[("uploads", None)]).allows(UPLOADS),
        get_bucket(Op::ListObjectsV2, &[("list-type", Some("2"))]).allows(LISTING_V2),
        get_bucket(Op::ListObjects, &[]).allows(LISTING),
    ];
    let objects = [
        object(Op::ListParts, Method::GET)
            .needs(UPLOAD)
            .allows(&["max-parts", "part-number-marker"]),
        object(Op::GetObjectAcl, Method::GET).needs(&[("acl", None)]),
        object(Op::GetObjectTagging, Method::GET).needs(&[("tagging", None)]),
        object(Op::GetObject, Method::GET).allows(RESPONSE),
        object(Op::HeadObject, Method::HEAD).allows(RESPONSE),
        object(Op::UploadPartCopy, Method::PUT).needs(PART).copy(true),
        object(Op::UploadPart, Method::PUT).needs(PART).copy(false),
        object(Op::CopyObject, Method::PUT).copy(true),
        object(Op::PutObject, Method::PUT).copy(false),
        object(Op::CreateMultipartUpload, Method::POST).needs(&[("uploads", None)]),
        object(Op::CompleteMultipartUpload, Method::POST).needs(UPLOAD),
        object(Op::AbortMultipartUpload, Method::DELETE).needs(UPLOAD),
        object(Op::DeleteObject, Method::DELETE),
    ];
    root.into_iter().chain(put_bucket).chain(get_buckets).chain(objects).collect()
}

/// The operation of a request, all of whose query keys belong to it, or are headers of it
/// (`hoisted`, judged elsewhere). `copies`: whether it names the source of a copy.
pub(crate) fn operation_of(
    method: &Method,
    scope: Scope,
    query: &Query,
    hoisted: &HeaderMap,
    copies: bool,
) -> Result<Operation, Refusal> {
    if let Some(name) = query.repeated() {
        let message = format!("The query parameter {name} is given more than once.");
        return Err(Refusal::new(ErrorCode::InvalidArgument, message));
    }
    let has = |(name, value): &(&str, Option<&str>)| match (query.get(name), value) {
        (Some(given), Some(value)) => given == *value,
        (given, _) => given.is_some(),
    };
    let matches = |row: &Row| {
        row.method == *method
            && row.scope == scope
            && row.copy.is_none_or(|copy| copy == copies)
            && row.needs.iter().all(has)
    };
    let Some(row) = TABLE.iter().find(|row| matches(row)) else {
        return Err(no_operation(method, scope, query));
    };
    for (name, value) in query.iter() {
        let known = ANYWHERE.contains(&name)
            || row.allows.contains(&name)
            || row.needs.iter().any(|need| need.0 == name)
            || hoisted.contains_key(name)
            // Some presigners say in the URL what it means anyway.
            || (name == "X-Amz-Content-Sha256" && value == "UNSIGNED-PAYLOAD");
        if !known {
            return Err(Refusal::not_implemented(&format!("the query parameter {name}")));
        }
    }
    Ok(row.operation)
}

fn no_operation(method: &Method, scope: Scope, query: &Query) -> Refusal {
    let s3_method =
        [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE].contains(method);
    if *method == Method::OPTIONS {
        let message = "CORSResponse: CORS is not enabled for this bucket.";
        return Refusal::new(ErrorCode::AccessDenied, message);
    }
    if !s3_method || scope == Scope::Root {
        let code = ErrorCode::MethodNotAllowed;
        return Refusal::new(code, code.default_message());
    }
    let names: Vec<&str> = query.iter().map(|pair| pair.0).collect();
    Refusal::not_implemented(&format!("{method} with the query [{}]", names.join(", ")))
}
