//! Prints the header and the I/O control blocks of journal files, sealed or open.
//!
//! ```text
//! cargo run --example print_journal -p aim-core -- FILE...
//! ```

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use aim_core::format::{Header, Iocb, Kind};
use aim_core::fs::{Directory, HostDirectory};
use aim_core::journal::ParsedFile;

fn main() -> ExitCode {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    if paths.is_empty() {
        eprintln!("usage: print_journal FILE...");
        return ExitCode::from(2);
    }
    let mut code = ExitCode::SUCCESS;
    for path in &paths {
        let path = Path::new(path);
        println!("{}", path.display());
        if let Err(error) = print(path) {
            eprintln!("{}: {error}", path.display());
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn print(path: &Path) -> Result<(), Box<dyn Error>> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or("not the path of a file")?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let file = ParsedFile::open(HostDirectory::open(folder)?.open(name, false)?)?;
    print_header(file.header());
    for iocb in file.iocbs()? {
        print_iocb(&iocb);
    }
    if file.is_sealed() {
        let records = file.verify()?.records().len();
        println!("  verified      every byte, {records} records");
    }
    Ok(())
}

fn print_header(header: &Header) {
    println!("  volume        {}", header.volume.id);
    println!("  epoch, file   {}, {}", header.volume.epoch, header.number);
    for (index, device) in header.volume.devices.iter().enumerate() {
        println!(
            "  device {index:<6} {}, {} bytes in blocks of {}",
            device.id, device.size, device.block_size
        );
    }
    println!("  previous      {}", hex(&header.previous));
    println!("  created       {}", seconds(header.created.get()));
    let layout = &header.layout;
    println!(
        "  IOCBs         at byte {}, room for {}",
        layout.iocb_offset, layout.iocb_capacity
    );
    match &header.seal {
        None => {
            println!("  data          at byte {}", layout.data_offset);
            println!("  state         open, from LSN {}", header.first_lsn);
        }
        Some(seal) => {
            println!(
                "  data          at byte {}, {} bytes",
                layout.data_offset, seal.data_len
            );
            println!(
                "  state         sealed at {}, {} records, LSN {} to {}",
                seconds(seal.sealed.get()),
                seal.iocb_count,
                header.first_lsn,
                seal.last_lsn
            );
            println!("  total size    {} bytes", seal.total_size);
            println!("  digest        {}", hex(&seal.digest));
        }
    }
}

fn print_iocb(iocb: &Iocb) {
    let operation = match iocb.kind {
        Kind::Write => "write",
        Kind::WriteZeroes { unmap: true } => "write zeroes",
        Kind::WriteZeroes { unmap: false } => "write zeroes, stay allocated",
        Kind::Discard => "discard",
        Kind::Flush => "flush",
        Kind::Void => "void",
        Kind::Verify { .. } => "verify",
        Kind::GroupBegin { hole: false } => "group begin",
        Kind::GroupBegin { hole: true } => "group begin, behind a hole",
        Kind::BaselineBegin => "baseline begin",
        Kind::BaselineEnd { .. } => "baseline end",
        Kind::GroupEnd => "group end",
    };
    let fua = if iocb.fua { ", FUA" } else { "" };
    print!(
        "  {:>8}  {}  device {}  {operation}{fua}",
        iocb.lsn,
        seconds(iocb.time.get()),
        iocb.device
    );
    if iocb.len.get() != 0 {
        print!("  {} bytes at {}", iocb.len, iocb.offset);
    }
    if let Some(payload) = &iocb.payload {
        print!(
            "  payload at byte {}, checksum {:016x}",
            payload.place, payload.checksum
        );
    }
    println!();
}

/// Seconds since 1970-01-01 UTC.
fn seconds(nanoseconds: u64) -> String {
    let (whole, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    format!("{whole}.{rest:09}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
