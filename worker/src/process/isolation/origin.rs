//! Keeps a step from inheriting what the starter of its worker set, such as ignored signals, and gives the step the usual values.
#![expect(unsafe_code, reason = "calls of the system between the start of a process and its program")]

use std::sync::OnceLock;

/// The usual umask. With it others may read the files of a step, if they can reach them.
pub(super) const USUAL_UMASK: libc::mode_t = 0o022;

/// The usual soft limits of a process on Linux, which are the minimum for each step. A lower limit is raised, because the service
/// manager or the shell that started this process may have lowered it. This file leaves resources alone that are not in the list,
/// apart from open files and core dumps.
const LIMITS: [(libc::__rlimit_resource_t, libc::rlim_t); 5] = [
    (libc::RLIMIT_STACK, 8 << 20),
    (libc::RLIMIT_CPU, libc::RLIM_INFINITY),
    (libc::RLIMIT_FSIZE, libc::RLIM_INFINITY),
    (libc::RLIMIT_DATA, libc::RLIM_INFINITY),
    (libc::RLIMIT_AS, libc::RLIM_INFINITY),
];

/// The number of open files for a process of a step: the least soft limit, and the hard limit unless the worker sets one. The worker
/// itself may have far more for its connections. A step gets fewer, because some programs close or poll every file that they may have.
const FILES: (libc::rlim_t, libc::rlim_t) = (1_024, 65_536);

/// The file of a process by which the kernel chooses which process to kill if the machine is out of memory.
const BLAME_FILE: &std::ffi::CStr = c"/proc/self/oom_score_adj";
/// The least value in that file for a step. Usual processes have 0, and 1,000 is the highest value. With half of that, the kernel
/// kills a step before the worker, its supervisor and other services.
const BLAME: i32 = 500;

/// Returns what a step writes to [`BLAME_FILE`]. A step may have a higher value than its supervisor, but not a lower one. The
/// supervisor's value is read once, because nobody changes it while the supervisor runs.
pub(super) fn blame() -> &'static [u8] {
    static OURS: OnceLock<Vec<u8>> = OnceLock::new();
    OURS.get_or_init(own_blame)
}

fn own_blame() -> Vec<u8> {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse::<i32>().ok());
    own.unwrap_or(0).max(BLAME).to_string().into_bytes()
}

/// Makes the kernel kill this process before its supervisor if memory runs out. If the file cannot be written, nothing changes.
pub(super) fn take_blame(blame: &[u8]) {
    // SAFETY: this runs between fork and exec, where each of these calls is allowed. It allocates nothing.
    unsafe {
        let file = libc::open(BLAME_FILE.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, blame.as_ptr().cast(), blame.len());
            libc::close(file);
        }
    }
}

/// A kernel `struct sigaction` of zeros, which is the default action. The buffer is as large as that structure or larger.
const DEFAULT_ACTION: [u64; 8] = [0; 8];
/// The size of the kernel's set of signals, which has one bit for each of 64 signals.
const SIGNAL_SET_BYTES: usize = 8;

/// Undoes what the starter of the worker left to its children: ignored or blocked signals, the umask, and soft limits that are
/// lower than usual. A hard limit stays, because it cannot be raised. Also limits the open files of a step to `files_max`, and core
/// dumps to 0.
pub(super) fn forget_origin(files_max: Option<u64>) {
    // SAFETY: this runs between fork and exec, where each of these calls is allowed. The structures live on this stack.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            // This is the system call itself, because the C library refuses two signals that it uses itself. It fails for the
            // signals that cannot be ignored.
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT_ACTION.as_ptr(), 0_usize, SIGNAL_SET_BYTES);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::umask(USUAL_UMASK);
        for (resource, usual) in LIMITS {
            let mut limit = std::mem::zeroed::<libc::rlimit>();
            if libc::getrlimit(resource, &raw mut limit) == 0 {
                limit.rlim_cur = limit.rlim_cur.max(usual.min(limit.rlim_max));
                libc::setrlimit(resource, &raw const limit);
            }
        }
        let mut files = std::mem::zeroed::<libc::rlimit>();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut files) == 0 {
            files.rlim_max = files.rlim_max.min(files_max.unwrap_or(FILES.1));
            files.rlim_cur = files.rlim_cur.max(FILES.0).min(files.rlim_max);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const files);
        }
        // A core dump of one large process fills a disk, so a step that wants core dumps must raise the limit.
        let mut core = std::mem::zeroed::<libc::rlimit>();
        if libc::getrlimit(libc::RLIMIT_CORE, &raw mut core) == 0 {
            core.rlim_cur = 0;
            libc::setrlimit(libc::RLIMIT_CORE, &raw const core);
        }
    }
}
