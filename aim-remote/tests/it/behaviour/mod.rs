//! What every transport does, run on every transport.

mod case;
mod files;
mod folders;
mod packed;
mod parts;
mod refused;
mod stores;

use aim_remote::file_io::{self, Source};
use aim_remote::transport::{Name, Progress, Put, Transport, TransportError};

use self::case::Case;
use self::files::{
    a_file_that_is_there_is_left_alone, a_missing_folder_is_not_found, a_small_file_has_a_limit,
    files_travel, folders_are_not_listed, other_content_is_replaced, several_files_travel_at_once,
    what_is_missing_is_not_found,
};
use self::folders::{ByProgram, InPlace, InternalSftp, Local, SftpServer};
use self::packed::{a_part_of_a_packed_file_is_continued, packed_files_travel};
use self::parts::{a_bandwidth_is_kept, a_part_is_continued_where_it_is_the_same};
use self::refused::{a_full_disk_is_said_and_shipping_goes_on, what_is_forbidden_is_said};
use self::stores::{MotoStore, SigningStore};

const MIB: usize = 1 << 20;

/// Bytes that don't repeat where pieces or pages end.
pub(crate) fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) async fn put(
    transport: &impl Transport,
    to: &str,
    source: &Source,
) -> Result<Put, TransportError> {
    let progress = Progress::default();
    let put = transport.put(&name(to), source, &progress).await?;
    assert_eq!(progress.acknowledged(), put.sent + put.reused);
    if let Some(len) = source.exact_len() {
        assert_eq!(put.sent + put.reused, len);
    }
    Ok(put)
}

/// What every transport does, and besides it what only some can.
macro_rules! suite {
    ($($module:ident: $far:ty, $more:ident;)*) => {$(
        mod $module {
            use super::*;
            tests!($far: files_travel, a_file_that_is_there_is_left_alone,
                other_content_is_replaced, what_is_missing_is_not_found,
                a_small_file_has_a_limit, several_files_travel_at_once, packed_files_travel,
                a_bandwidth_is_kept);
            $more!($far);
        }
    )*};
}

/// There are folders, in which something may be forbidden and a half-sent file is one, too.
macro_rules! of_folders {
    ($far:ty) => {
        on_disk!($far);
        tests!($far: folders_are_not_listed, a_missing_folder_is_not_found,
            a_part_is_continued_where_it_is_the_same, a_part_of_a_packed_file_is_continued);
    };
}

/// It may be forbidden to write, and room may be missing.
macro_rules! on_disk {
    ($far:ty) => {
        tests!($far: what_is_forbidden_is_said, a_full_disk_is_said_and_shipping_goes_on);
    };
}

/// In memory.
macro_rules! nothing_more {
    ($far:ty) => {};
}

macro_rules! tests {
    ($far:ty: $($test:ident),*) => {$(
        #[test]
        fn $test() {
            file_io::run(|io| super::$test(Case::<$far>::new(io))).unwrap();
        }
    )*};
}

suite! {
    local: Local, of_folders;
    in_place: InPlace, of_folders;
    internal_sftp: InternalSftp, of_folders;
    sftp_server: SftpServer, of_folders;
    ssh_program: ByProgram, of_folders;
    s3s_fs: SigningStore, on_disk;
    moto: MotoStore, nothing_more;
}
