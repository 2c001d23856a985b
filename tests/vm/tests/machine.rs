//! What the tests and the demo rely on in a guest.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use aim_nbd::{Cut, Power, Server};
use aim_vm::{Disk, Exit, Guest, Kernel, KernelImage, Link, cache_folder};

fn image() -> KernelImage {
    Kernel::New
        .image(&cache_folder(), |words| eprintln!("{words}"))
        .expect("a kernel")
}

/// A guest that runs a script of the shell.
fn guest(script: &str) -> Guest {
    Guest::new(&image(), ["sh", "-ec", script])
        .processors(1)
        .timeout(Duration::from_secs(240))
}

/// A writer whose pieces arrive at a channel.
struct Sending(Sender<Vec<u8>>);

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.send(bytes.to_vec());
        sent.map(|()| bytes.len())
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn collected(pieces: &Receiver<Vec<u8>>) -> String {
    let bytes: Vec<u8> = pieces.iter().flatten().collect();
    String::from_utf8(bytes).expect("text")
}

#[test]
fn status_streams_and_environment_are_the_commands_own() {
    let (out, shown) = channel();
    let (err, complained) = channel();
    let script = r#"echo "$WORD in $PWD"; echo trouble >&2; test -b /dev/vda; exit 7"#;
    let guest = guest(script)
        .env("WORD", "it's")
        .disk(Disk::Scratch(64 << 20));
    let exit = guest
        .spawn(Sending(out), Sending(err))
        .expect("a guest")
        .wait();
    assert_eq!(exit.expect("an end"), Exit::Status(7));
    let folder = std::env::current_dir().expect("a folder");
    assert_eq!(collected(&shown), format!("it's in {}\n", folder.display()));
    assert_eq!(collected(&complained), "trouble\n");
}

#[test]
fn a_guest_that_takes_too_long_is_killed() {
    let guest = guest("sleep 1000").timeout(Duration::from_secs(2));
    let exit = guest
        .spawn(io::sink(), io::sink())
        .expect("a guest")
        .wait()
        .expect("an end");
    assert_eq!(exit, Exit::TimedOut);
    assert_eq!(exit.code(), 124);
}

#[test]
fn what_was_written_to_a_file_disk_survives_a_power_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk.raw");
    std::fs::File::create(&disk)
        .and_then(|file| file.set_len(1 << 20))
        .expect("a disk");
    let (out, shown) = channel();
    let script = "echo precious | dd of=/dev/vda conv=fsync status=none; echo done; sleep 1000";
    let guest = guest(script).disk(Disk::File(disk.clone()));
    let mut running = guest.spawn(Sending(out), io::stderr()).expect("a guest");
    assert_eq!(shown.recv().expect("the guest lives"), b"done\n");
    running.power_cut().expect("it can be killed");
    let exit = running.wait().expect("an end");
    assert_eq!(exit.code(), 125, "{exit:?}");
    assert!(
        std::fs::read(&disk)
            .expect("the disk")
            .starts_with(b"precious\n")
    );
}

#[test]
fn what_was_not_flushed_is_lost_with_the_power_where_the_disk_has_a_cache() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("disk.raw");
    std::fs::write(&image, vec![b'-'; 1 << 20]).expect("a disk");
    let power = Power::new();
    let server = Server::start(&image, &folder.path().join("socket"), &power).expect("a server");
    let (out, shown) = channel();
    let script = "put() { head -c 512 /dev/zero | tr '\\0' $1 |
                      dd of=/dev/vda bs=512 seek=$2 oflag=direct status=none $3; }
                  put a 0 conv=fsync; put b 0; put b 1; echo done
                  dd if=/dev/vda bs=1024 count=1 iflag=direct status=none; sleep 1000";
    let guest = guest(script).disk(Disk::Drive(server.drive()));
    let mut running = guest.spawn(Sending(out), io::stderr()).expect("a guest");
    let mut said = Vec::new();
    while said.len() < 5 + 1024 {
        said.extend(shown.recv().expect("the guest lives"));
    }
    assert_eq!(said[5..], [b'b'; 1024], "it reads what it wrote");
    power.cut();
    running.power_cut().expect("it can be killed");
    running.wait().expect("an end");
    let lost = server.power_cut(Cut::LosesAll).expect("room").lost;
    assert_eq!(lost, 2);
    let left = std::fs::read(&image).expect("the disk");
    assert_eq!(left[..512], [b'a'; 512]);
    assert_eq!(left[512..], [b'-'; (1 << 20) - 512]);
}

#[test]
fn two_guests_reach_each_other_over_a_link() {
    let link = Link::new().expect("a link");
    let [here, there] = link.ends(["10.7.0.1/24", "10.7.0.2/24"]);
    let silent = guest("sleep 1000").link(there);
    let silent = silent.spawn(io::sink(), io::sink()).expect("a guest");
    let knocking = guest("until busybox ping -q -c 1 -W 1 10.7.0.2; do :; done").link(here);
    let exit = knocking
        .spawn(io::sink(), io::stderr())
        .expect("a guest")
        .wait();
    assert_eq!(exit.expect("an end"), Exit::Status(0));
    drop(silent);
}
