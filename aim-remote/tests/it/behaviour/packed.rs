//! Files that are packed on their way.

use std::fs;

use aim_core::fs::{Directory, HostDirectory};
use aim_core::packed::{Level, Unpacker};
use aim_remote::file_io::Source;
use aim_remote::transport::Transport;

use super::case::{Case, Far};
use super::{MIB, bytes, name, put};

/// A file that is packed on its way, and its content.
fn packed_source<F: Far>(case: &Case<F>) -> (Source, Vec<u8>) {
    let mut content = bytes(2 * MIB, 1);
    content.resize(5 * MIB, 0);
    fs::write(case.files.path().join("source"), &content).unwrap();
    let folder = HostDirectory::open(case.files.path()).unwrap();
    let source = case.io.open_packed(&*folder, "source", Level::MIN);
    (source.unwrap(), content)
}

pub(super) async fn packed_files_travel<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let (source, content) = packed_source(&case);
    let to = "incoming/a.aim.zst";
    let first = put(&transport, to, &source).await.unwrap();
    let packed = case.content(to).unwrap();
    assert_eq!((first.sent, first.reused), (packed.len() as u64, 0));
    assert!(packed.len() < 3 * MIB);
    assert!(unpacked(&packed) == content);
    let again = put(&transport, to, &source).await.unwrap();
    assert_eq!((again.sent, again.reused), (0, first.sent));
    // of the same length is not the same
    let mut altered = packed.clone();
    altered[MIB] ^= 1;
    case.plant(to, &altered);
    let stored = put(&transport, to, &source).await.unwrap();
    assert!(stored.reused < first.sent);
    assert!(case.content(to).unwrap() == packed);
}

pub(super) async fn a_part_of_a_packed_file_is_continued<F: Far>(case: Case<F>) {
    let transport = case.transport();
    let (source, _) = packed_source(&case);
    let to = "incoming/a.aim.zst";
    put(&transport, to, &source).await.unwrap();
    let packed = case.content(to).unwrap();
    let mut altered = packed.clone();
    altered[MIB] ^= 1;
    for (content, reused) in [
        (&altered[..], MIB),
        (&packed[..MIB + 9], MIB + 9),
        (&packed, packed.len()),
    ] {
        transport.remove(&name(to)).await.unwrap();
        case.plant("incoming/a.aim.zst.part", content);
        let stored = put(&transport, to, &source).await.unwrap();
        assert_eq!(stored.reused, reused as u64);
        assert!(case.content(to).unwrap() == packed);
    }
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("packed"), packed).unwrap();
    let folder = HostDirectory::open(temp.path()).unwrap();
    let mut unpacker = Unpacker::open(folder.open("packed", false).unwrap()).unwrap();
    let mut content = Vec::new();
    while let Some(piece) = unpacker.next_piece().unwrap() {
        content.extend_from_slice(piece);
    }
    content
}
