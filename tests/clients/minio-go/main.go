// Writes and reads by minio-go as programs do: each kind of checksum, sizes on both sides of a
// part, lengths known and unknown, conditions, copies, presigned URLs. Credentials are those of
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Ends with 1 at the first thing that is wrong.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	bucket    = "minio-go"
	partBytes = 5 << 20
)

var background = context.Background()

func need(is bool, format string, values ...any) {
	if !is {
		fmt.Fprintf(os.Stderr, format+"\n", values...)
		os.Exit(1)
	}
}

func well(err error, what string) {
	need(err == nil, "%s: %v", what, err)
}

func options(trailing bool) []minio.PutObjectOptions {
	all := []minio.PutObjectOptions{
		{},
		{SendContentMd5: true},
		{DisableContentSha256: true},
		{AutoChecksum: minio.ChecksumFullObjectCRC32C},
		{AutoChecksum: minio.ChecksumCRC64NVME},
		{NumThreads: 3, ConcurrentStreamParts: true},
	}
	if trailing {
		for _, kind := range []minio.ChecksumType{minio.ChecksumCRC32, minio.ChecksumSHA1, minio.ChecksumSHA256} {
			all = append(all, minio.PutObjectOptions{Checksum: kind})
		}
	}
	return all
}

func bodies(client *minio.Client, trailing bool) {
	for _, size := range []int{0, 1, 4096, 300_000, 2*partBytes + 3} {
		body := make([]byte, size)
		_, err := rand.Read(body)
		well(err, "random bytes")
		for number, option := range options(trailing) {
			what := fmt.Sprintf("%d bytes with options %d", size, number)
			option.PartSize = partBytes
			option.UserMetadata = map[string]string{"Colour": "grey"}
			key := fmt.Sprintf("bodies/%d-%d", size, number)
			_, err := client.PutObject(background, bucket, key, bytes.NewReader(body), int64(size), option)
			well(err, what)
			same(client, key, body, what)
		}
		key := fmt.Sprintf("stream/%d", size)
		reader := io.MultiReader(bytes.NewReader(body))
		_, err = client.PutObject(background, bucket, key, reader, -1, minio.PutObjectOptions{PartSize: partBytes})
		well(err, key)
		same(client, key, body, key)
	}
}

func same(client *minio.Client, key string, body []byte, what string) {
	object, err := client.GetObject(background, bucket, key, minio.GetObjectOptions{Checksum: true})
	well(err, what)
	got, err := io.ReadAll(object)
	well(err, what)
	need(bytes.Equal(got, body), "%s: other bytes", what)
	found, err := client.StatObject(background, bucket, key, minio.StatObjectOptions{Checksum: true})
	well(err, what)
	need(found.Size == int64(len(body)), "%s: size %d", what, found.Size)
}

func conditionsAndCopies(client *minio.Client) {
	once := minio.PutObjectOptions{}
	once.SetMatchETagExcept("*")
	_, err := client.PutObject(background, bucket, "once", strings.NewReader("a"), 1, once)
	well(err, "a new object")
	_, err = client.PutObject(background, bucket, "once", strings.NewReader("b"), 1, once)
	need(minio.ToErrorResponse(err).Code == "PreconditionFailed", "a second one: %v", err)
	source := minio.CopySrcOptions{Bucket: bucket, Object: "once"}
	target := minio.CopyDestOptions{Bucket: bucket, Object: "copy of +%ü"}
	_, err = client.CopyObject(background, target, source)
	well(err, "copy")
	same(client, target.Object, []byte("a"), "copy")
	_, err = client.StatObject(background, bucket, "absent", minio.StatObjectOptions{})
	need(minio.ToErrorResponse(err).Code == "NoSuchKey", "absent: %v", err)
}

func presigned(client *minio.Client) {
	put, err := client.PresignedPutObject(background, bucket, "presigned/ü", time.Minute)
	well(err, "presign")
	request, err := http.NewRequest(http.MethodPut, put.String(), strings.NewReader("hello"))
	well(err, "presign")
	answer, err := http.DefaultClient.Do(request)
	well(err, "presigned put")
	need(answer.StatusCode == http.StatusOK, "presigned put: %s", answer.Status)
	more := url.Values{"response-content-type": {"text/other"}}
	get, err := client.PresignedGetObject(background, bucket, "presigned/ü", time.Minute, more)
	well(err, "presign")
	answer, err = http.Get(get.String())
	well(err, "presigned get")
	body, err := io.ReadAll(answer.Body)
	well(err, "presigned get")
	is := string(body) == "hello" && answer.Header.Get("Content-Type") == "text/other"
	need(is, "presigned get: %s %q", answer.Status, body)
}

func cleared(client *minio.Client) {
	objects := client.ListObjects(background, bucket, minio.ListObjectsOptions{Recursive: true})
	for failed := range client.RemoveObjects(background, bucket, objects, minio.RemoveObjectsOptions{}) {
		well(failed.Err, "delete "+failed.ObjectName)
	}
	well(client.RemoveBucket(background, bucket), "delete the bucket")
}

func main() {
	for _, trailing := range []bool{false, true} {
		client, err := minio.New(os.Args[1], &minio.Options{Creds: credentials.NewEnvAWS(), TrailingHeaders: trailing})
		well(err, "client")
		well(client.MakeBucket(background, bucket, minio.MakeBucketOptions{}), "bucket")
		bodies(client, trailing)
		conditionsAndCopies(client)
		presigned(client)
		cleared(client)
	}
}
