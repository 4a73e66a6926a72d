//! A simulated disk: keeps what was synced, and loses power.
//!
//! Fault model: a write that was not synced survives a power cut whole, not at all, or torn: sector by sector, at
//! random. A change of length may be lost like a write. What was synced always survives. A disk can also be told to
//! die at its n-th sync, for the two-pass crash test: nothing of that sync, or anything after it, gets through.

use std::io;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use redb::StorageBackend;

const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What a power cut cannot take.
    synced: Vec<u8>,
    /// What a read sees.
    current: Vec<u8>,
    unsynced: Vec<Change>,
    /// Counts power cuts: a backend of an earlier life gets errors.
    life: u32,
    syncs: u64,
    dies_at_sync: Option<u64>,
    is_dead: bool,
    chance: StdRng,
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Write { offset: usize, data: Vec<u8> },
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Length(length) => image.resize(*length, 0),
            Self::Write { offset, data } => write(image, *offset, data),
        }
    }
}

fn write(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(data);
}

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            synced: Vec::new(),
            current: Vec::new(),
            unsynced: Vec::new(),
            life: 0,
            syncs: 0,
            dies_at_sync: None,
            is_dead: false,
            chance: StdRng::seed_from_u64(seed),
        })))
    }

    /// A handle for one opening of the store. It is of no use after the next power cut.
    pub fn backend(&self) -> Backend {
        let life = self.0.lock().unwrap().life;
        Backend { disk: self.clone(), life }
    }

    pub fn power_cut(&self, chance: &mut impl Rng) {
        let mut state = self.0.lock().unwrap();
        let mut survivor = std::mem::take(&mut state.synced);
        for change in std::mem::take(&mut state.unsynced) {
            match (chance.random_range(0..3), change) {
                (0, _) => {}
                (1, Change::Write { offset, data }) => {
                    for (n, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                        if chance.random_bool(0.5) {
                            write(&mut survivor, offset + n * SECTOR_BYTES, sector);
                        }
                    }
                }
                (_, change) => change.apply(&mut survivor),
            }
        }
        state.current.clone_from(&survivor);
        state.synced = survivor;
        state.life += 1;
        state.is_dead = false;
        state.dies_at_sync = None;
    }

    /// Loses power with the disk's own chance.
    pub fn power_cut_by_seed(&self) {
        let seed = self.0.lock().unwrap().chance.random();
        self.power_cut(&mut StdRng::seed_from_u64(seed));
    }

    pub fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }

    /// The sync after `syncs` more ones fails, and everything after it.
    pub fn die_after(&self, syncs: u64) {
        let mut state = self.0.lock().unwrap();
        state.dies_at_sync = Some(state.syncs + syncs);
    }

    /// Another disk with the same content.
    pub fn copy(&self) -> Self {
        let copy = Self::new(0);
        let content = self.content();
        {
            let mut state = copy.0.lock().unwrap();
            state.synced.clone_from(&content);
            state.current = content;
        }
        copy
    }

    /// Every byte that a reader would see.
    pub fn content(&self) -> Vec<u8> {
        self.0.lock().unwrap().current.clone()
    }
}

#[derive(Debug)]
pub struct Backend {
    disk: SimDisk,
    life: u32,
}

impl Backend {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.0.lock().unwrap();
        if state.life != self.life || state.is_dead {
            return Err(io::Error::other("the simulated disk has no power"));
        }
        act(&mut state)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(state.current.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|state| {
            let offset = offset as usize;
            let found = state.current.get(offset..offset + out.len());
            out.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            let change = Change::Length(len as usize);
            change.apply(&mut state.current);
            state.unsynced.push(change);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| {
            if state.dies_at_sync == Some(state.syncs) {
                state.is_dead = true;
                return Err(io::Error::other("the simulated disk died at this sync"));
            }
            state.syncs += 1;
            for change in std::mem::take(&mut state.unsynced) {
                change.apply(&mut state.synced);
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|state| {
            let change = Change::Write { offset: offset as usize, data: data.to_vec() };
            change.apply(&mut state.current);
            state.unsynced.push(change);
            Ok(())
        })
    }
}
