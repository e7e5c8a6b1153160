//! What the system's allocator is told, by a program that is a broker and nothing else.
//!
//! glibc's `malloc` makes an arena for every thread, up to eight for each processor, and none gives to another
//! what it has free. And whoever frees a large piece of memory once, a list of all queues for example, makes it keep
//! pieces of that size for good. Both can be said otherwise, to a running program by `mallopt`, which no safe
//! code may call, and to one that begins by its environment.

use std::io;

/// Two arenas, and pieces of 512 KiB go back to the system. Smaller ones are read into again and again
/// (256 KiB at a time when a backlog comes back).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TOLD: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_MMAP_THRESHOLD_", "524288"),
    ("MALLOC_TRIM_THRESHOLD_", "524288"),
];

/// Begins the program again, as the same process, with an environment that tells glibc's allocator to keep less
/// memory. Returns if there is nothing to be done: the environment says something about the allocator
/// already (`MALLOC_…`, `GLIBC_TUNABLES`, `LD_PRELOAD`), or the system has another one.
///
/// To be called first, before there are threads. An embedder decides for itself.
///
/// # Errors
///
/// If the program cannot be begun again. It may go on as it is.
pub fn settle_allocator() -> io::Result<()> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::env;
        use std::os::unix::process::CommandExt as _;
        use std::process::Command;

        if env::vars_os().any(|(name, _)| is_about_allocation(&name)) {
            return Ok(());
        }
        let mut words = env::args_os();
        let mut again = Command::new(env::current_exe()?);
        if let Some(name) = words.next() {
            again.arg0(name);
        }
        // It comes back only if it fails.
        Err(again.args(words).envs(TOLD).exec())
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    Ok(())
}

/// Whether a variable of the environment says which allocator there is, or how it works.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn is_about_allocation(name: &std::ffi::OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"MALLOC_") || name == b"GLIBC_TUNABLES" || name == b"LD_PRELOAD"
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn whoever_begins_again_does_it_once_and_operators_have_the_last_word() {
        for (told, _) in TOLD {
            assert!(is_about_allocation(told.as_ref()), "{told}");
        }
        for (name, expected) in [
            ("GLIBC_TUNABLES", true),
            ("LD_PRELOAD", true),
            ("MALLOC_CONF", true),
            ("LD_LIBRARY_PATH", false),
            ("PATH", false),
        ] {
            assert_eq!(is_about_allocation(name.as_ref()), expected, "{name}");
        }
    }
}
