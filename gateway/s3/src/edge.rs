//! The `S3` trait of s3s over one thread's `Gateway`. Reads of objects are in `reads.rs`: s3s's own
//! are too strict.
//!
//! Invariant: every future here is made, polled and dropped on the gateway thread; s3s asks for
//! `Send`, and `SendWrapper` panics should that ever not hold.

use crate::{buckets, listings, objects, uploads};
use gateway_core::Gateway;
use gateway_core::objects::Objects;
use s3s::dto;
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result};
use send_wrapper::SendWrapper;
use std::future::Future;
use std::rc::Rc;

/// A request as s3s hands it over.
pub(crate) type Request<T> = S3Request<T>;

/// The gateway of this thread.
pub(crate) type Shared<S> = SendWrapper<Rc<Gateway<S>>>;

/// What s3s calls, but for reads of objects: those reach `ReadRoute`.
pub struct Edge<S: Objects> {
    gateway: Shared<S>,
}

impl<S: Objects> Edge<S> {
    /// An edge of the thread that calls this.
    #[must_use]
    pub fn new(gateway: Rc<Gateway<S>>) -> Self {
        Self { gateway: SendWrapper::new(gateway) }
    }
}

pub(crate) fn here<F: Future>(future: F) -> SendWrapper<F> {
    SendWrapper::new(future)
}

/// One method of the trait: `method(Input) -> Output = module::function`.
macro_rules! operations {
    (present {
        $($method:ident($input:ident) -> $output:ident = $module:ident::$function:ident;)+
    }
    absent {
        $($absent:ident($absent_input:ident) -> $absent_output:ident =
            $code:ident $message:literal;)+
    }) => {
        #[async_trait::async_trait]
        impl<S: Objects> S3 for Edge<S> {
            $(
                async fn $method(
                    &self,
                    request: S3Request<dto::$input>,
                ) -> S3Result<S3Response<dto::$output>> {
                    here($module::$function(self.gateway.clone(), request)).await
                }
            )+

            $(
                async fn $absent(
                    &self,
                    request: S3Request<dto::$absent_input>,
                ) -> S3Result<S3Response<dto::$absent_output>> {
                    let bucket = request.input.bucket;
                    let code = S3ErrorCode::$code;
                    let gateway = self.gateway.clone();
                    here(buckets::not_configured(gateway, bucket, code, $message)).await
                }
            )+
        }
    };
}

operations! {
    present {
        list_buckets(ListBucketsInput) -> ListBucketsOutput = buckets::list;
        create_bucket(CreateBucketInput) -> CreateBucketOutput = buckets::create;
        head_bucket(HeadBucketInput) -> HeadBucketOutput = buckets::head;
        delete_bucket(DeleteBucketInput) -> DeleteBucketOutput = buckets::delete;
        get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = buckets::location;
        get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput = buckets::acl;
        get_object_acl(GetObjectAclInput) -> GetObjectAclOutput = buckets::object_acl;
        get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = buckets::object_tagging;
        put_object(PutObjectInput) -> PutObjectOutput = objects::put;
        delete_object(DeleteObjectInput) -> DeleteObjectOutput = objects::delete;
        delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput = objects::delete_many;
        copy_object(CopyObjectInput) -> CopyObjectOutput = objects::copy;
        list_objects(ListObjectsInput) -> ListObjectsOutput = listings::objects;
        list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = listings::objects_v2;
        list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput
            = listings::uploads;
        create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput
            = uploads::create;
        upload_part(UploadPartInput) -> UploadPartOutput = uploads::upload_part;
        upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput = uploads::upload_part_copy;
        complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput
            = uploads::complete;
        abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput
            = uploads::abort;
        list_parts(ListPartsInput) -> ListPartsOutput = uploads::parts;

        get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput
            = buckets::versioning;
    }
    absent {
        get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput
            = NoSuchTagSet "The TagSet does not exist";
        get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput)
            -> GetBucketLifecycleConfigurationOutput
            = NoSuchLifecycleConfiguration "The lifecycle configuration does not exist";
        get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput
            = NoSuchCORSConfiguration "The CORS configuration does not exist";
        get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput
            = NoSuchBucketPolicy "The bucket policy does not exist";
        get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput
            = ServerSideEncryptionConfigurationNotFoundError
            "The server side encryption configuration was not found";
        get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput
            = ReplicationConfigurationNotFoundError "The replication configuration was not found";
        get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput
            = NoSuchWebsiteConfiguration "The specified bucket does not have a website configuration";
        get_object_lock_configuration(GetObjectLockConfigurationInput)
            -> GetObjectLockConfigurationOutput
            = ObjectLockConfigurationNotFoundError
            "Object Lock configuration does not exist for this bucket";
    }
}
