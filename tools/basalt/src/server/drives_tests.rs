//! Tests of `drives`.

use super::*;
use crate::testing::TempDir;
use std::os::unix::net::UnixListener;

fn look(paths: &[&str]) -> Result<Inspected, Refusal> {
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    inspect(&paths, Duration::ZERO)
}

#[test]
fn kinds_are_told_apart() {
    let place = TempDir::new();
    let directory = place.directory("directory");
    let file = place.file("file", &[0; 4096]);
    let missing = place.entry("missing");
    let found = look(&[&directory, &file, &missing]).unwrap();
    let kinds: Vec<DriveKind> = found.drives.iter().map(|drive| drive.kind).collect();
    assert_eq!(kinds, [DriveKind::Directory, DriveKind::File, DriveKind::Missing]);
    assert_eq!(found.drives[0].path, PathBuf::from(&directory));
    assert_eq!(look(&[]), Err(Refusal::NoDrives));
}

#[test]
fn patterns_expand_in_order() {
    let place = TempDir::new();
    let pattern = place.entry("d{1...3}");
    let paths = expand(&[pattern]).unwrap();
    let expected: Vec<PathBuf> =
        ["d1", "d2", "d3"].iter().map(|name| place.path().join(name)).collect();
    assert_eq!(paths, expected);
    let broken = expand(&[place.entry("d{3...1}")]);
    assert!(matches!(broken, Err(Refusal::Pattern(_))), "{broken:?}");
}

#[test]
fn the_same_drive_twice_is_refused_under_any_name() {
    let place = TempDir::new();
    let directory = place.directory("d1");
    let file = place.file("file", &[]);
    let missing = place.entry("missing");
    let link = place.entry("link");
    std::os::unix::fs::symlink(&directory, &link).unwrap();
    let hard_link = place.entry("hard");
    std::fs::hard_link(&file, &hard_link).unwrap();
    let dotted = place.entry("d1/../d1");
    let slashed = format!("{missing}/");
    let pairs = [
        (&directory, &directory),
        (&directory, &link),
        (&directory, &dotted),
        (&file, &hard_link),
        (&missing, &missing),
        (&missing, &slashed),
    ];
    for (first, second) in pairs {
        let expected = Refusal::Twice { first: first.clone(), second: second.clone() };
        assert_eq!(look(&[first, second]), Err(expected));
    }
}

#[test]
fn a_drive_inside_a_drive_is_refused() {
    let place = TempDir::new();
    let outer = place.directory("outer");
    let inner = place.entry("outer/inner");
    let expected = Refusal::Nested { inner: inner.clone(), outer: outer.clone() };
    assert_eq!(look(&[&outer, &inner]), Err(expected));
    let beside = place.directory("outer-too");
    assert!(look(&[&outer, &beside]).is_ok());
}

#[test]
fn directories_of_other_stores_are_refused_by_name() {
    for &(owner, marker) in FOREIGN {
        let place = TempDir::new();
        let drive = place.directory("d1");
        place.directory(&format!("d1/{marker}"));
        place.file("d1/basalt-1.data", b"");
        let refusal = look(&[&drive]).unwrap_err();
        assert_eq!(refusal, Refusal::Foreign { path: drive, owner, marker });
        assert!(refusal.to_string().contains(owner), "{refusal}");
    }
}

#[test]
fn only_empty_directories_and_ours_are_taken() {
    let place = TempDir::new();
    let drive = place.directory("d1");
    place.directory("d1/lost+found");
    assert!(look(&[&drive]).is_ok());
    place.file("d1/basalt-lock", b"");
    assert!(look(&[&drive]).is_ok());
    place.file("d1/notes.txt", b"");
    let expected = Refusal::NotEmpty { path: drive.clone(), found: "notes.txt".to_owned() };
    assert_eq!(look(&[&drive]), Err(expected));
    place.file("d1/basalt-0001.data", b"");
    assert!(look(&[&drive]).is_ok());
}

#[test]
fn files_with_content_are_refused() {
    let place = TempDir::new();
    let mut image = vec![0u8; 1 << 21];
    image[..4].copy_from_slice(b"XFSB");
    let signed = place.file("signed", &image);
    let expected = Refusal::Signed { path: signed.clone(), signature: "an XFS file system" };
    assert_eq!(look(&[&signed]), Err(expected));
    let unknown = place.file("unknown", b"hello");
    assert_eq!(look(&[&unknown]), Err(Refusal::UnknownContent { path: unknown.clone() }));
    image[..8].copy_from_slice(b"BASALTSB");
    let ours = place.file("ours", &image);
    assert!(look(&[&ours]).is_ok());
}

#[test]
fn sockets_and_devices_are_no_drives() {
    let place = TempDir::new();
    let socket = place.entry("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let expected = Refusal::NotADrive { path: socket.clone(), what: "a socket" };
    assert_eq!(look(&[&socket]), Err(expected));
    let null = look(&["/dev/null"]);
    assert!(matches!(null, Err(Refusal::NotADrive { what: "a character device", .. })));
    let file = place.file("file", b"");
    let below = format!("{file}/d1");
    assert!(matches!(look(&[&below]), Err(Refusal::NotADrive { .. })));
}

#[test]
fn one_file_system_for_several_drives_draws_one_warning() {
    let place = TempDir::new();
    let (first, second) = (place.directory("d1"), place.directory("d2"));
    assert!(look(&[&first]).unwrap().warnings.is_empty());
    let warnings = look(&[&first, &second]).unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains(&first) && warnings[0].contains(&second), "{warnings:?}");
    // Directories that are yet to be made will be on it too.
    let (third, fourth) = (place.entry("d3"), place.entry("d4"));
    let found = look(&[&first, &third, &fourth]).unwrap();
    assert!(found.warnings[0].contains(&third) && found.warnings[0].contains(&fourth));
    assert!(found.drives.iter().all(|drive| drive.file_system == found.drives[0].file_system));
}

#[test]
fn file_drives_are_made_private() {
    let place = TempDir::new();
    let (file, directory) = (place.file("file", &[]), place.directory("d1"));
    let set = |path: &str, mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
    set(&file, 0o644).unwrap();
    set(&directory, 0o755).unwrap();
    make_private(&look(&[&file, &directory]).unwrap().drives);
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&directory)), (0o600, 0o755));
}
