//! Files and folders with user data: for their owner alone, whatever the umask, and of the folder's owner even when
//! root makes them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::DATA_FILE;

pub const FILE_MODE: u32 = 0o600;
pub const FOLDER_MODE: u32 = 0o700;

/// The file name of a store or backup in a folder; a file stands for itself.
pub fn data_file(place: &Path) -> PathBuf {
    if place.is_dir() { place.join(DATA_FILE) } else { place.to_path_buf() }
}

/// Makes a folder and those above it, as far as they are missing; true when there was none.
///
/// # Errors
/// When it cannot be made, or something else has its name.
pub fn create_folder(path: &Path) -> io::Result<bool> {
    if path.is_dir() {
        return Ok(false);
    }
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))?;
    Ok(true)
}

/// Creates a file, or empties the one that is there, and makes it private.
///
/// # Errors
/// When it cannot be made or changed.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(true).read(true).write(true).mode(FILE_MODE).open(path)?;
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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = fs::metadata(folder)?;
    let owners = (folder.uid(), folder.gid());
    if is_root() && (data.uid(), data.gid()) != owners {
        fchown(file, Some(owners.0), Some(owners.1))?;
    }
    Ok(())
}

/// [`make_private`] for a file that somebody else has made, if it is there. A file of another user stays as it is.
///
/// # Errors
/// When owner or mode cannot be changed.
pub fn make_private_at(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(file) if is_root() || file.metadata()?.uid() == user() => make_private(&file, path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes names that were given in a folder durable.
///
/// # Errors
/// When the disk refuses.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What to say of a file that could not be used: its name, and of a right that is missing, whose it is.
pub fn explain(path: &Path, error: &io::Error) -> String {
    let name = path.display();
    if error.kind() != io::ErrorKind::PermissionDenied {
        return format!("{name}: {error}");
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
    fn root_gives_what_it_makes_to_the_owner_of_the_folder() {
        if !is_root() {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(place.path(), Some(12_345), Some(54_321)).unwrap();
        let file = create(&place.path().join("file")).unwrap().metadata().unwrap();
        assert_eq!((file.uid(), file.gid()), (12_345, 54_321));
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
}
