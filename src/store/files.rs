//! Files and folders with user data: for their owner alone, whatever the umask, and of the folder's owner even when
//! root makes them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};

use super::{DATA_FILE, space};

pub const FILE_MODE: u32 = 0o600;
pub const FOLDER_MODE: u32 = 0o700;

/// The file name of a store or backup in a folder; a file stands for itself.
pub fn data_file(place: &Path) -> PathBuf {
    if place.is_dir() { place.join(DATA_FILE) } else { place.to_path_buf() }
}

/// The folder that a file is in; that of a bare name is the working directory.
pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folder of a data file that has the name it has in a store.
pub fn store_of(file: &Path) -> Option<&Path> {
    file.ends_with(DATA_FILE).then(|| folder_of(file))
}

/// Makes a folder and those above it, as far as they are missing; true when there was none. Made by root they belong
/// to the owner of the folder they are in.
///
/// # Errors
/// When it cannot be made, or something else has its name.
pub fn create_folder(path: &Path) -> io::Result<bool> {
    if path.is_dir() {
        return Ok(false);
    }
    let named = path.ancestors().filter(|folder| !folder.as_os_str().is_empty());
    let missing: Vec<&Path> = named.take_while(|folder| !folder.exists()).collect();
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))?;
    if let (true, Some(first)) = (is_root(), missing.last()) {
        let above = fs::metadata(folder_of(first))?;
        for folder in missing {
            lchown(folder, Some(above.uid()), Some(above.gid()))?;
        }
    }
    Ok(true)
}

/// Opens a file to write to it, and makes it with rights for its owner alone where it is missing. A link is an error:
/// whoever may write to the folder could have root overwrite, or give away, a file somewhere else.
///
/// # Errors
/// When it cannot be opened or made, or is a link.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    options.mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Creates a file, or empties the one that is there, and makes it private.
///
/// # Errors
/// When it cannot be made or changed.
pub fn create(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    file.set_len(0)?;
    make_private(&file, path)?;
    Ok(file)
}

/// Takes everybody else's rights from a file, and gives it to the owner of its folder when root has made it: a
/// service that runs as another user must still be able to open it.
///
/// # Errors
/// When owner or mode cannot be changed.
pub fn make_private(file: &File, path: &Path) -> io::Result<()> {
    let data = file.metadata()?;
    if data.mode() & 0o7777 != FILE_MODE {
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    }
    let folder = fs::metadata(folder_of(path))?;
    let owners = (folder.uid(), folder.gid());
    if is_root() && (data.uid(), data.gid()) != owners {
        fchown(file, Some(owners.0), Some(owners.1))?;
    }
    Ok(())
}

/// [`make_private`] for a file that somebody else has made, if it is there. A file of another user stays as it is, and
/// so does what a link names: it is in another folder, of another owner.
///
/// # Errors
/// When owner or mode cannot be changed.
pub fn make_private_at(path: &Path) -> io::Result<()> {
    match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Ok(file) if is_root() || file.metadata()?.uid() == user() => make_private(&file, path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_link(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// Makes names that were given in a folder durable.
///
/// # Errors
/// When the disk refuses.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Puts a private file in its place: durable, and nobody finds half of it. `partial`: its name until it is whole, in the
/// same folder.
///
/// # Errors
/// Those of the disk.
pub fn replace(path: &Path, partial: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(partial, path)?;
    sync_folder(folder_of(path))
}

/// What to say of a file that could not be used: its name and why, and of a right that is missing, whose it is.
pub fn explain(path: &Path, error: &io::Error) -> String {
    let name = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {}
        io::ErrorKind::StorageFull => return format!("{name}{}", space::FULL),
        _ if is_link(error) => {
            return format!("{name}: it is a symbolic link, which is not followed; remove it");
        }
        _ => return format!("{name}: {error}"),
    }
    // The file itself may be hidden by a folder above it.
    let seen = path.ancestors().find_map(|path| fs::metadata(path).ok().map(|data| (path, data)));
    let Some((path, data)) = seen else { return format!("{name}: {error}") };
    let (owner, mode, user) = (data.uid(), data.mode() & 0o7777, user());
    let of = path.display();
    let mut text =
        format!("{name}: {error}; {of} belongs to user {owner} with mode {mode:04o}, this is user {user}");
    if owner != user {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        text += &format!(": sudo chown -R {user} {}", folder.display());
    }
    text
}

fn is_root() -> bool {
    user() == 0
}

fn user() -> u32 {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_private() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        assert!(create_folder(&folder).unwrap() && !create_folder(&folder).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&folder), mode(&place.path().join("a"))), (0o700, 0o700));
        let file = folder.join("file");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        create(&file).unwrap();
        assert_eq!((mode(&file), fs::read(&file).unwrap().len()), (0o600, 0));
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        make_private_at(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        make_private_at(&folder.join("missing")).unwrap();
    }

    #[test]
    fn no_link_is_followed() {
        let place = tempfile::tempdir().unwrap();
        let (elsewhere, link) = (place.path().join("elsewhere"), place.path().join("link"));
        fs::write(&elsewhere, "kept").unwrap();
        fs::set_permissions(&elsewhere, Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        for error in [create(&link).unwrap_err(), open(&link).unwrap_err()] {
            assert!(explain(&link, &error).contains("symbolic link"), "{error}");
        }
        make_private_at(&link).unwrap();
        let data = fs::metadata(&elsewhere).unwrap();
        assert_eq!((data.mode() & 0o7777, data.len()), (0o644, 4));
    }

    #[test]
    fn a_bare_name_is_in_the_working_directory() {
        for (file, folder) in [("data.mdb", "."), ("a/data.mdb", "a"), ("/data.mdb", "/"), ("./x", ".")] {
            assert_eq!(folder_of(Path::new(file)), Path::new(folder), "{file}");
        }
        assert_eq!(store_of(Path::new("data.mdb")), Some(Path::new(".")));
        assert_eq!(store_of(Path::new("a/data.mdb.before-restore")), None);
    }

    #[test]
    fn root_gives_what_it_makes_to_the_owner_of_the_folder() {
        if !is_root() {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(place.path(), Some(12_345), Some(54_321)).unwrap();
        let file = create(&place.path().join("file")).unwrap().metadata().unwrap();
        assert_eq!((file.uid(), file.gid()), (12_345, 54_321));
        create_folder(&place.path().join("a/b")).unwrap();
        for folder in ["a", "a/b"] {
            let data = fs::metadata(place.path().join(folder)).unwrap();
            assert_eq!((data.uid(), data.gid()), (12_345, 54_321), "{folder}");
        }
    }

    #[test]
    fn a_missing_right_is_explained() {
        let place = tempfile::tempdir().unwrap();
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let file = place.path().join("data.mdb");
        fs::write(&file, "").unwrap();
        let text = explain(&file, &denied);
        assert!(text.starts_with(&file.display().to_string()), "{text}");
        assert!(text.contains("belongs to user") && text.contains("this is user"), "{text}");
        let text = explain(&file, &io::Error::from(io::ErrorKind::StorageFull));
        assert!(!text.contains("belongs"), "{text}");
    }

    #[test]
    fn what_is_put_in_its_place_is_whole_and_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/admin.txt");
        let put = |path: &Path, text: &str| {
            create_folder(folder_of(path))?;
            replace(path, &path.with_extension("new"), text.as_bytes())
        };
        for text in ["one", "two"] {
            put(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, FILE_MODE);
        }
        let deep = folder.path().join("deep");
        assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o777, FOLDER_MODE);
        assert!(put(&deep, "x").is_err(), "a folder is in the way");
    }
}
