//! Operations on buckets, and what AWS answers for what no bucket here can have.

use crate::convert::{owner, timestamp, to_s3};
use crate::edge::{Request, Shared};
use gateway_core::objects::Objects;
use gateway_core::{ErrorCode, GetObject, ListBuckets, S3Failure};
use http::StatusCode;
use s3s::dto;
use s3s::{S3Error, S3ErrorCode, S3Response, S3Result};

type Answer<T> = S3Result<S3Response<T>>;

pub(crate) async fn list<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::ListBucketsInput>,
) -> Answer<dto::ListBucketsOutput> {
    let input = request.input;
    let prefix = input.prefix.clone();
    let asked = ListBuckets {
        prefix: input.prefix,
        buckets_max: input.max_buckets.map(i64::from),
        continuation_token: input.continuation_token,
    };
    let found = gateway.list_buckets(asked).await.map_err(to_s3)?;
    let buckets = found.buckets.into_iter().map(|bucket| dto::Bucket {
        bucket_region: Some(gateway.region().to_owned()),
        creation_date: Some(timestamp(bucket.created_ms)),
        name: Some(bucket.name),
    });
    Ok(S3Response::new(dto::ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token: found.continuation_token,
        owner: Some(owner(gateway.owner())),
        prefix,
    }))
}

pub(crate) async fn create<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::CreateBucketInput>,
) -> Answer<dto::CreateBucketOutput> {
    let input = request.input;
    let mut location = None;
    if let Some(configuration) = input.create_bucket_configuration {
        if configuration.bucket.is_some() || configuration.location.is_some() {
            let message = "Directory buckets are not implemented here.";
            return Err(to_s3(S3Failure::with_message(ErrorCode::NotImplemented, message)));
        }
        location = configuration.location_constraint;
    }
    let location = location.as_ref().map(dto::BucketLocationConstraint::as_str);
    gateway.create_bucket(&input.bucket, location).await.map_err(to_s3)?;
    let location = Some(format!("/{}", input.bucket));
    Ok(S3Response::new(dto::CreateBucketOutput { location }))
}

pub(crate) async fn head<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::HeadBucketInput>,
) -> Answer<dto::HeadBucketOutput> {
    gateway.head_bucket(&request.input.bucket).await.map_err(to_s3)?;
    let bucket_region = Some(gateway.region().to_owned());
    Ok(S3Response::new(dto::HeadBucketOutput { bucket_region, ..Default::default() }))
}

pub(crate) async fn delete<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::DeleteBucketInput>,
) -> Answer<dto::DeleteBucketOutput> {
    gateway.delete_bucket(&request.input.bucket).await.map_err(to_s3)?;
    Ok(S3Response::with_status(dto::DeleteBucketOutput::default(), StatusCode::NO_CONTENT))
}

pub(crate) async fn location<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::GetBucketLocationInput>,
) -> Answer<dto::GetBucketLocationOutput> {
    let location = gateway.bucket_location(&request.input.bucket).await.map_err(to_s3)?;
    let location_constraint = location.map(dto::BucketLocationConstraint::from);
    Ok(S3Response::new(dto::GetBucketLocationOutput { location_constraint }))
}

/// The full control of the one owner.
fn grants<S: Objects>(gateway: &Shared<S>) -> Vec<dto::Grant> {
    let owner = gateway.owner();
    let grantee = dto::Grantee {
        display_name: Some(owner.display_name.clone()),
        email_address: None,
        id: Some(owner.id.clone()),
        type_: dto::Type::from_static(dto::Type::CANONICAL_USER),
        uri: None,
    };
    let permission = dto::Permission::from_static(dto::Permission::FULL_CONTROL);
    vec![dto::Grant { grantee: Some(grantee), permission: Some(permission) }]
}

pub(crate) async fn acl<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::GetBucketAclInput>,
) -> Answer<dto::GetBucketAclOutput> {
    gateway.head_bucket(&request.input.bucket).await.map_err(to_s3)?;
    Ok(S3Response::new(dto::GetBucketAclOutput {
        grants: Some(grants(&gateway)),
        owner: Some(owner(gateway.owner())),
    }))
}

pub(crate) async fn object_acl<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::GetObjectAclInput>,
) -> Answer<dto::GetObjectAclOutput> {
    object_exists(&gateway, request.input.bucket, request.input.key).await?;
    Ok(S3Response::new(dto::GetObjectAclOutput {
        grants: Some(grants(&gateway)),
        owner: Some(owner(gateway.owner())),
        request_charged: None,
    }))
}

pub(crate) async fn object_tagging<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::GetObjectTaggingInput>,
) -> Answer<dto::GetObjectTaggingOutput> {
    object_exists(&gateway, request.input.bucket, request.input.key).await?;
    Ok(S3Response::new(dto::GetObjectTaggingOutput { tag_set: Vec::new(), version_id: None }))
}

async fn object_exists<S: Objects>(
    gateway: &Shared<S>,
    bucket: String,
    key: String,
) -> S3Result<()> {
    let asked = GetObject { bucket, key, ..Default::default() };
    gateway.head_object(asked).await.map_err(to_s3)?;
    Ok(())
}

/// The bucket has never had versions: an empty document, as AWS answers.
pub(crate) async fn versioning<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::GetBucketVersioningInput>,
) -> Answer<dto::GetBucketVersioningOutput> {
    gateway.head_bucket(&request.input.bucket).await.map_err(to_s3)?;
    Ok(S3Response::new(dto::GetBucketVersioningOutput::default()))
}

/// AWS's answer for a configuration that the bucket does not have.
pub(crate) async fn not_configured<S: Objects, T>(
    gateway: Shared<S>,
    bucket: String,
    code: S3ErrorCode,
    message: &'static str,
) -> Answer<T> {
    gateway.head_bucket(&bucket).await.map_err(to_s3)?;
    let mut error = S3Error::with_message(code, message);
    error.set_status_code(StatusCode::NOT_FOUND);
    Err(error)
}
