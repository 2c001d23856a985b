//! Files that are put, listed, read and removed.

use std::fs;

use aim_remote::transport::{Transport, TransportError};

use super::case::{Case, Far};
use super::{MIB, bytes, name, put};

pub(super) async fn files_travel<F: Far>(case: Case<F>) {
    let transport = case.transport();
    for (index, len) in [0, 1, 4096, 261_120, 261_121, 5 * MIB + 7]
        .into_iter()
        .enumerate()
    {
        let content = bytes(len, index as u64);
        let to = format!("incoming/{index}.aim");
        let stored = put(&transport, &to, &case.source(&content)).await.unwrap();
        assert_eq!(stored.sent, len as u64);
        assert!(case.content(&to).unwrap() == content);
    }
    case.plant("mirror.cursor", b"cursor");
    let mut listed = transport.list("incoming").await.unwrap();
    listed.sort();
    let lens: Vec<_> = listed.iter().map(|entry| entry.len).collect();
    assert_eq!(lens, [0, 1, 4096, 261_120, 261_121, 5 * MIB as u64 + 7]);
    assert_eq!(listed[2].name, "2.aim");
    let listed = transport.list("").await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, "mirror.cursor");
    assert_eq!(
        transport.get(&name("mirror.cursor"), 6).await.unwrap(),
        b"cursor"
    );
    for _ in 0..2 {
        transport.remove(&name("incoming/0.aim")).await.unwrap();
    }
    assert_eq!(case.content("incoming/0.aim"), None);
}

pub(super) async fn folders_are_not_listed<F: Far>(case: Case<F>) {
    fs::create_dir(case.far_path("incoming/folder")).unwrap();
    fs::write(case.far_path("incoming/a"), b"x").unwrap();
    let listed = case.transport().list("incoming").await.unwrap();
    assert_eq!(listed.len(), 1);
}

pub(super) async fn a_file_that_is_there_is_left_alone<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let source = case.source(&bytes(2 * MIB + 1, 1));
    put(&transport, "incoming/a.aim", &source).await.unwrap();
    let before = case.stamp("incoming/a.aim");
    let again = put(&transport, "incoming/a.aim", &source).await.unwrap();
    assert_eq!(again.sent, 0);
    assert_eq!(before, case.stamp("incoming/a.aim"));
    assert_eq!(transport.list("incoming").await.unwrap().len(), 1);
}

pub(super) async fn other_content_is_replaced<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let mut content = bytes(MIB, 1);
    put(&transport, "a", &case.source(&content)).await.unwrap();
    content[MIB - 1] ^= 1;
    let stored = put(&transport, "a", &case.source(&content)).await.unwrap();
    assert_eq!(stored.reused, 0);
    assert_eq!(case.content("a").unwrap(), content);
    content.truncate(10);
    put(&transport, "a", &case.source(&content)).await.unwrap();
    assert_eq!(case.content("a").unwrap(), content);
}

pub(super) async fn what_is_missing_is_not_found<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let missing = transport.get(&name("missing"), 10).await.unwrap_err();
    assert!(
        matches!(missing, TransportError::NotFound { .. }),
        "{missing}"
    );
    let missing = transport.list("../..").await.unwrap_err();
    assert!(
        matches!(missing, TransportError::NotFound { .. }),
        "{missing}"
    );
    // the transport is of use afterwards
    put(&transport, "a", &case.source(b"x")).await.unwrap();
}

pub(super) async fn a_missing_folder_is_not_found<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let missing = transport.list("nowhere").await.unwrap_err();
    assert!(
        matches!(missing, TransportError::NotFound { .. }),
        "{missing}"
    );
    let source = case.source(b"x");
    let missing = put(&transport, "nowhere/a", &source).await.unwrap_err();
    assert!(
        matches!(missing, TransportError::NotFound { .. }),
        "{missing}"
    );
    put(&transport, "a", &source).await.unwrap();
}

pub(super) async fn a_small_file_has_a_limit<F: Far>(case: Case<F>) {
    let transport = case.transport();
    case.plant("a", &bytes(400_000, 1));
    let content = transport.get(&name("a"), 400_000).await.unwrap();
    assert_eq!(content, bytes(400_000, 1));
    let too_large = transport.get(&name("a"), 399_999).await.unwrap_err();
    assert!(matches!(
        too_large,
        TransportError::TooLarge { limit: 399_999, .. }
    ));
}

pub(super) async fn several_files_travel_at_once<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let contents = [bytes(3 * MIB, 1), bytes(2 * MIB, 2), bytes(MIB, 3)];
    let sources =
        (contents.each_ref()).map(|content| case.named_source(&content.len().to_string(), content));
    let (a, b, c) = tokio::join!(
        put(&transport, "a", &sources[0]),
        put(&transport, "b", &sources[1]),
        put(&transport, "c", &sources[2]),
    );
    for (stored, (to, content)) in [a, b, c]
        .into_iter()
        .zip(["a", "b", "c"].iter().zip(&contents))
    {
        stored.unwrap();
        assert!(case.content(to).as_ref() == Some(content));
    }
}
