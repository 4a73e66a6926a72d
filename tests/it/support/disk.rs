//! A disk in memory with three files that loses power (what was synced stays, what was not survives whole, torn or not at all, by seed),
//! or has no room.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::StorageBackend;
use waxwing::store::Location;

/// What a real disk writes in one piece.
const SECTOR_BYTES: usize = 512;

/// The disk itself. Clones are the same disk; a machine reaches it through [`SimDisk::plug_in`].
#[derive(Debug, Clone)]
pub struct SimDisk {
    platter: Arc<Mutex<Platter>>,
    released: Arc<Condvar>,
}

#[derive(Debug)]
struct Platter {
    /// The database and the two of the journal.
    files: [SimFile; 3],
    syncs: u64,
    /// The sync that fails, and with it the machine.
    dies_at_sync: Option<u64>,
    is_dead: bool,
    /// Syncs wait.
    is_held: bool,
    /// Calls that change the disk: writes, changes of length, syncs.
    calls: u64,
    /// The call from which on there is no room.
    is_full_from: Option<u64>,
    /// How many calls found no room.
    refused: u64,
    /// Which machine it is plugged into. Earlier ones reach nothing any more.
    machine: u64,
    chance: StdRng,
}

#[derive(Debug, Clone, Default)]
struct SimFile {
    /// What reads see.
    live: Vec<u8>,
    /// What surely survives.
    durable: Vec<u8>,
    /// What was written since the file's last sync, in order.
    unsynced: Vec<Written>,
}

#[derive(Debug, Clone)]
enum Written {
    Data(usize, Vec<u8>),
    Length(usize),
}

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        let platter = Platter {
            files: Default::default(),
            syncs: 0,
            dies_at_sync: None,
            is_dead: false,
            is_held: false,
            calls: 0,
            is_full_from: None,
            refused: 0,
            machine: 0,
            chance: StdRng::seed_from_u64(seed),
        };
        Self { platter: Arc::new(Mutex::new(platter)), released: Arc::default() }
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().expect("no test goes on after a panic")
    }

    /// Connections to the files for the machine that starts now. Those of earlier machines fail from here on.
    fn plug_in(&self) -> [Plug; 3] {
        let mut platter = self.platter();
        platter.machine += 1;
        platter.is_dead = false;
        let machine = platter.machine;
        [0, 1, 2].map(|file| Plug { disk: self.clone(), machine, file })
    }

    /// For who looks at the database alone.
    pub fn plug_in_database(&self) -> Plug {
        let [database, ..] = self.plug_in();
        database
    }

    /// The same as the place of a store.
    pub fn location(&self, free_bytes: Arc<AtomicU64>) -> Location {
        let [database, a, b] = self.plug_in();
        Location::Backend { database: Box::new(database), journal: [Box::new(a), Box::new(b)], free_bytes }
    }

    /// Ends the machine. Each write since the last sync survives whole, torn or not at all.
    pub fn power_cut(&self) {
        let mut platter = self.platter();
        platter.is_dead = true;
        platter.dies_at_sync = None;
        let Platter { files, chance, .. } = &mut *platter;
        for SimFile { live, durable, unsynced } in files {
            for written in std::mem::take(unsynced) {
                let survival = chance.random_range(0..4);
                match (survival, written) {
                    (0 | 1, _) => {}
                    (2, Written::Data(offset, data)) => {
                        for (n, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                            if chance.random() {
                                apply(durable, &Written::Data(offset + n * SECTOR_BYTES, sector.to_vec()));
                            }
                        }
                    }
                    (_, written) => apply(durable, &written),
                }
            }
            live.clone_from(durable);
        }
    }

    /// The sync that comes after `syncs` more of them fails, and everything after it.
    pub fn die_after(&self, syncs: u64) {
        let mut platter = self.platter();
        platter.dies_at_sync = Some(platter.syncs + syncs);
    }

    /// After so many more writes, changes of length and syncs there is no room for any of them, until
    /// [`SimDisk::make_room`]. The machine lives, and reads what it wrote.
    pub fn fill_up_after(&self, calls: u64) {
        let mut platter = self.platter();
        platter.is_full_from = Some(platter.calls + calls);
        platter.refused = 0;
    }

    /// No sync ends before [`SimDisk::release`].
    pub fn hold(&self) {
        self.platter().is_held = true;
    }

    pub fn release(&self) {
        self.platter().is_held = false;
        self.released.notify_all();
    }

    pub fn make_room(&self) {
        self.platter().is_full_from = None;
    }

    /// How many calls found no room since the disk filled up.
    pub fn refused(&self) -> u64 {
        self.platter().refused
    }

    /// Writes, changes of length and syncs that were carried out or refused.
    pub fn calls(&self) -> u64 {
        self.platter().calls
    }

    pub fn syncs(&self) -> u64 {
        self.platter().syncs
    }

    pub fn is_dead(&self) -> bool {
        self.platter().is_dead
    }

    /// Another disk that holds the same.
    pub fn copy(&self, seed: u64) -> Self {
        let files = self.platter().files.clone();
        let copy = Self::new(seed);
        copy.platter().files = files.map(|file| SimFile { unsynced: Vec::new(), ..file });
        copy
    }

    /// All that a thief would find.
    pub fn bytes(&self) -> Vec<u8> {
        self.platter().files.iter().flat_map(|file| file.live.clone()).collect()
    }
}

impl SimFile {
    fn write(&mut self, written: Written) {
        apply(&mut self.live, &written);
        self.unsynced.push(written);
    }
}

fn apply(bytes: &mut Vec<u8>, written: &Written) {
    match written {
        Written::Data(offset, data) => {
            let end = offset + data.len();
            // What lies behind the end of the file has no place to survive in.
            if end <= bytes.len() {
                bytes[*offset..end].copy_from_slice(data);
            }
        }
        Written::Length(length) => bytes.resize(*length, 0),
    }
}

/// One machine's connection to a file of the disk.
#[derive(Debug)]
pub struct Plug {
    disk: SimDisk,
    machine: u64,
    file: usize,
}

impl Plug {
    fn platter(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let platter = self.disk.platter();
        if platter.is_dead || platter.machine != self.machine {
            return Err(io::Error::other("the power is off"));
        }
        Ok(platter)
    }

    /// The same, for a call that takes room.
    fn platter_with_room(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let mut platter = self.platter()?;
        let call = platter.calls;
        platter.calls += 1;
        if platter.is_full_from.is_some_and(|full_from| call >= full_from) {
            platter.refused += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(platter)
    }
}

impl StorageBackend for Plug {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter()?.files[self.file].live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.platter()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes =
            platter.files[self.file].live.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let written = Written::Length(usize::try_from(len).map_err(io::Error::other)?);
        let mut platter = self.platter_with_room()?;
        platter.files[self.file].write(written);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let platter = self.platter_with_room()?;
        let mut platter =
            self.disk.released.wait_while(platter, |platter| platter.is_held).expect("no test goes on after a panic");
        if platter.dies_at_sync == Some(platter.syncs) {
            platter.is_dead = true;
            return Err(io::Error::other("the power went off in the middle of a sync"));
        }
        platter.syncs += 1;
        let SimFile { live: _, durable, unsynced } = &mut platter.files[self.file];
        std::mem::take(unsynced).iter().for_each(|written| apply(durable, written));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut platter = self.platter_with_room()?;
        if offset + data.len() > platter.files[self.file].live.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        platter.files[self.file].write(Written::Data(offset, data.to_vec()));
        Ok(())
    }
}
