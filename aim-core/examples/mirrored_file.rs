//! Wraps a plain file as a mirrored device: what is written to it also lands in journal files,
//! and applying these to a second file makes the two equal.

use std::sync::Arc;

use aim_core::capture::{
    Capture, CaptureConfig, ExtentMap, Initial, MirroredDevice, StagingConfig,
};
use aim_core::clock::SystemClock;
use aim_core::device::{BlockDevice, FileDevice};
use aim_core::fs::HostDirectory;
use aim_core::identity::VolumeIdentity;
use aim_core::journal::VerifiedFile;
use aim_core::replay::Replay;
use aim_core::spool::{MirrorSpool, SourceSpool};
use aim_core::units::{ByteLen, ByteOffset};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temp = tempfile::tempdir()?;
    let source = temp.path().join("source.img");
    let mirror = temp.path().join("mirror.img");
    std::fs::write(&source, vec![0; 1 << 20])?;
    std::fs::write(&mirror, vec![0; 1 << 20])?;

    // the source: every change goes to source.img and into the journal
    let identity = VolumeIdentity::generate(ByteLen(1 << 20), 512);
    let journal = HostDirectory::open_or_create(temp.path().join("journal"))?;
    ExtentMap::create(&*journal, &identity, Initial::Identical, None)?;
    let spool = SourceSpool::create(journal, &identity)?;
    let config = CaptureConfig::new(StagingConfig::anonymous(4, 64 << 10));
    let disk = Arc::new(FileDevice::open_exclusive(&source)?);
    let capture = Capture::start(&config, spool.clone(), vec![disk.clone()], SystemClock)?;
    let disk = MirroredDevice::new(disk, capture);
    disk.write(ByteOffset(8192), &[0x5a; 4096])?;
    disk.discard(ByteOffset(8192), ByteLen(512))?;
    disk.sync()?;
    disk.stop()?;

    // the mirror: files from outgoing/, brought by any mover, in order onto mirror.img
    let folder = HostDirectory::open_or_create(temp.path().join("mirror"))?;
    let cursor = Arc::new(MirrorSpool::create(folder, &identity)?.cursor()?);
    let device = Arc::new(FileDevice::open_exclusive(&mirror)?);
    let mut replay = Replay::new(identity, vec![device], cursor)?;
    for waiting in spool.outgoing()?.files {
        let file = spool
            .outgoing_folder()
            .open(&waiting.name.sealed(), false)?;
        println!(
            "{}: {:?}",
            waiting.name,
            replay.apply(&VerifiedFile::open(file)?)?
        );
    }
    assert!(
        std::fs::read(&source)? == std::fs::read(&mirror)?,
        "the mirror differs"
    );
    println!(
        "source and mirror are identical up to {}",
        replay.cursor().applied
    );
    Ok(())
}
