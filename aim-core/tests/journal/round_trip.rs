//! Whatever is written, in whatever batches, is read again.

use aim_core::cursor::Position;
use aim_core::format::Kind;
use aim_core::journal::{OpenFile, OpenSpec, Recovered, VerifiedFile, recover};
use aim_core::units::{ByteLen, Lsn, Timestamp};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use crate::sample::{self, Owned, T0};

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Write),
        1 => any::<bool>().prop_map(|unmap| Kind::WriteZeroes { unmap }),
        1 => Just(Kind::Discard),
        1 => Just(Kind::Flush),
        1 => Just(Kind::Void),
    ]
}

/// A record on one of the two devices of `sample::volume`.
fn record() -> impl Strategy<Value = Owned> {
    let numbers = (0..2u16, any::<bool>(), any::<u8>());
    (kind(), numbers, 0..256u64, 1..5u64).prop_map(|(kind, (device, fua, seed), first, blocks)| {
        let block = [512, 4096][usize::from(device)];
        let (offset, len) = match kind {
            Kind::Flush => (0, 0),
            _ => (first * block, blocks * block),
        };
        let payload = match kind {
            Kind::Write => sample::bytes(seed, len as usize),
            _ => Vec::new(),
        };
        Owned {
            device,
            kind,
            fua: fua && kind.changes_bytes(),
            offset,
            len,
            payload,
        }
    })
}

/// Records, and where they are cut into batches.
fn batches() -> impl Strategy<Value = Vec<Vec<Owned>>> {
    vec(vec(record(), 0..20), 1..8)
}

proptest! {
    #![proptest_config(prop::test_runner::Config {
        cases: 128,
        failure_persistence: None,
        ..prop::test_runner::Config::default()
    })]

    #[test]
    fn what_is_written_is_read(batches in batches(), crashes in any::<bool>(), first in 1..1000u64) {
        let dir = sample::folder();
        let after = match first {
            1 => Position::START,
            _ => Position { digest: [5; 32], file: aim_core::units::FileNumber(1), lsn: Lsn(first), ..Position::START },
        };
        let spec = OpenSpec {
            iocb_capacity: 160,
            target_size: ByteLen(64 << 20),
            ..sample::spec(after)
        };
        let mut file = OpenFile::create(&*dir, &spec).unwrap();
        for batch in &batches {
            let next = file.last_lsn().next().get();
            file.append(&sample::numbered(next, batch)).unwrap();
        }
        let all: Vec<Owned> = batches.concat();
        let name = file.name();
        if all.is_empty() {
            drop(file);
            assert!(matches!(recover(&*dir, name), Ok(Recovered::Empty)));
            return Ok(());
        }
        if crashes {
            drop(file);
            let Ok(Recovered::Open(again)) = recover(&*dir, name) else { panic!("records are there") };
            file = *again;
        }
        let sealed = file.seal(Timestamp(T0)).unwrap();
        let file = VerifiedFile::open(dir.open(&name.open(), false).unwrap()).unwrap();
        prop_assert_eq!(file.sealed(), sealed);
        let content = sample::content(&file);
        prop_assert_eq!(content.len(), all.len());
        let lsns = after.lsn.next().get()..;
        for ((lsn, owned), (iocb, payload)) in lsns.zip(&all).zip(&content) {
            let record = owned.as_record(lsn);
            prop_assert_eq!((iocb.lsn, iocb.device, iocb.kind, iocb.fua), (record.lsn, record.device, record.kind, record.fua));
            prop_assert_eq!((iocb.offset, iocb.len, iocb.time), (record.offset, record.len, record.time));
            prop_assert_eq!(payload, &owned.payload);
        }
    }
}
