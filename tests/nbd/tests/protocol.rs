//! The server as a client sees it: a tiny one that speaks the protocol byte by byte.

#![expect(
    clippy::big_endian_bytes,
    reason = "the protocol's numbers are big-endian"
)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aim_nbd::{Cut, Power, Server};
use tempfile::TempDir;

const READ: u16 = 0;
const WRITE: u16 = 1;
const FLUSH: u16 = 3;
const TRIM: u16 = 4;
const ZEROES: u16 = 6;
const FUA: u16 = 1;
const SIZE: u64 = 64 << 10;

struct Disk {
    folder: TempDir,
    power: Arc<Power>,
    server: Server,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("disk");
        std::fs::write(&image, vec![0; SIZE as usize]).expect("room");
        let power = Power::new();
        let server = Server::start(&image, &folder.path().join("socket"), &power);
        Self {
            power,
            server: server.expect("a server"),
            folder,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn connect(&self) -> Client {
        let mut client = Client::greeted(&self.socket());
        client.option(7, &[0, 0, 0, 0, 0, 0]);
        assert_eq!(client.option_reply().0, 3, "what it is");
        assert_eq!(client.option_reply().0, 3, "its blocks");
        assert_eq!(client.option_reply().0, 1, "that is all");
        client
    }
}

struct Client(UnixStream);

impl Client {
    /// Connected, and the greetings exchanged.
    fn greeted(socket: &PathBuf) -> Self {
        let line = UnixStream::connect(socket).expect("a server");
        line.set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout");
        let mut client = Self(line);
        assert_eq!(&client.take(18), b"NBDMAGICIHAVEOPT\0\x03");
        client.0.write_all(&3_u32.to_be_bytes()).expect("sent");
        client
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).expect("an answer");
        bytes
    }

    fn number(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn option(&mut self, option: u32, data: &[u8]) {
        let len = (data.len() as u32).to_be_bytes();
        let parts = [b"IHAVEOPT", &option.to_be_bytes()[..], &len, data];
        self.0.write_all(&parts.concat()).expect("sent");
    }

    /// Kind and data of a reply to an option.
    fn option_reply(&mut self) -> (u32, Vec<u8>) {
        assert_eq!(self.take(8), 0x0003_e889_0455_65a9_u64.to_be_bytes());
        let _option = self.number();
        let kind = self.number();
        let len = self.number();
        (kind, self.take(len as usize))
    }

    fn send(&mut self, flags: u16, command: u16, offset: u64, len: u32, payload: &[u8]) {
        let parts = [
            &0x2560_9513_u32.to_be_bytes()[..],
            &flags.to_be_bytes(),
            &command.to_be_bytes(),
            b"a cookie",
            &offset.to_be_bytes(),
            &len.to_be_bytes(),
            payload,
        ];
        self.0.write_all(&parts.concat()).expect("sent");
    }

    /// The error of a reply, 0 for none.
    fn reply(&mut self) -> u32 {
        assert_eq!(self.take(4), 0x6744_6698_u32.to_be_bytes());
        let error = self.number();
        assert_eq!(self.take(8), b"a cookie");
        error
    }

    fn write(&mut self, flags: u16, offset: u64, byte: u8) -> u32 {
        self.send(flags, WRITE, offset, 512, &[byte; 512]);
        self.reply()
    }

    fn command(&mut self, flags: u16, command: u16, offset: u64, len: u32) -> u32 {
        self.send(flags, command, offset, len, &[]);
        self.reply()
    }

    /// The first byte of the sector there.
    fn read(&mut self, offset: u64) -> u8 {
        assert_eq!(self.command(0, READ, offset, 512), 0);
        self.take(512)[0]
    }
}

#[test]
fn the_export_is_told_with_its_size_and_what_it_can() {
    let disk = Disk::new();
    let mut client = Client::greeted(&disk.socket());
    client.option(8, &[]);
    assert_eq!(
        client.option_reply().0,
        0x8000_0001,
        "no structured replies"
    );
    client.option(7, &[0, 0, 0, 9]);
    assert_eq!(
        client.option_reply().0,
        0x8000_0003,
        "a name that is cut off"
    );
    client.option(6, &[0, 0, 0, 1, b'x', 0, 1, 0, 0]);
    let (kind, info) = client.option_reply();
    let flags = 0b110_1101_u16; // flags; flush, FUA; trim, zeroes
    let expected = [&[0, 0], &SIZE.to_be_bytes()[..], &flags.to_be_bytes()].concat();
    assert_eq!((kind, info), (3, expected));
    let (kind, info) = client.option_reply();
    assert_eq!((kind, info.len(), &info[..2]), (3, 14, &[0, 3][..]));
    assert_eq!(client.option_reply().0, 1);
    client.option(2, &[]);
    assert_eq!(client.option_reply().0, 1, "farewell");
}

#[test]
fn an_old_client_gets_the_export_by_its_name() {
    let disk = Disk::new();
    let mut client = Client::greeted(&disk.socket());
    client.option(1, b"");
    assert_eq!(client.take(10)[..8], SIZE.to_be_bytes());
    assert_eq!(client.write(0, 0, 5), 0);
    assert_eq!(client.read(0), 5);
}

#[test]
fn commands_do_what_they_say() {
    let disk = Disk::new();
    let mut client = disk.connect();
    for sector in 0..4 {
        assert_eq!(client.write(0, sector * 512, 1 + sector as u8), 0);
    }
    assert_eq!(client.command(0, ZEROES, 512, 512), 0);
    assert_eq!(client.command(0, TRIM, 0, 2048), 0);
    let seen = [0, 1, 2, 3].map(|sector| client.read(sector * 512));
    assert_eq!(seen, [1, 0, 3, 4]);
    assert_eq!(client.write(0, SIZE, 1), 22);
    assert_eq!(client.command(0, READ, SIZE, 512), 22);
    assert_eq!(client.command(0, 77, 0, 0), 22);
    assert_eq!(client.read(0), 1, "and it goes on");
}

#[test]
fn a_cut_loses_what_was_not_flushed_and_the_next_client_sees_it() {
    let disk = Disk::new();
    let mut client = disk.connect();
    client.write(0, 0, 1);
    assert_eq!(client.command(0, FLUSH, 0, 0), 0);
    client.write(0, 0, 2);
    client.write(0, 512, 3);
    client.write(FUA, 1024, 4);
    client.command(FUA, ZEROES, 1536, 512);
    disk.power.cut();
    let survivors = disk.server.power_cut(Cut::LosesAll).expect("room");
    assert_eq!(survivors.lost, 2);
    disk.power.restore();
    let mut client = disk.connect();
    let seen = [0, 1, 2].map(|sector| client.read(sector * 512));
    assert_eq!(seen, [1, 0, 4]);
}

#[test]
fn the_request_that_meets_the_cut_is_not_answered() {
    for (command, len, kept) in [(WRITE, 512, 2), (FLUSH, 0, 1)] {
        let disk = Disk::new();
        let mut client = disk.connect();
        client.write(0, 0, 1);
        client.command(0, FLUSH, 0, 0);
        client.write(0, 512, 1);
        disk.power.cut_at(1);
        client.send(0, command, 0, len, &vec![2; len as usize]);
        assert!(disk.power.wait_off(Duration::from_secs(20)));
        // nor are those that come after it, reads among them
        client.send(0, READ, 0, 512, &[]);
        let lost = disk.server.power_cut(Cut::KeepsAll).expect("room");
        assert_eq!(lost.lost, 0);
        let mut answer = Vec::new();
        client.0.read_to_end(&mut answer).expect("the end");
        assert!(answer.is_empty());
        disk.power.restore();
        let mut client = disk.connect();
        assert_eq!([client.read(0), client.read(512)], [kept, 1]);
    }
}

#[test]
fn a_flush_that_meets_the_cut_makes_nothing_durable() {
    let disk = Disk::new();
    let mut client = disk.connect();
    client.write(0, 0, 1);
    disk.power.cut_at(1);
    client.send(0, FLUSH, 0, 0, &[]);
    assert!(disk.power.wait_off(Duration::from_secs(20)));
    disk.server.power_cut(Cut::LosesAll).expect("room");
    disk.power.restore();
    assert_eq!(disk.connect().read(0), 0);
}

#[test]
fn nonsense_ends_the_connection_and_not_the_server() {
    let disk = Disk::new();
    let mut client = disk.connect();
    client.0.write_all(&[7; 28]).expect("sent");
    let mut answer = Vec::new();
    client.0.read_to_end(&mut answer).expect("the end");
    assert!(answer.is_empty());
    let mut client = disk.connect();
    client.send(0, WRITE, 0, u32::MAX, &[]);
    client.0.read_to_end(&mut answer).expect("the end");
    assert_eq!(disk.connect().read(0), 0);
}
