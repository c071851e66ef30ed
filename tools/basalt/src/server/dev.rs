//! `--dev`: six small drives in one directory, keys made once.
//!
//! Invariants: a directory that is not empty and not ours is refused before anything is written;
//! the keys file appears whole or not at all, readable by its owner only.

use super::ServerOptions;
use super::credentials::{self, Credentials};
use crate::secret::Secret;
use crate::{output, sys};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const DRIVES: u64 = 6;
const SEGMENT_BYTES: u64 = 4 << 20;
const TOTAL_BYTES: u64 = 10 << 30;
const KEYS_FILE: &str = "credentials";
const KEYS_FILE_NEW: &str = "credentials.new";

/// Values of the settings that `--dev` sets; flags, environment and file still beat them.
pub fn settings() -> Vec<(&'static str, String)> {
    let drive_bytes = TOTAL_BYTES / DRIVES / SEGMENT_BYTES * SEGMENT_BYTES;
    vec![
        ("parity", "2".to_owned()),
        ("drive_size", drive_bytes.to_string()),
        ("storage.segment_bytes", SEGMENT_BYTES.to_string()),
    ]
}

/// The six directories.
pub fn drives(directory: &Path) -> Vec<PathBuf> {
    (1..=DRIVES).map(|number| directory.join(format!("drive-{number}"))).collect()
}

/// Creates what is missing of the directories. Refuses a directory that holds something else.
pub fn prepare(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    match std::fs::read_dir(directory) {
        Ok(entries) => {
            let (mut other, mut used) = (None, false);
            for entry in entries {
                let name = entry?.file_name().to_string_lossy().into_owned();
                let drive = name.starts_with("drive-");
                used |= drive;
                if !drive && name != KEYS_FILE && name != KEYS_FILE_NEW {
                    other = Some(name);
                }
            }
            if let (Some(name), false) = (other, used) {
                let directory = directory.display();
                let text = format!("{directory} is not empty and not ours (it holds {name})");
                return Err(io::Error::other(text));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    builder.create(directory)?;
    for drive in drives(directory) {
        builder.create(drive)?;
    }
    Ok(())
}

/// The keys of the directory, made at the first call.
pub fn keys(directory: &Path) -> io::Result<Credentials> {
    let path = directory.join(KEYS_FILE);
    if path.exists() {
        let text = credentials::read_private(&path).map_err(io::Error::other)?;
        return parse_keys(&text).ok_or_else(|| {
            let path = path.display();
            io::Error::other(format!(
                "{path} is no keys file of basalt; without it new ones are made"
            ))
        });
    }
    let keys = Credentials {
        access_key: random_text(20, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")?,
        secret_key: Secret::new(random_text(
            40,
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
        )?),
    };
    let new = directory.join(KEYS_FILE_NEW);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let (user, secret) = (&keys.access_key, keys.secret_key.expose());
    file.write_all(format!("BASALT_ROOT_USER={user}\nBASALT_ROOT_PASSWORD={secret}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, &path)?;
    File::open(directory)?.sync_all()?;
    Ok(keys)
}

/// Reads the keys file.
pub fn parse_keys(text: &str) -> Option<Credentials> {
    let value = |name: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.next().map(str::to_owned)
    };
    let access_key = value("BASALT_ROOT_USER")?;
    let secret_key = value("BASALT_ROOT_PASSWORD")?;
    credentials::check_user("", &access_key).ok()?;
    credentials::check_password("", &secret_key).ok()?;
    Some(Credentials { access_key, secret_key: Secret::new(secret_key) })
}

/// Letters of the alphabet, whose length must divide 256 so that each is equally likely.
fn random_text(length: usize, alphabet: &[u8]) -> io::Result<String> {
    assert!(256 % alphabet.len() == 0, "an alphabet that favours some letters");
    let mut bytes = vec![0u8; length];
    sys::random_bytes(&mut bytes)?;
    let letter = |byte: u8| char::from(alphabet[usize::from(byte) % alphabet.len()]);
    Ok(bytes.into_iter().map(letter).collect())
}

/// Prints how to use the server, keys included, if it runs with `--dev`. `bound` is an address
/// it listens on by now.
pub fn announce(options: &ServerOptions, bound: SocketAddr) {
    if let Some(directory) = &options.dev {
        output::out(&announcement(options, directory, bound));
    }
}

fn announcement(options: &ServerOptions, directory: &Path, bound: SocketAddr) -> String {
    let host = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let endpoint = SocketAddr::new(host, bound.port());
    format!(
        "basalt serves S3 at http://{endpoint} from {}, for trying out. Try:\n\n  \
         AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={} aws --endpoint-url http://{endpoint} \
         --region {} s3 mb s3://test\n\n",
        directory.display(),
        options.access_key,
        options.secret_key.expose(),
        options.region,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, resolve};
    use crate::testing::TempDir;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_drives_stay_within_ten_gib() {
        let config = resolve(&Sources { dev: settings(), ..Sources::default() }).unwrap();
        let drive_bytes = config.bytes("drive_size").unwrap();
        assert!(drive_bytes * DRIVES <= TOTAL_BYTES);
        assert!((drive_bytes + SEGMENT_BYTES) * DRIVES > TOTAL_BYTES);
        assert_eq!(drive_bytes % SEGMENT_BYTES, 0);
        assert_eq!(config.count("parity"), Some(2));
        assert_eq!(config.bytes("storage.segment_bytes"), Some(SEGMENT_BYTES));
    }

    #[test]
    fn keys_are_made_once_and_kept_private() {
        let directory = TempDir::new();
        prepare(directory.path()).unwrap();
        let first = keys(directory.path()).unwrap();
        assert_eq!(keys(directory.path()).unwrap(), first);
        assert_eq!(first.access_key.len(), 20);
        assert_eq!(first.secret_key.expose().len(), 40);
        let file = directory.path().join(KEYS_FILE);
        assert_eq!(mode(&file), 0o600);
        std::fs::remove_file(&file).unwrap();
        // A start that was killed half-way leaves this behind.
        directory.file(KEYS_FILE_NEW, b"BASALT_ROOT_USER=A");
        assert_ne!(keys(directory.path()).unwrap(), first);
        std::fs::write(&file, "BASALT_ROOT_USER=ABC\n").unwrap();
        assert!(keys(directory.path()).unwrap_err().to_string().contains("no keys file"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(keys(directory.path()).unwrap_err().to_string().contains("others can read"));
    }

    #[test]
    fn foreign_directories_are_refused_untouched() {
        let directory = TempDir::new();
        directory.file("thesis.txt", b"x");
        assert!(prepare(directory.path()).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        let fresh = directory.path().join("a/b");
        prepare(&fresh).unwrap();
        prepare(&fresh).unwrap();
        assert_eq!(std::fs::read_dir(&fresh).unwrap().count(), 6);
        assert_eq!(mode(&fresh.join("drive-6")), 0o700);
    }

    #[test]
    fn only_dev_is_told_its_keys_with_a_reachable_address() {
        let config = resolve(&Sources::default()).unwrap();
        let keys = Credentials {
            access_key: "USER".to_owned(),
            secret_key: Secret::new("hunter2-hunter2".to_owned()),
        };
        let options = ServerOptions::new(&config, Vec::new(), keys);
        let bound = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9001);
        let text = announcement(&options, Path::new("./basalt-data"), bound);
        let command = "AWS_ACCESS_KEY_ID=USER AWS_SECRET_ACCESS_KEY=hunter2-hunter2 \
                       aws --endpoint-url http://127.0.0.1:9001 --region us-east-1 s3 mb s3://test";
        assert!(text.contains(command), "{text}");
    }
}
