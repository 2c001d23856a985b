//! What was begun, and is gone on with.

use std::fs;
use std::num::NonZeroU64;
use std::time::Duration;

use aim_remote::transport::{Bandwidth, Progress, Transport};

use super::case::{Case, Far};
use super::{MIB, bytes, name, put};

pub(super) async fn a_part_is_continued_where_it_is_the_same<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let content = bytes(3 * MIB, 1);
    let half = content.len() / 2 + 3;
    let longer = [&content[..], b"more"].concat();
    let mut altered = content[..half].to_vec();
    altered[MIB] ^= 0x80;
    let mut holed = content.clone();
    holed[MIB..2 * MIB].fill(0);
    for (part, reused) in [
        (&content[..half], half),
        (&content[..], content.len()),
        (&longer[..], content.len()),
        (&altered[..], MIB),
        (&holed[..], MIB),
        (&bytes(half, 2)[..], 0),
        (b"", 0),
    ] {
        fs::write(case.far_path("incoming/a.aim.part"), part).unwrap();
        let stored = put(&transport, "incoming/a.aim", &case.source(&content))
            .await
            .unwrap();
        // what is the same may end in the middle of a piece that is sent again
        assert_eq!(stored.reused, reused as u64);
        assert_eq!(fs::read(case.far_path("incoming/a.aim")).unwrap(), content);
        assert_eq!(transport.list("incoming").await.unwrap().len(), 1);
        transport.remove(&name("incoming/a.aim")).await.unwrap();
    }
}

pub(super) async fn a_bandwidth_is_kept<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let source = case.source(&bytes(3 * F::PIECE, 1));
    // after the first piece the next one is due in days
    let slow = Progress::throttled(Bandwidth::always(NonZeroU64::MIN));
    let to = name("incoming/a.aim");
    let putting = transport.put(&to, &source, &slow);
    let watching = async {
        let step = Duration::from_millis(1);
        while slow.sent() == 0 {
            tokio::time::sleep(step).await;
        }
        // time for more, if more were on its way
        for _ in 0..50 {
            transport.list("incoming").await.unwrap();
            tokio::time::sleep(step).await;
        }
    };
    tokio::select! {
        put = putting => panic!("{put:?}"),
        () = watching => {}
    }
    assert!(slow.sent() <= F::PIECE as u64, "{} bytes", slow.sent());
    // what was given up in the middle is gone on with
    let stored = put(&transport, "incoming/a.aim", &source).await.unwrap();
    assert_eq!(stored.reused, slow.sent());
}
