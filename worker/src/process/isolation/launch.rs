//! Starts the process of a step. Like `posix_spawn` of the C library, it lets the new process share the supervisor's memory until
//! its program begins, while the supervisor waits. A fork would copy the supervisor's pages, which costs more than many a step
//! does.
#![expect(unsafe_code, reason = "clone, and what must happen between it and exec")]

use super::origin::{blame, forget_origin, take_blame};
use rustix::process::{Pid, getpid};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

/// The size of the stack of a process that has no program yet, in bytes. Such a process only makes system calls.
const STACK_BYTES: usize = 64 << 10;
/// The directories in which programs are searched if a step has no `PATH`. The C library has the same default.
const USUAL_PATH: &str = "/bin:/usr/bin";
/// The shell that runs an executable file which names no interpreter, as in the C library.
const SHELL: &CStr = c"/bin/sh";

/// Starts a step in the absolute directory `dir`, with `env` as its whole environment. Returns its process, and the reading end of
/// the one pipe that takes both of its outputs. The step leads a process group of its own, and dies with the calling thread.
/// `files` limits how many files each of its processes may have open, if somebody set a limit. This process must have no other
/// thread.
pub(crate) fn launch(
    argv: &[String],
    env: &[(String, String)],
    dir: &Path,
    files: Option<u64>,
) -> io::Result<(Pid, OwnedFd)> {
    let program = Program::new(argv, env)?;
    let (reader, writer) = io::pipe()?;
    let nothing = File::open("/dev/null")?;
    let child = Child {
        program: &program,
        dir: CString::new(dir.as_os_str().as_encoded_bytes())?,
        input: nothing.as_raw_fd(),
        output: writer.as_raw_fd(),
        supervisor: getpid(),
        files,
        blame: blame(),
        error: AtomicI32::new(0),
    };
    let pid = child.start()?;
    Ok((pid, reader.into()))
}

/// Texts in the form that system calls take: an array of pointers, with a null pointer at the end.
struct Texts {
    /// The texts that own the memory of the pointers.
    _texts: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Texts {
    fn new(texts: Vec<CString>) -> Texts {
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Texts { _texts: texts, pointers }
    }
}

/// The program to run. It is looked up as the C library does it, but in the step's own `PATH`.
struct Program {
    /// The paths at which the program may be, in the order in which they are tried.
    places: Vec<CString>,
    /// One argument list for each place. With it the shell runs a file there that is a script without an interpreter.
    scripts: Vec<Texts>,
    argv: Texts,
    env: Texts,
}

impl Program {
    fn new(argv: &[String], env: &[(String, String)]) -> io::Result<Program> {
        let name = argv.first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an empty command"))?;
        // If a name appears twice, the last entry counts.
        let env: BTreeMap<&str, &str> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let places = c_texts(places(name, env.get("PATH").copied()))?;
        let arguments = c_texts(argv.iter().cloned())?;
        let script = |place: &CString| {
            let behind = arguments.iter().skip(1).cloned();
            Texts::new([SHELL.to_owned(), place.clone()].into_iter().chain(behind).collect())
        };
        Ok(Program {
            scripts: places.iter().map(script).collect(),
            places,
            argv: Texts::new(arguments),
            env: Texts::new(c_texts(env.iter().map(|(name, value)| format!("{name}={value}")))?),
        })
    }

    /// Replaces this process by the program. If that fails, returns the error. It is EACCES if a place has a file that may not be run,
    /// and otherwise the error of the last place. Allocates nothing.
    fn become_it(&self) -> c_int {
        let mut denied = None;
        for (place, script) in self.places.iter().zip(&self.scripts) {
            // SAFETY: all pointers are to texts that end in a zero, and the lists end in a null pointer.
            let error = unsafe {
                libc::execve(place.as_ptr(), self.argv.pointers.as_ptr(), self.env.pointers.as_ptr());
                if errno() == libc::ENOEXEC {
                    libc::execve(SHELL.as_ptr(), script.pointers.as_ptr(), self.env.pointers.as_ptr());
                }
                errno()
            };
            match error {
                libc::EACCES => denied = Some(error),
                libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
                other => return other,
            }
        }
        denied.unwrap_or(libc::ENOENT)
    }
}

/// Returns the paths at which a program of this name may be.
fn places(name: &str, path: Option<&str>) -> Vec<String> {
    if name.contains('/') || name.is_empty() {
        return vec![name.to_owned()];
    }
    let place = |dir: &str| if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
    path.unwrap_or(USUAL_PATH).split(':').map(place).collect()
}

fn c_texts(texts: impl IntoIterator<Item = String>) -> io::Result<Vec<CString>> {
    texts.into_iter().map(|text| CString::new(text).map_err(io::Error::from)).collect()
}

fn errno() -> c_int {
    // SAFETY: the C library gives each thread its own `errno`, so the pointer is valid.
    unsafe { *libc::__errno_location() }
}

/// The data that the new process needs to become the step. The supervisor and the new process share it until the program begins.
struct Child<'a> {
    program: &'a Program,
    dir: CString,
    input: c_int,
    output: c_int,
    supervisor: Pid,
    files: Option<u64>,
    blame: &'static [u8],
    /// The error for which the program could not begin. 0 means that it began.
    error: AtomicI32,
}

impl Child<'_> {
    fn start(&self) -> io::Result<Pid> {
        let mut stack: Vec<u128> = Vec::with_capacity(STACK_BYTES / size_of::<u128>());
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the kernel lets this thread go on only when the child has its program or has ended. Until then only the child
        // uses this memory, so `self` and the stack outlive their use; the stack grows down from its end. Signals are blocked, so
        // that no handler runs in the child, where it would see the memory of this process.
        let pid = unsafe {
            let top = stack.as_mut_ptr().add(stack.capacity());
            let mut all = std::mem::zeroed();
            let mut before = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            let pid = libc::clone(child_main, top.cast(), flags, ptr::from_ref(self).cast_mut().cast());
            let error = io::Error::last_os_error();
            libc::sigprocmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
            Pid::from_raw(pid).filter(|_| pid > 0).ok_or(error)?
        };
        match self.error.load(Ordering::Relaxed) {
            0 => Ok(pid),
            error => {
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
                Err(io::Error::from_raw_os_error(error))
            }
        }
    }

    /// Runs in the child, and turns it into the step. If that fails, returns the error. Allocates nothing.
    fn become_step(&self) -> c_int {
        forget_origin(self.files);
        take_blame(self.blame);
        // SAFETY: these are system calls that take numbers, and one text that ends in a zero.
        let is_ready = unsafe {
            libc::dup2(self.input, 0) >= 0
                && libc::dup2(self.output, 1) >= 0
                && libc::dup2(self.output, 2) >= 0
                && libc::setpgid(0, 0) == 0
                && libc::chdir(self.dir.as_ptr()) == 0
                && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0
        };
        match is_ready {
            false => errno(),
            // The supervisor may have died before this process asked for the signal.
            true if rustix::process::getppid() != Some(self.supervisor) => libc::EPIPE,
            true => self.program.become_it(),
        }
    }
}

extern "C" fn child_main(child: *mut c_void) -> c_int {
    // SAFETY: `child` is the pointer that `Child::start` passed. It is valid until this process has its program or has ended.
    let child = unsafe { &*child.cast::<Child<'_>>() };
    child.error.store(child.become_step(), Ordering::Relaxed);
    // `clone` of the C library ends the process with this code, and runs none of its parent's code.
    127
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_as_the_c_library_does() {
        assert_eq!(places("sh", Some("/a:/b")), ["/a/sh", "/b/sh"]);
        assert_eq!(places("sh", Some("/a::b")), ["/a/sh", "sh", "b/sh"], "an empty part is the step's directory");
        assert_eq!(places("sh", None), ["/bin/sh", "/usr/bin/sh"]);
        assert_eq!(places("./sh", Some("/a")), ["./sh"]);
        assert_eq!(places("", Some("/a")), [""], "which nothing has for a name");
    }
}
