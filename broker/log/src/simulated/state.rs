//! What a simulated disk holds: what programs see, what would survive, and the changes between.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    content::Content,
    loss::{LossPolicy, PowerLoss, Random},
};

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Length(u64),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) live: Content,
    pub(super) durable: Content,
    pub(super) unsynced: Arc<Vec<Change>>,
}

impl Inode {
    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.live, &change);
        Arc::make_mut(&mut self.unsynced).push(change);
    }

    pub(super) fn sync(&mut self) {
        self.durable = self.live.clone();
        self.unsynced = Arc::default();
    }

    fn after_power_loss(&self, random: &mut Random, policy: LossPolicy) -> Self {
        let mut content = self.durable.clone();
        let kept = random.below(self.unsynced.len() as u64 + 1);
        for (index, change) in self.unsynced.iter().enumerate() {
            match policy {
                LossPolicy::Process | LossPolicy::Unsynced => {}
                LossPolicy::Ordered if (index as u64) < kept => apply(&mut content, change),
                LossPolicy::Ordered => {}
                LossPolicy::Sectors => apply_in_part(&mut content, change, random),
            }
        }
        Self {
            durable: content.clone(),
            live: content,
            unsynced: Arc::default(),
        }
    }
}

fn apply(content: &mut Content, change: &Change) {
    match change {
        Change::Write { offset, bytes } => content.write(*offset, bytes),
        Change::Length(length) => content.resize(*length),
    }
}

/// Keeps any of the sectors that the change touches, each on its own.
fn apply_in_part(content: &mut Content, change: &Change, random: &mut Random) {
    let Change::Write { offset, bytes } = change else {
        if random.chance() {
            apply(content, change);
        }
        return;
    };
    let sector = if random.chance() { 512 } else { 4096 };
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + done as u64;
        let count = ((sector - at % sector) as usize).min(bytes.len() - done);
        if random.chance() {
            content.write(at, &bytes[done..done + count]);
        }
        done += count;
    }
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Set(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl NameChange {
    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Set(path, _) | Self::Remove(path) | Self::Rename(_, path) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Set(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) live: BTreeMap<PathBuf, u64>,
    pub(super) durable: BTreeMap<PathBuf, u64>,
    pub(super) pending: Vec<NameChange>,
}

/// All that an image must carry. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) names: Arc<Names>,
    pub(super) directories: Arc<BTreeSet<PathBuf>>,
    pub(super) next_inode: u64,
    pub(super) capacity: Option<u64>,
    /// How many handles stand on each file; a removed file goes with its last handle.
    pub(super) handles: BTreeMap<u64, usize>,
}

impl State {
    pub(super) fn inode(&self, path: &Path) -> io::Result<u64> {
        self.names
            .live
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn rename(&mut self, change: NameChange) {
        let names = Arc::make_mut(&mut self.names);
        change.apply(&mut names.live);
        names.pending.push(change);
        self.forget_unreachable();
    }

    pub(super) fn sync_directory(&mut self, directory: &Path) {
        let names = Arc::make_mut(&mut self.names);
        let durable = &mut names.durable;
        names.pending.retain(|change| {
            let here = change.directory() == Some(directory);
            if here {
                change.apply(durable);
            }
            !here
        });
        self.forget_unreachable();
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let named = self
            .names
            .live
            .values()
            .filter_map(|inode| self.inodes.get(inode));
        named.map(|inode| inode.live.length()).sum()
    }

    pub(super) fn forget_unreachable(&mut self) {
        let mut reachable = self.names.reachable();
        reachable.extend(self.handles.keys());
        self.inodes.retain(|inode, _| reachable.contains(inode));
    }

    pub(super) fn after(&self, loss: PowerLoss) -> Self {
        let mut random = Random::new(loss.seed);
        let mut after = self.clone();
        after.handles.clear();
        if loss.policy != LossPolicy::Process {
            let mut names = self.names.durable.clone();
            let kept = random.below(self.names.pending.len() as u64 + 1);
            // Journals keep the order of renames, so most images do; not all of them.
            let ordered = loss.policy == LossPolicy::Ordered || random.chance();
            for (index, change) in self.names.pending.iter().enumerate() {
                let keep = match loss.policy {
                    LossPolicy::Process | LossPolicy::Unsynced => false,
                    LossPolicy::Ordered | LossPolicy::Sectors if ordered => (index as u64) < kept,
                    LossPolicy::Ordered | LossPolicy::Sectors => random.chance(),
                };
                if keep {
                    change.apply(&mut names);
                }
            }
            after.names = Arc::new(Names {
                live: names.clone(),
                durable: names,
                pending: Vec::new(),
            });
            for inode in after.inodes.values_mut() {
                *inode = inode.after_power_loss(&mut random, loss.policy);
            }
        }
        after.forget_unreachable();
        after
    }
}

impl Names {
    fn reachable(&self) -> BTreeSet<u64> {
        let pending = self.pending.iter().filter_map(|change| match change {
            NameChange::Set(_, inode) => Some(inode),
            NameChange::Rename(..) | NameChange::Remove(_) => None,
        });
        self.live
            .values()
            .chain(self.durable.values())
            .chain(pending)
            .copied()
            .collect()
    }
}
