//! Reading journal files, which are not trusted: any bytes at all may be in them.
//!
//! [`ParsedFile`] says that the header can be believed, [`VerifiedFile`] that everything can.

use std::sync::Arc;

use super::content::{Content, hash_payload};
use super::file_memory::FileMemory;
use super::name::FileName;
use super::read_error::ReadError;
use super::sealed::{SealedFile, file_name, position_behind};
use crate::cursor::Position;
use crate::format::checksum::payload_checksum;
use crate::format::limits::{HEADER_BYTES, IOCB_BYTES};
use crate::format::{Header, Iocb, Seal, Sequence};
use crate::fs::DirFile;
use crate::units::{ByteLen, Lsn, Timestamp};

/// A file whose header is right and, if it is sealed, says the true length of the file.
#[derive(Debug)]
pub struct ParsedFile {
    content: Content,
    bytes: Box<[u8; HEADER_BYTES]>,
    header: Header,
    len: u64,
}

/// A sealed file of which every byte has been checked: just before, or at an earlier time when it
/// was the very same file.
///
/// The IOCBs are kept in memory. Payloads are too where the file was [loaded](ParsedFile::load); else
/// they are read, and checked again, when they are asked for.
#[derive(Debug)]
pub struct VerifiedFile {
    content: Content,
    header: Header,
    seal: Seal,
    records: Vec<Iocb>,
}

impl ParsedFile {
    /// Reads the header of `file`.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if there is none, it is not right, or a sealed file has another length.
    pub fn open(file: Arc<dyn DirFile>) -> Result<Self, ReadError> {
        let len = file.len().map_err(ReadError::at(0))?;
        if len < HEADER_BYTES as u64 {
            return Err(ReadError::TooShort { len });
        }
        let mut bytes = Box::new([0; HEADER_BYTES]);
        file.read_exact_at(&mut *bytes, 0)
            .map_err(ReadError::at(0))?;
        let header = Header::parse(&bytes)?;
        if let Some(Seal { total_size, .. }) = header.seal
            && total_size.get() != len
        {
            return Err(ReadError::Length {
                found: len,
                expected: total_size.get(),
            });
        }
        Ok(Self {
            content: Content::File(file),
            bytes,
            header,
            len,
        })
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The name that belongs to the header, which need not be the one that the file has.
    pub fn name(&self) -> FileName {
        file_name(&self.header)
    }

    /// The place in the series just behind a sealed file, as its header says.
    pub fn position(&self) -> Option<Position> {
        let seal = self.header.seal.as_ref()?;
        Some(position_behind(&self.header, seal))
    }

    /// Length of the file.
    pub fn len(&self) -> ByteLen {
        ByteLen(self.len)
    }

    /// Whether the file is sealed; if not, it is open.
    pub fn is_sealed(&self) -> bool {
        self.header.seal.is_some()
    }

    /// Reads the IOCBs of a sealed file; of an open one those up to the first that is not good.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the file can't be read or, sealed, has an IOCB that is not right.
    pub fn iocbs(&self) -> Result<Vec<Iocb>, ReadError> {
        match &self.header.seal {
            Some(seal) => Ok(self.parse_iocbs(&self.read_iocbs(seal.iocb_count)?)?.0),
            None => {
                let layout = &self.header.layout;
                let there = self.len.saturating_sub(layout.iocb_offset) / IOCB_BYTES as u64;
                // bounded by MAX_IOCBS, which fits
                let count = there.min(layout.iocb_capacity.into()) as u32;
                let bytes = self.read_iocbs(count)?;
                let mut sequence = Sequence::start(&self.header);
                Ok(good_iocbs(&bytes, &self.header, &mut sequence).collect())
            }
        }
    }

    /// Takes a file of up to [`FileMemory::BYTES_MAX`] into memory, and closes it: what is verified
    /// from here on is what is used later, whatever becomes of the file. A longer one stays as it is.
    ///
    /// # Errors
    ///
    /// [`ReadError::Io`] if it can't be read.
    pub fn load(self, memory: FileMemory) -> Result<Self, ReadError> {
        let content = self.content.into_memory(self.len, memory)?;
        Ok(Self { content, ..self })
    }

    /// Whether it is in memory as a whole.
    pub fn is_loaded(&self) -> bool {
        matches!(self.content, Content::Memory(_))
    }

    /// Checks every byte of a sealed file.
    ///
    /// # Errors
    ///
    /// [`ReadError`] for the first thing that is not right.
    pub fn verify(self) -> Result<VerifiedFile, ReadError> {
        let verified = self.check_structure()?;
        verified.check_payloads()?;
        Ok(verified)
    }

    /// Everything but the payloads.
    fn check_structure(self) -> Result<VerifiedFile, ReadError> {
        let Some(seal) = self.header.seal else {
            return Err(ReadError::NotSealed);
        };
        let bytes = self.read_iocbs(seal.iocb_count)?;
        if Header::digest(&self.bytes, &bytes) != seal.digest {
            return Err(ReadError::Digest);
        }
        let (records, end) = self.parse_iocbs(&bytes)?;
        self.check_groups(&seal, &end)?;
        let data_end = end.next_place();
        if data_end != seal.total_size.get() {
            return Err(ReadError::DataLength {
                found: data_end - self.header.layout.data_offset,
                expected: seal.data_len.get(),
            });
        }
        self.check_padding(&seal)?;
        Ok(VerifiedFile {
            content: self.content,
            header: self.header,
            seal,
            records,
        })
    }

    /// Checks every byte of a sealed file, and that it is the one just before `known`.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify); [`ReadError::Replaced`] if it is another file.
    pub fn verify_as(self, known: &Position) -> Result<VerifiedFile, ReadError> {
        self.require(known)?;
        self.verify()
    }

    /// Takes a file that was verified before, and is the one just before `known`, for verified
    /// again. Payloads are not read: that happens when they are asked for.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if header or IOCBs are not right, or it is another file.
    pub fn verified_before(self, known: &Position) -> Result<VerifiedFile, ReadError> {
        self.require(known)?;
        self.check_structure()
    }

    fn require(&self, known: &Position) -> Result<(), ReadError> {
        match self.position() {
            Some(position) if position == *known => Ok(()),
            Some(_) => Err(ReadError::Replaced),
            None => Err(ReadError::NotSealed),
        }
    }

    fn read_iocbs(&self, count: u32) -> Result<Vec<u8>, ReadError> {
        let place = self.header.layout.iocb_offset;
        // no more than there is: the length of the file was compared with what the header says
        let mut bytes = vec![0; count as usize * IOCB_BYTES];
        self.content.read_exact_at(&mut bytes, place)?;
        Ok(bytes)
    }

    /// The IOCBs, and the sequence behind them.
    fn parse_iocbs(&self, bytes: &[u8]) -> Result<(Vec<Iocb>, Sequence), ReadError> {
        let seed = self.header.file_seed();
        let mut sequence = Sequence::start(&self.header);
        let mut records = Vec::with_capacity(bytes.len() / IOCB_BYTES);
        let (slots, _) = bytes.as_chunks::<IOCB_BYTES>();
        for (index, slot) in slots.iter().enumerate() {
            let parsed = Iocb::parse(slot, seed).and_then(|iocb| {
                sequence.step(&iocb)?;
                Ok(iocb)
            });
            records.push(parsed.map_err(|source| ReadError::Iocb { index, source })?);
        }
        Ok((records, sequence))
    }

    /// What the header says of groups and baselines is what the IOCBs give: appliers decide by the header.
    fn check_groups(&self, seal: &Seal, end: &Sequence) -> Result<(), ReadError> {
        let (group, bits) = (end.open_group().get(), end.incompatible());
        for (field, found, expected) in [
            ("open_group_at_end", group, seal.open_group.get()),
            ("incompatible", bits, self.header.incompatible),
            (
                "baseline_begun",
                end.baseline_begun().get(),
                seal.baseline_begun.get(),
            ),
            (
                "baseline_ended",
                end.baseline_ended().get(),
                seal.baseline_ended.get(),
            ),
        ] {
            if found != expected {
                return Err(ReadError::Groups {
                    field,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    /// Everything between header, used IOCBs and data is zero.
    fn check_padding(&self, seal: &Seal) -> Result<(), ReadError> {
        let layout = &self.header.layout;
        let iocb_end = layout.iocb_offset + u64::from(seal.iocb_count) * IOCB_BYTES as u64;
        let gaps = [
            HEADER_BYTES as u64..layout.iocb_offset,
            iocb_end..layout.data_offset,
        ];
        gaps.into_iter()
            .try_for_each(|gap| self.content.check_zero(gap))
    }
}

impl VerifiedFile {
    /// Opens and checks a file in one.
    ///
    /// # Errors
    ///
    /// [`ReadError`] for the first thing that is not right.
    pub fn open(file: Arc<dyn DirFile>) -> Result<Self, ReadError> {
        ParsedFile::open(file)?.verify()
    }

    /// What the header says; its seal is present.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The name that belongs to the header, which need not be the one that the file has.
    pub fn name(&self) -> FileName {
        file_name(&self.header)
    }

    /// The place in the series just behind the file.
    pub fn position(&self) -> Position {
        self.sealed().position
    }

    /// What sealing has added to the header.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// LSN of the first record; they go on without a gap.
    pub fn first_lsn(&self) -> Lsn {
        self.header.first_lsn
    }

    /// LSN of the last record, inclusive.
    pub fn last_lsn(&self) -> Lsn {
        self.seal.last_lsn
    }

    /// Size of the file.
    pub fn bytes(&self) -> ByteLen {
        self.seal.total_size
    }

    /// Time of the last record.
    pub fn last_time(&self) -> Timestamp {
        // a sealed file has at least one record
        self.records.last().map_or(Timestamp(0), |iocb| iocb.time)
    }

    /// All records in the order of their LSNs.
    pub fn records(&self) -> &[Iocb] {
        &self.records
    }

    /// What the writer said of it when it was sealed.
    pub fn sealed(&self) -> SealedFile {
        SealedFile::new(&self.header, &self.seal, self.last_time())
    }

    /// Reads the payload of one of [`records`](Self::records) into `buffer`, which has exactly
    /// its stored size (0 where there is no payload).
    ///
    /// # Errors
    ///
    /// [`ReadError::Payload`] if the file has been altered since it was verified;
    /// [`ReadError::Buffer`] if the buffer has another size.
    pub fn read_payload(&self, iocb: &Iocb, buffer: &mut [u8]) -> Result<(), ReadError> {
        if buffer.len() != iocb.stored_size() as usize {
            return Err(ReadError::Buffer {
                found: buffer.len(),
                expected: iocb.stored_size(),
            });
        }
        let Some(payload) = &iocb.payload else {
            return Ok(());
        };
        self.content.read_exact_at(buffer, payload.place)?;
        ReadError::check_payload(iocb.lsn, payload, payload_checksum(buffer))
    }

    /// All bytes of a file that was [loaded](ParsedFile::load): a payload lies at its place, and has
    /// been checked. `None` for one that is read when it is asked for.
    pub fn bytes_in_memory(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Memory(memory) => Some((**memory).as_ref()),
            Content::File(_) => None,
        }
    }

    /// The memory in which they lie, for who uses them for longer than the file is there.
    pub fn shared_memory(&self) -> Option<Arc<FileMemory>> {
        match &self.content {
            Content::Memory(memory) => Some(Arc::clone(memory)),
            Content::File(_) => None,
        }
    }

    /// The memory of a file that was loaded, for another one; none yet, if it is shared.
    pub fn into_memory(self) -> FileMemory {
        match self.content {
            Content::Memory(memory) => Arc::into_inner(memory).unwrap_or_default(),
            Content::File(_) => FileMemory::default(),
        }
    }

    fn check_payloads(&self) -> Result<(), ReadError> {
        for iocb in &self.records {
            if let Some(payload) = &iocb.payload {
                let found = self.content.hash_payload(payload)?;
                ReadError::check_payload(iocb.lsn, payload, found)?;
            }
        }
        Ok(())
    }
}

/// Whether the payload lies in a file of `len` bytes and has its checksum.
pub(super) fn payload_is_good(
    file: &dyn DirFile,
    len: u64,
    iocb: &Iocb,
) -> Result<bool, ReadError> {
    match &iocb.payload {
        None => Ok(true),
        Some(payload) if payload.place + u64::from(payload.stored_size) > len => Ok(false),
        Some(payload) => Ok(hash_payload(file, payload)? == payload.checksum),
    }
}

/// Goes through the IOCBs up to the first that is damaged or does not follow.
pub(super) fn good_iocbs<'a>(
    bytes: &'a [u8],
    header: &Header,
    sequence: &'a mut Sequence,
) -> impl Iterator<Item = Iocb> + 'a {
    let seed = header.file_seed();
    let (slots, _) = bytes.as_chunks::<IOCB_BYTES>();
    slots.iter().map_while(move |slot| {
        let iocb = Iocb::parse(slot, seed).ok()?;
        sequence.step(&iocb).ok()?;
        Some(iocb)
    })
}
