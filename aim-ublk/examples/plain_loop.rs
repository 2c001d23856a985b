//! The least that a ublk device can be: each request goes to the disk behind it, and that is all.
//!
//! `plain_loop DISK [copy|zero-copy] [--queues N] [--depth N] [--request-bytes N]`, as root. Prints
//! the path of its device when that can be used, and takes it away when its input ends. Nothing but
//! libublk stands between the driver and the disk, so what `cargo xtask bench capture` finds for it
//! is what any device has to pay.

use std::cell::RefCell;
use std::error::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::ptr;

use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, squeue, types};
use libublk::ctrl::{UblkCtrl, UblkCtrlBuilder};
use libublk::helpers::IoBuf;
use libublk::io::{BufDescList, UblkDev, UblkIOCtx, UblkQueue, ublk_init_task_ring};
use libublk::{BufDesc, UblkError, UblkFlags, UblkIORes, sys};

/// Place of the disk in the ring's table of files; 0 is the device's control file.
const DISK: types::Fixed = types::Fixed(1);

struct Arguments {
    disk: String,
    zero_copy: bool,
    queues: u16,
    depth: u16,
    request_bytes: u32,
}

impl Arguments {
    fn read() -> Result<Self, Box<dyn Error>> {
        let mut words = std::env::args().skip(1);
        let mut arguments = Self {
            disk: words.next().ok_or("usage: plain_loop DISK [WORDS]")?,
            zero_copy: false,
            queues: 1,
            depth: 64,
            request_bytes: 128 << 10,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "copy" => arguments.zero_copy = false,
                "zero-copy" => arguments.zero_copy = true,
                "--queues" => arguments.queues = value()?.parse()?,
                "--depth" => arguments.depth = value()?.parse()?,
                "--request-bytes" => arguments.request_bytes = value()?.parse()?,
                _ => return Err(format!("what is {word}?").into()),
            }
        }
        Ok(arguments)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read()?;
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_DIRECT);
    let mut disk = options.open(&arguments.disk)?;
    let size = disk.seek(SeekFrom::End(0))?;
    let flags = match arguments.zero_copy {
        true => sys::UBLK_F_SUPPORT_ZERO_COPY | sys::UBLK_F_AUTO_BUF_REG,
        false => 0,
    };
    let ctrl = UblkCtrlBuilder::default()
        .name("plain_loop")
        .id(-1)
        .nr_queues(arguments.queues)
        .depth(arguments.depth)
        .io_buf_bytes(arguments.request_bytes)
        .ctrl_flags(u64::from(flags))
        .dev_flags(UblkFlags::UBLK_DEV_F_ADD_DEV)
        .build()?;
    let file = disk.as_raw_fd();
    let zero_copy = arguments.zero_copy;
    ctrl.run_target(
        move |dev: &mut UblkDev| {
            dev.set_default_params(size);
            dev.tgt.params.basic.attrs = sys::UBLK_ATTR_VOLATILE_CACHE | sys::UBLK_ATTR_FUA;
            dev.tgt.fds[1] = file;
            dev.tgt.nr_fds = 2;
            Ok(())
        },
        move |number, dev: &UblkDev| {
            let served = make_ring(dev).and_then(|()| match zero_copy {
                true => serve_registered(number, dev),
                false => serve_copied(number, dev),
            });
            if let Err(error) = served {
                eprintln!("queue {number}: {error:?}");
                std::process::exit(1);
            }
        },
        |ctrl: &UblkCtrl| {
            println!("{}", ctrl.get_bdev_path());
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            if let Err(error) = ctrl.kill_dev() {
                eprintln!("the device stays: {error:?}");
                std::process::exit(1);
            }
        },
    )?;
    Ok(())
}

/// Makes the ring of this thread, which the library then finds: one that works on completions only
/// when the thread waits for them, which costs a little less than the library's own.
fn make_ring(dev: &UblkDev) -> Result<(), UblkError> {
    let entries = u32::from(dev.dev_info.queue_depth) * 2;
    let ring = IoUring::builder()
        .setup_cqsize(entries)
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(entries)?;
    ublk_init_task_ring(|cell| {
        // a fresh thread has none
        let _ = cell.set(RefCell::new(ring));
        Ok(())
    })
}

/// A read or a write, as the disk is to do it.
struct Transfer {
    is_write: bool,
    offset: u64,
    bytes: u32,
    flags: i32,
}

/// Serves a queue whose payloads the driver copies from and to memory of this process.
fn serve_copied(number: u16, dev: &UblkDev) -> Result<(), UblkError> {
    let buffers = dev.alloc_queue_io_bufs();
    let queue = UblkQueue::new(number, dev)?
        .submit_fetch_commands_unified(BufDescList::Slices(Some(&buffers)))?;
    queue.wait_and_handle_io(|queue, tag, event| {
        let buffer: &IoBuf<u8> = &buffers[usize::from(tag)];
        let place = buffer.as_ptr().cast_mut();
        step(
            queue,
            tag,
            event,
            BufDesc::Slice(buffer.as_slice()),
            |to_do| {
                let bytes = to_do.bytes;
                match to_do.is_write {
                    true => opcode::Write::new(DISK, place, bytes)
                        .offset(to_do.offset)
                        .rw_flags(to_do.flags)
                        .build(),
                    false => opcode::Read::new(DISK, place, bytes)
                        .offset(to_do.offset)
                        .build(),
                }
            },
        );
    });
    Ok(())
}

/// Serves a queue whose payloads stay where they are: the disk gets the request's own memory.
fn serve_registered(number: u16, dev: &UblkDev) -> Result<(), UblkError> {
    let registration = |index| sys::ublk_auto_buf_reg {
        index,
        ..Default::default()
    };
    let registrations: Vec<_> = (0..dev.dev_info.queue_depth).map(registration).collect();
    let queue = UblkQueue::new(number, dev)?
        .submit_fetch_commands_unified(BufDescList::AutoRegs(&registrations))?;
    queue.wait_and_handle_io(|queue, tag, event| {
        let registered = BufDesc::AutoReg(registration(tag));
        step(queue, tag, event, registered, |to_do| {
            let bytes = to_do.bytes;
            match to_do.is_write {
                true => opcode::WriteFixed::new(DISK, ptr::null(), bytes, tag)
                    .offset(to_do.offset)
                    .rw_flags(to_do.flags)
                    .build(),
                false => opcode::ReadFixed::new(DISK, ptr::null_mut(), bytes, tag)
                    .offset(to_do.offset)
                    .build(),
            }
        });
    });
    Ok(())
}

/// A request has come, and goes to the disk; or the disk has answered, and so is the request.
fn step(
    queue: &UblkQueue<'_>,
    tag: u16,
    event: &UblkIOCtx<'_>,
    buffer: BufDesc<'_>,
    transfer: impl FnOnce(Transfer) -> Entry,
) {
    let outcome = if event.is_tgt_io() {
        Ok(UblkIORes::Result(event.result()))
    } else {
        let descriptor = queue.get_iod(tag);
        let operation = descriptor.op_flags & 0xff;
        let is_durable = descriptor.op_flags & sys::UBLK_IO_F_FUA != 0;
        let entry = match operation {
            sys::UBLK_IO_OP_FLUSH => opcode::Fsync::new(DISK)
                .flags(types::FsyncFlags::DATASYNC)
                .build(),
            // the device offers nothing else but reads and writes
            _ => transfer(Transfer {
                is_write: operation == sys::UBLK_IO_OP_WRITE,
                offset: descriptor.start_sector << 9,
                bytes: descriptor.nr_sectors << 9,
                flags: if is_durable { libc::RWF_DSYNC } else { 0 },
            }),
        };
        let entry = entry
            .flags(squeue::Flags::FIXED_FILE)
            .user_data(UblkIOCtx::build_user_data(tag, operation, 0, true));
        match queue.ublk_submit_sqe_sync(entry) {
            Ok(()) => return,
            Err(error) => Err(error),
        }
    };
    if let Err(error) = queue.complete_io_cmd_unified(tag, buffer, outcome) {
        eprintln!("tag {tag}: {error:?}");
        std::process::exit(1);
    }
}
