//! What a mount finds and a loss or clean unmount leaves: `names`, a text file, and `data/INODE`.

use super::{Disk, Inode, ROOT};
use crate::cache::CachedFile;
use crate::names::{Map, Names};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;

impl Disk {
    pub(super) fn load(&mut self) -> io::Result<()> {
        let text = match std::fs::read_to_string(self.names_path()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut map = Map::new();
        for line in text.lines() {
            self.load_line(line, &mut map)
                .ok_or_else(|| io::Error::other(format!("names file: cannot read {line:?}")))?;
        }
        self.names = Names::new(map);
        self.collect()
    }

    /// `node INODE MODE d|f`, `name PARENT INODE NAME` or `next INODE`.
    fn load_line(&mut self, line: &str, map: &mut Map) -> Option<()> {
        let (word, rest) = line.split_once(' ')?;
        if word == "next" {
            self.next_inode = rest.parse().ok()?;
            return Some(());
        }
        let mut fields = rest.splitn(3, ' ');
        let first: u64 = fields.next()?.parse().ok()?;
        let second: u64 = fields.next()?.parse().ok()?;
        let third = fields.next()?;
        match word {
            "node" => {
                let file = if third == "f" { Some(self.open_data(first).ok()?) } else { None };
                let mode = u32::try_from(second).ok()?;
                self.inodes.insert(first, Inode { mode, linked: true, file });
            }
            "name" => {
                map.insert((first, third.to_owned()), second);
            }
            _ => return None,
        }
        Some(())
    }

    /// Forgets inodes no name leads to, and host files of no inode.
    fn collect(&mut self) -> io::Result<()> {
        let mut reached = vec![ROOT];
        let mut index = 0;
        while index < reached.len() {
            let directory = reached[index];
            let children: Vec<u64> = self.names.list(directory).map(|(_, inode)| inode).collect();
            reached.extend(children);
            index += 1;
        }
        reached.sort_unstable();
        self.inodes.retain(|inode, _| reached.binary_search(inode).is_ok());
        for entry in std::fs::read_dir(self.options.backing.join("data"))? {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
            if number.is_some_and(|inode| !self.inodes.contains_key(&inode)) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn names_path(&self) -> PathBuf {
        self.options.backing.join("names")
    }

    pub(super) fn open_data(&self, inode: u64) -> io::Result<CachedFile> {
        let path = self.options.backing.join("data").join(inode.to_string());
        let file: File =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        CachedFile::new(file, self.options.cache_bytes_max)
    }

    pub(super) fn save(&self) -> io::Result<()> {
        let mut text = format!("next {}\n", self.next_inode);
        for (number, inode) in &self.inodes {
            let kind = if inode.file.is_some() { 'f' } else { 'd' };
            let _ = writeln!(text, "node {number} {} {kind}", inode.mode);
        }
        for ((parent, name), number) in self.names.all() {
            let _ = writeln!(text, "name {parent} {number} {name}");
        }
        let draft = self.options.backing.join("names.new");
        std::fs::write(&draft, text)?;
        std::fs::rename(&draft, self.names_path())
    }
}
