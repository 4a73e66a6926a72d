//! The file of a backup, block by block.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::seal::{BlockCipher, SealedHow, Sealing};
use super::{BackupError, Described, Progress, SYNC_EVERY_BYTES, Watch};
use crate::domain::backup::{Passphrase, Stage};
use crate::domain::time::Timestamp;

const MAGIC: &[u8; 17] = b"waxwing backup 1\n";
/// What all versions begin with.
const MAGIC_OF_ALL: &[u8] = b"waxwing backup ";
const HEADER_BYTES_MAX: usize = 64 * 1024;
const DIGEST_BYTES: usize = 32;

/// A block is full when it has so much, before it is compressed: what one step of copying does.
pub(super) const BLOCK_BYTES: usize = 1024 * 1024;
/// What a block can have at most, for whoever reads one: many times the longest row.
const BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What one step of comparing digests reads.
const READ_BYTES: usize = 1024 * 1024;

pub(super) const KIND_SECRET_KEY: u8 = 0;
pub(super) const KIND_ROWS: u8 = 1;
pub(super) const KIND_CONTENTS: u8 = 2;

#[derive(Serialize, Deserialize)]
struct Header {
    /// `waxwing 0.1.0`
    made_by: String,
    created_at: String,
    store_format: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<SealedHow>,
}

/// In the last block.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contents {
    /// Besides this one.
    pub(super) blocks: u64,
    pub(super) tables: Vec<TableContents>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableContents {
    pub(super) name: String,
    pub(super) rows: u64,
    /// Of keys and values.
    pub(super) bytes: u64,
}

/// A backup that is being written.
pub(super) struct Writing<'f> {
    file: &'f File,
    digest: Sha256,
    cipher: Option<BlockCipher>,
    blocks: u64,
    bytes: u64,
    synced_bytes: u64,
}

impl<'f> Writing<'f> {
    /// Writes everything up to the first block of rows.
    pub(super) fn begin(
        file: &'f File,
        created_at: Timestamp,
        store_format: u32,
        sealing: Option<&Sealing>,
    ) -> Result<Self, Failed> {
        let header = Header {
            made_by: concat!("waxwing ", env!("CARGO_PKG_VERSION")).to_owned(),
            created_at: created_at.to_string(),
            store_format,
            sealed: sealing.map(|_| SealedHow::new()),
        };
        let text = serde_json::to_vec(&header).expect("a header is JSON");
        let length = u32::try_from(text.len()).expect("a header is short");
        let head = [&MAGIC[..], &length.to_le_bytes(), &text].concat();
        let mut writing = Self { file, digest: Sha256::new(), cipher: None, blocks: 0, bytes: 0, synced_bytes: 0 };
        writing.put(&head)?;
        if let (Some(how), Some(Sealing { passphrase, secret_key })) = (&header.sealed, sealing) {
            writing.cipher = Some(BlockCipher::new(how, passphrase, Sha256::digest(&head).into())?);
            writing.block(&[&[KIND_SECRET_KEY], &secret_key[..]].concat())?;
        }
        Ok(writing)
    }

    pub(super) fn block(&mut self, text: &[u8]) -> Result<(), Failed> {
        let compressed = lz4_flex::block::compress_prepend_size(text);
        let stored = match &self.cipher {
            Some(cipher) => cipher.seal(self.blocks, &compressed),
            None => compressed,
        };
        let length = u32::try_from(stored.len()).map_err(io::Error::other)?;
        self.put(&length.to_le_bytes())?;
        self.put(&stored)?;
        self.blocks += 1;
        if self.bytes - self.synced_bytes >= SYNC_EVERY_BYTES {
            self.file.sync_data()?;
            self.synced_bytes = self.bytes;
        }
        Ok(())
    }

    /// The last block and the digest; all of it is on the disk when this returns. Answers length and digest.
    pub(super) fn end(mut self, tables: Vec<TableContents>) -> Result<(u64, [u8; 32]), Failed> {
        let contents = Contents { blocks: self.blocks, tables };
        let mut text = vec![KIND_CONTENTS];
        serde_json::to_writer(&mut text, &contents).expect("contents are JSON");
        self.block(&text)?;
        let digest: [u8; DIGEST_BYTES] = self.digest.finalize_reset().into();
        (&mut &*self.file).write_all(&digest)?;
        self.file.sync_all()?;
        Ok((self.bytes + DIGEST_BYTES as u64, digest))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&mut &*self.file).write_all(bytes)?;
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// What the disk did, for whoever knows the path; or anything else.
pub(super) enum Failed {
    Disk(io::Error),
    Other(BackupError),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<BackupError> for Failed {
    fn from(error: BackupError) -> Self {
        Self::Other(error)
    }
}

impl Failed {
    pub(super) fn at(self, path: &Path) -> BackupError {
        match self {
            Self::Disk(error) => BackupError::Io { path: path.to_owned(), error },
            Self::Other(error) => error,
        }
    }
}

/// A backup that is being read.
pub(super) struct Reading {
    file: BufReader<File>,
    header: Header,
    head_sha256: [u8; 32],
    cipher: Option<BlockCipher>,
    blocks: u64,
    /// Where the digest begins.
    end: u64,
    at: u64,
}

impl Reading {
    /// Reads the header.
    pub(super) fn open(file: File) -> Result<Self, Failed> {
        let length = file.metadata()?.len();
        let mut file = BufReader::new(file);
        let mut magic = [0; MAGIC.len()];
        let mut header_bytes = [0; 4];
        if !fill(&mut file, &mut magic)? || !magic.starts_with(MAGIC_OF_ALL) {
            return Err(BackupError::NotABackup.into());
        }
        if magic != *MAGIC {
            return Err(BackupError::Newer.into());
        }
        let is_whole = fill(&mut file, &mut header_bytes)?;
        let header_length = u32::from_le_bytes(header_bytes) as usize;
        let mut text = vec![0; header_length.min(HEADER_BYTES_MAX)];
        if !is_whole || text.len() < header_length || !fill(&mut file, &mut text)? {
            return Err(BackupError::Damaged("its header cannot be read").into());
        }
        let header = serde_json::from_slice(&text).map_err(|_| BackupError::Damaged("its header cannot be read"))?;
        let head = [&magic[..], &header_bytes, &text].concat();
        let end = length.saturating_sub(DIGEST_BYTES as u64);
        let head_sha256 = Sha256::digest(&head).into();
        Ok(Self { file, header, head_sha256, cipher: None, blocks: 0, end, at: head.len() as u64 })
    }

    pub(super) fn described(&self) -> Result<Described, BackupError> {
        let Header { made_by, created_at, store_format: _, sealed } = &self.header;
        let created_at = created_at.parse().map_err(|_| BackupError::Damaged("its header cannot be read"))?;
        Ok(Described { created_at, made_by: made_by.clone(), is_sealed: sealed.is_some() })
    }

    pub(super) fn store_format(&self) -> u32 {
        self.header.store_format
    }

    /// Reads all of it once: whether it is the file that was written. Then it is where it was before.
    pub(super) fn check_digest(&mut self, watch: Watch<'_>) -> Result<(), Failed> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut digest = Sha256::new();
        let mut left = self.end;
        let mut bytes = vec![0; READ_BYTES];
        while left > 0 {
            let step = &mut bytes[..usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES)];
            self.file.read_exact(step)?;
            digest.update(&*step);
            left -= step.len() as u64;
            watch(Progress { stage: Stage::Reading, done: self.end - left, total: self.end })?;
        }
        let mut written = [0; DIGEST_BYTES];
        let is_there = fill(&mut self.file, &mut written)?;
        if !is_there || written != <[u8; DIGEST_BYTES]>::from(digest.finalize()) {
            return Err(BackupError::Damaged("it is not what was written, or not all of it").into());
        }
        self.file.seek(SeekFrom::Start(self.at))?;
        Ok(())
    }

    /// Makes the key, when one is needed.
    pub(super) fn unseal(&mut self, passphrase: Option<&Passphrase>) -> Result<(), BackupError> {
        if let Some(how) = &self.header.sealed {
            let passphrase = passphrase.ok_or(BackupError::PassphraseNeeded)?;
            self.cipher = Some(BlockCipher::new(how, passphrase, self.head_sha256)?);
        }
        Ok(())
    }

    /// How far it is, and how far it is to the end.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.at, self.end)
    }

    /// The next one as it was before it was stored; none at the end.
    pub(super) fn next_block(&mut self) -> Result<Option<Vec<u8>>, Failed> {
        if self.at == self.end {
            return Ok(None);
        }
        let mut length = [0; 4];
        self.file.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        self.at += 4 + length as u64;
        if length > BLOCK_BYTES_MAX || self.at > self.end {
            return Err(BackupError::Damaged("a block is longer than the file").into());
        }
        let mut stored = vec![0; length];
        self.file.read_exact(&mut stored)?;
        let compressed = match &self.cipher {
            Some(cipher) => cipher.open(self.blocks, &stored).ok_or(match self.blocks {
                // The digest was right: what the file holds is what was written.
                0 => BackupError::PassphraseWrong,
                _ => BackupError::Damaged("a block cannot be decrypted"),
            })?,
            None => stored,
        };
        self.blocks += 1;
        let unreadable = BackupError::Damaged("a block cannot be read");
        let Some((text_bytes, text)) = compressed.split_first_chunk::<4>() else { return Err(unreadable.into()) };
        let text_bytes = u32::from_le_bytes(*text_bytes) as usize;
        if text_bytes > BLOCK_BYTES_MAX {
            return Err(unreadable.into());
        }
        match lz4_flex::block::decompress(text, text_bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(unreadable.into()),
        }
    }

    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }
}

/// Whether there was enough.
fn fill(file: &mut impl Read, out: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(out) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
