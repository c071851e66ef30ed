//! Against the examples of the Amazon S3 API reference ("Signature calculations: examples").

use super::*;

fn signer() -> Signer {
    let credentials = Credentials {
        access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: None,
        region: "us-east-1".to_owned(),
    };
    // 2013-05-24T00:00:00Z
    Signer::new(credentials, "examplebucket.s3.amazonaws.com", 1_369_353_600)
}

#[test]
fn a_get_with_a_range_is_signed_as_amazon_says() {
    let mut head = Vec::new();
    let signature = signer().authorize(
        &Signed {
            method: "GET",
            path: b"/test.txt",
            query: b"",
            headers: &[("range", b"bytes=0-9"), ("x-amz-content-sha256", EMPTY_SHA256.as_bytes())],
            payload: EMPTY_SHA256.as_bytes(),
        },
        &mut head,
    );
    let expected = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
    assert_eq!(std::str::from_utf8(&signature).unwrap(), expected);
    let names = "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date";
    assert!(String::from_utf8(head).unwrap().contains(names));
}

#[test]
fn a_list_with_a_query_is_signed_as_amazon_says() {
    let signature = signer().authorize(
        &Signed {
            method: "GET",
            path: b"/",
            query: b"max-keys=2&prefix=J",
            headers: &[("x-amz-content-sha256", EMPTY_SHA256.as_bytes())],
            payload: EMPTY_SHA256.as_bytes(),
        },
        &mut Vec::new(),
    );
    let expected = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
    assert_eq!(std::str::from_utf8(&signature).unwrap(), expected);
}

#[test]
fn chunks_are_signed_as_amazon_says() {
    let mut credentials_of_the_example = signer();
    credentials_of_the_example.host = "s3.amazonaws.com".to_owned();
    let payload = b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    let seed = credentials_of_the_example.authorize(
        &Signed {
            method: "PUT",
            path: b"/examplebucket/chunkObject.txt",
            query: b"",
            headers: &[
                ("content-encoding", b"aws-chunked"),
                ("content-length", b"66824"),
                ("x-amz-content-sha256", payload),
                ("x-amz-decoded-content-length", b"66560"),
                ("x-amz-storage-class", b"REDUCED_REDUNDANCY"),
            ],
            payload,
        },
        &mut Vec::new(),
    );
    let text = |hex: Hex| String::from_utf8(hex.to_vec()).unwrap();
    assert_eq!(text(seed), "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
    let mut chunks = credentials_of_the_example.chunks(seed);
    let first = chunks.sign(&vec![b'a'; 65_536]);
    assert_eq!(text(first), "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648");
    let second = chunks.sign(&vec![b'a'; 1024]);
    assert_eq!(text(second), "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497");
    let last = chunks.sign(b"");
    assert_eq!(text(last), "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (seconds, date) in [
        (0, "19700101T000000Z"),
        (951_782_399, "20000228T235959Z"),
        (951_782_400, "20000229T000000Z"),
        (951_868_800, "20000301T000000Z"),
        (1_767_225_599, "20251231T235959Z"),
        (4_107_542_400, "21000301T000000Z"),
    ] {
        assert_eq!(amz_date(seconds), date);
    }
}

#[test]
fn a_new_day_has_a_new_key() {
    let mut signer = signer();
    let request = Signed {
        method: "GET",
        path: b"/",
        query: b"",
        headers: &[("x-amz-content-sha256", EMPTY_SHA256.as_bytes())],
        payload: EMPTY_SHA256.as_bytes(),
    };
    let first = signer.authorize(&request, &mut Vec::new());
    signer.set_time(1_369_353_600 + 86_400);
    assert_ne!(signer.authorize(&request, &mut Vec::new()), first);
    assert_eq!(signer.date(), "20130525T000000Z");
    signer.set_time(1_369_353_600);
    assert_eq!(signer.authorize(&request, &mut Vec::new()), first);
}
