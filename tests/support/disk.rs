//! A file system in memory, of its own size.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Unmounted at the end.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` for users who may not mount.
    pub fn mount(options: &str) -> Option<SmallDisk> {
        let disk = SmallDisk(super::support::temporary_folder());
        if disk.call(options) {
            return Some(disk);
        }
        println!("left out: this user may not mount");
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// With other options from now on.
    #[allow(dead_code, reason = "not every test changes them")]
    #[track_caller]
    pub fn remount(&self, options: &str) {
        let began = Instant::now();
        // A process that another test has just begun may hold for a moment what this one had open for writing.
        while !self.call(&format!("remount,{options}")) {
            assert!(began.elapsed() < super::support::PATIENCE, "{options}: the disk is in use");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn call(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
