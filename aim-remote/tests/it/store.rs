//! Object stores that go away, forget, refuse.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aim_remote::file_io::{self, Source};
use aim_remote::store::StoreLimits;
use aim_remote::transport::{
    Bandwidth, Progress, Remedy, StoreTransport, Transport, TransportError,
};
use tempfile::TempDir;

use crate::behaviour::{bytes, name, put};
use crate::s3_server::{Account, BUCKET, Moto, PREFIX, S3sFs, files_of};

const PIECE: usize = 5 << 20;
const PIECES: usize = 4;
const TO: &str = "incoming/a.aim";

struct Case {
    root: TempDir,
    account: Account,
    server: S3sFs,
    content: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self {
            server: S3sFs::start(root.path()),
            root,
            account: Account::new(),
            content: bytes(PIECES * PIECE - 7, 1),
        }
    }

    fn transport(&self) -> StoreTransport {
        let target = self.account.target(self.server.address, BUCKET, PREFIX);
        StoreTransport::new(target)
    }

    fn source(&self) -> Source {
        Source::from_bytes("source", self.content.as_slice())
    }

    fn object(&self, name: &str) -> PathBuf {
        files_of(self.root.path()).join(name)
    }

    fn restart(self) -> Self {
        let address = self.server.address;
        drop(self.server);
        Self {
            server: S3sFs::start_at(self.root.path(), address),
            ..self
        }
    }

    /// Sends the file until the server takes no more parts. Gives what came of it when the server
    /// was killed then, and started again.
    async fn break_off(self, transport: &StoreTransport) -> (Self, TransportError) {
        self.server.gate.take_parts(PIECES - 1);
        let source = self.source();
        let (to, progress) = (name(TO), Progress::default());
        let sending = transport.put(&to, &source, &progress);
        let gate = Arc::clone(&self.server.gate);
        let killing = async {
            let shut = tokio::task::spawn_blocking(move || gate.wait_until_shut());
            shut.await.unwrap();
            while progress.sent() < PIECE as u64 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let restarting = tokio::task::spawn_blocking(|| self.restart());
            restarting.await.unwrap()
        };
        let (sent, case) = tokio::join!(sending, killing);
        (case, sent.unwrap_err())
    }

    /// Files in which s3s-fs keeps parts, and what it knows of objects that are not complete.
    fn parts_kept(&self) -> usize {
        let files = fs::read_dir(self.root.path()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("upload")).count()
    }
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_a_file_is_gone_on_with() {
    let case = Case::new();
    file_io::run(|_| async move {
        let transport = case.transport();
        let (case, lost) = case.break_off(&transport).await;
        assert!(
            matches!(lost, TransportError::ConnectionLost { .. }),
            "{lost}"
        );
        assert_eq!(lost.remedy(), Remedy::Retry);
        assert!(!case.object(TO).exists());
        let listed = transport.list("incoming").await.unwrap();
        let names: Vec<_> = listed.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["a.aim.part"]);
        let stored = put(&transport, TO, &case.source()).await.unwrap();
        assert!(stored.reused >= PIECE as u64, "{stored:?}");
        assert!(fs::read(case.object(TO)).unwrap() == case.content);
        assert_eq!(transport.list("incoming").await.unwrap().len(), 1);
        assert_eq!(case.parts_kept(), 0);
    })
    .unwrap();
}

#[test]
fn of_other_content_nothing_is_gone_on_with() {
    let case = Case::new();
    file_io::run(|_| async move {
        let transport = case.transport();
        let (mut case, _) = case.break_off(&transport).await;
        for at in [0, PIECE, 2 * PIECE] {
            case.content[at] ^= 1;
        }
        let stored = put(&transport, TO, &case.source()).await.unwrap();
        assert_eq!(stored.reused, 0);
        assert!(fs::read(case.object(TO)).unwrap() == case.content);
    })
    .unwrap();
}

#[test]
fn what_an_ended_process_has_left_is_given_up_by_the_next_one() {
    let case = Case::new();
    file_io::run(|_| async move {
        let transport = case.transport();
        let (case, _) = case.break_off(&transport).await;
        drop(transport);
        assert!(case.parts_kept() > 0);
        assert!(case.object("incoming/a.aim.part").exists());
        let next = case.transport();
        put(&next, "incoming/b.aim", &case.source()).await.unwrap();
        assert!(!case.object("incoming/a.aim.part").exists());
        assert_eq!(case.parts_kept(), 0);
    })
    .unwrap();
}

#[test]
fn an_upload_that_the_store_has_forgotten_begins_anew() {
    let moto = Moto::shared();
    let bucket = moto.new_bucket();
    let account = Account::new();
    file_io::run(|_| async move {
        let transport = StoreTransport::new(account.target(moto.address, &bucket, PREFIX));
        let content = bytes(2 * PIECE, 1);
        let source = Source::from_bytes("source", content.as_slice());
        let slow = Progress::throttled(Bandwidth::always(NonZeroU64::MIN));
        let to = name(TO);
        let sending = transport.put(&to, &source, &slow);
        let first_arrived = async {
            while slow.sent() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            put = sending => panic!("{put:?}"),
            () = first_arrived => {}
        }
        let note = format!("/{bucket}/{PREFIX}/{TO}.part");
        let (_, id) = moto.ask("GET", &note, b"");
        let id = String::from_utf8(id).unwrap();
        let upload = format!("/{bucket}/{PREFIX}/{TO}?uploadId={id}");
        let (head, _) = moto.ask("DELETE", &upload, b"");
        assert!(head.contains(" 204 "), "{head}");
        let mut stored = put(&transport, TO, &source).await;
        if let Err(TransportError::Busy { .. }) = &stored {
            // moto has an error of its own where it should not know the upload
            stored = put(&transport, TO, &source).await;
        }
        assert_eq!(stored.unwrap().sent, content.len() as u64);
        let (_, there) = moto.ask("GET", &format!("/{bucket}/{PREFIX}/{TO}"), b"");
        assert!(there == content);
        assert_eq!(transport.list("incoming").await.unwrap().len(), 1);
    })
    .unwrap();
}

#[test]
fn refused_credentials_are_said_and_read_again() {
    let case = Case::new();
    file_io::run(|_| async move {
        let transport = case.transport();
        case.account.set("AKTEST", "another secret");
        let refused = transport.list("").await.unwrap_err();
        let TransportError::AuthenticationRefused { user, tried, .. } = &refused else {
            panic!("{refused}")
        };
        assert_eq!(user, "AKTEST");
        assert!(tried[0].contains("SignatureDoesNotMatch"), "{refused}");
        assert_eq!(refused.remedy(), Remedy::Operator);
        case.account.set("AKTEST", "wJalrXUtnFEMI/K7MDENG");
        transport.list("").await.unwrap();
    })
    .unwrap();
}

#[test]
fn a_bucket_that_is_missing_is_named() {
    let account = Account::new();
    let moto = Moto::shared();
    file_io::run(|_| async move {
        let target = account.target(moto.address, "no-such-bucket", PREFIX);
        let transport = StoreTransport::new(target);
        let source = Source::from_bytes("source", b"x".as_slice());
        let missing = [
            transport.list("").await.map(drop),
            put(&transport, "a", &source).await.map(drop),
            transport.remove(&name("a")).await,
        ];
        for missing in missing {
            let missing = missing.unwrap_err();
            let TransportError::NotFound { place } = &missing else {
                panic!("{missing}")
            };
            assert_eq!(*place, format!("s3://no-such-bucket at {}", moto.address));
        }
    })
    .unwrap();
}

/// A server that gives each request the same answer, or none.
fn server(answer: Option<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut frozen = Vec::new();
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let Some(answer) = &answer else {
                frozen.push(client);
                continue;
            };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

#[test]
fn what_a_store_says_has_its_kind() {
    let answer = |status: &str, code: &str| {
        let body = match code {
            "" => String::new(),
            code => format!("<Error><Code>{code}</Code><Message>because</Message></Error>"),
        };
        let len = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}")
    };
    type Kind = fn(&TransportError) -> bool;
    let kinds: [(&str, &str, Kind); 11] = [
        (
            "503 x",
            "SlowDown",
            |e| matches!(e, TransportError::Busy { reason, .. } if reason == "SlowDown: because"),
        ),
        ("500 x", "InternalError", |e| {
            matches!(e, TransportError::Busy { .. })
        }),
        ("502 x", "", |e| matches!(e, TransportError::Busy { .. })),
        ("507 x", "", |e| matches!(e, TransportError::NoSpace { .. })),
        ("403 x", "QuotaExceeded", |e| {
            matches!(e, TransportError::NoSpace { .. })
        }),
        ("403 x", "AccessDenied", |e| {
            matches!(e, TransportError::PermissionDenied { .. })
        }),
        ("400 x", "ExpiredToken", |e| {
            matches!(e, TransportError::AuthenticationRefused { .. })
        }),
        (
            "301 x",
            "",
            |e| matches!(e, TransportError::OtherRegion { region, .. } if region == "us-east-1"),
        ),
        ("400 x", "AuthorizationHeaderMalformed", |e| {
            matches!(e, TransportError::OtherRegion { .. })
        }),
        ("404 x", "NoSuchBucket", |e| {
            matches!(e, TransportError::NotFound { .. })
        }),
        (
            "400 x",
            "Strange",
            |e| matches!(e, TransportError::Refused { reason, .. } if reason == "Strange: because"),
        ),
    ];
    let account = Account::new();
    file_io::run(|_| async move {
        for (status, code, is_of_kind) in kinds {
            let address = server(Some(answer(status, code)));
            let transport = StoreTransport::new(account.target(address, BUCKET, ""));
            let error = transport.list("").await.unwrap_err();
            assert!(is_of_kind(&error), "{status} {code}: {error:?}");
        }
    })
    .unwrap();
}

#[test]
fn a_store_that_does_not_answer_is_given_up() {
    let account = Account::new();
    let mut target = account.target(server(None), BUCKET, "");
    target.limits = StoreLimits {
        answer: Duration::from_millis(300),
        slowest: 1 << 30,
    };
    file_io::run(|_| async move {
        let transport = StoreTransport::new(target);
        let frozen = transport.list("").await.unwrap_err();
        assert!(matches!(frozen, TransportError::Timeout { .. }), "{frozen}");
        assert_eq!(frozen.remedy(), Remedy::Retry);
        let source = Source::from_bytes("source", bytes(PIECE, 1));
        let frozen = put(&transport, "a", &source).await.unwrap_err();
        assert!(matches!(frozen, TransportError::Timeout { .. }), "{frozen}");
    })
    .unwrap();
}

#[test]
fn a_store_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let target = Account::new().target(address, BUCKET, "");
    file_io::run(|_| async move {
        let away = StoreTransport::new(target).list("").await.unwrap_err();
        assert!(matches!(away, TransportError::Credentials { .. }), "{away}");
        let account = Account::new();
        let target = account.target(address, BUCKET, "");
        let away = StoreTransport::new(target).list("").await.unwrap_err();
        assert!(matches!(away, TransportError::Unreachable { .. }), "{away}");
        assert_eq!(away.remedy(), Remedy::Retry);
    })
    .unwrap();
}

#[test]
fn without_permission_the_way_is_encrypted() {
    let account = Account::new();
    let mut target = account.target(server(None), BUCKET, "");
    target.allow_http = false;
    file_io::run(|_| async move {
        let refused = StoreTransport::new(target).list("").await.unwrap_err();
        assert!(
            !matches!(refused, TransportError::Timeout { .. }),
            "{refused}"
        );
    })
    .unwrap();
}
