//! The second phase of a connection: requests and replies, one after another.

use std::io::{self, ErrorKind, Read, Write};

use crate::image::Image;
use crate::power::{Power, Step};
use crate::wire::{
    COMMAND_DISCONNECT, COMMAND_FLUSH, COMMAND_READ, COMMAND_TRIM, COMMAND_WRITE,
    COMMAND_WRITE_ZEROES, ERROR_INVALID, ERROR_IO, FORCE_UNIT_ACCESS, MAX_PAYLOAD, Message,
    REPLY_MAGIC, REQUEST_MAGIC, ReadNumbers, broken,
};

#[derive(Debug)]
struct Request {
    command: u16,
    durable: bool,
    cookie: u64,
    offset: u64,
    len: u32,
    payload: Vec<u8>,
}

/// Serves `image` until the client leaves or the power goes.
///
/// Without power nothing is answered: to the guest, a disk that hangs and not one that fails.
pub(crate) fn serve(
    from: &mut impl Read,
    to: &mut impl Write,
    image: &Image,
    power: &Power,
) -> io::Result<()> {
    loop {
        let request = Request::read(from)?;
        if request.command == COMMAND_DISCONNECT {
            return Ok(());
        }
        let is_read = request.command == COMMAND_READ;
        let step = match is_read {
            true if power.is_on() => Step::Go,
            true => Step::Off,
            false => power.step(),
        };
        if step == Step::Off {
            continue;
        }
        if step == Step::Cut {
            // a flush had no time; a write may be in the cache
            if request.command != COMMAND_FLUSH {
                let under_way = Request {
                    durable: false,
                    ..request
                };
                let _ = under_way.carry_out(image); // there is nobody to tell
            }
            continue;
        }
        let cookie = request.cookie;
        let (error, data) = match request.carry_out(image) {
            Ok(data) => (0, data),
            Err(error) if error.kind() == ErrorKind::InvalidInput => (ERROR_INVALID, Vec::new()),
            Err(_) => (ERROR_IO, Vec::new()),
        };
        let reply = Message::default().u32(REPLY_MAGIC).u32(error).u64(cookie);
        reply.bytes(&data).send(&mut *to)?;
    }
}

impl Request {
    fn read(from: &mut impl Read) -> io::Result<Self> {
        let magic = from.u32()?;
        if magic != REQUEST_MAGIC {
            return Err(broken(format!("{magic:#x} is no request")));
        }
        let durable = from.u16()? & FORCE_UNIT_ACCESS != 0;
        let mut request = Self {
            command: from.u16()?,
            durable,
            cookie: from.u64()?,
            offset: from.u64()?,
            len: from.u32()?,
            payload: Vec::new(),
        };
        if request.command == COMMAND_WRITE {
            request.payload = from.payload(request.len, MAX_PAYLOAD)?;
        }
        Ok(request)
    }

    /// Does it; what a read has read is returned.
    fn carry_out(self, image: &Image) -> io::Result<Vec<u8>> {
        let done = match self.command {
            COMMAND_READ if self.len <= MAX_PAYLOAD => {
                let mut data = vec![0; self.len as usize];
                return image.read(self.offset, &mut data).map(|()| data);
            }
            COMMAND_WRITE => image.write(self.offset, self.payload, self.durable),
            COMMAND_WRITE_ZEROES => image.zero(self.offset, self.len.into(), self.durable),
            COMMAND_FLUSH => image.flush(),
            // A disk need not do anything about a trimmed range, so whoever takes it for zeroes
            // is wrong, and shall find out here.
            COMMAND_TRIM => Ok(()),
            _ => Err(ErrorKind::InvalidInput.into()),
        };
        done.map(|()| Vec::new())
    }
}
