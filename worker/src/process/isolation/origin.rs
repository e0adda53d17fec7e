//! What a step is not to inherit from whoever started its worker, and what it is given in its place.
#![expect(unsafe_code, reason = "calls of the system between the start of a process and its program")]

use std::sync::OnceLock;

/// What a step may expect of files that are made for it: others may read them, as far as they get to them.
pub(super) const USUAL_UMASK: libc::mode_t = 0o022;

/// The usual soft limits on Linux; others are unlimited. A service may lower its own, and so may the shell that started us.
const LIMITS: [(libc::__rlimit_resource_t, libc::rlim_t); 5] = [
    (libc::RLIMIT_STACK, 8 << 20),
    (libc::RLIMIT_CPU, libc::RLIM_INFINITY),
    (libc::RLIMIT_FSIZE, libc::RLIM_INFINITY),
    (libc::RLIMIT_DATA, libc::RLIM_INFINITY),
    (libc::RLIMIT_AS, libc::RLIM_INFINITY),
];

/// The least that a step gets, and the most that it may ask for. Limits the open files. A worker may have as many as the system
/// lets it, for its own connections. Programs that close or poll all files that they could have are slow by it.
const FILES: (libc::rlim_t, libc::rlim_t) = (1_024, 65_536);

/// The file by which the kernel chooses what to kill where a machine is out of memory.
const BLAME_FILE: &std::ffi::CStr = c"/proc/self/oom_score_adj";
/// What stands in it for a step at the least. Whatever runs as usual has 0, and 1,000 is the most. Half of that lets a step go
/// before the worker, before its supervisor and before other services.
const BLAME: i32 = 500;

/// What a step writes to [`BLAME_FILE`]. A step may be blamed more than its supervisor, but not less. It is read once, because nobody
/// changes it for a supervisor that runs.
pub(super) fn blame() -> &'static [u8] {
    static OURS: OnceLock<Vec<u8>> = OnceLock::new();
    OURS.get_or_init(own_blame)
}

fn own_blame() -> Vec<u8> {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse::<i32>().ok());
    own.unwrap_or(0).max(BLAME).to_string().into_bytes()
}

/// Has the kernel choose this process before its supervisor. Where it does not let us, it chooses as before.
pub(super) fn take_blame(blame: &[u8]) {
    // SAFETY: called between fork and exec, where each of these calls may be; nothing is allocated.
    unsafe {
        let file = libc::open(BLAME_FILE.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, blame.as_ptr().cast(), blame.len());
            libc::close(file);
        }
    }
}

/// At least a `struct sigaction` of the kernel.
const DEFAULT_ACTION: [u64; 8] = [0; 8];
/// A set of 64 signals.
const SIGNAL_SET_BYTES: usize = 8;

/// Takes away what whoever started us left to its children: ignored or blocked signals, the umask, and soft limits that are lower
/// than usual. A hard limit holds, since it cannot be raised. Bounds what a step may have of files.
pub(super) fn forget_origin(files_max: Option<u64>) {
    // SAFETY: called between fork and exec, where each of these may be; the structures live on this stack.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            // by the kernel's own call, since the C library refuses the two signals that it uses itself. All zeros are the
            // default action. It fails for those that cannot be ignored.
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
        // a dump of one large process fills a disk, so a step that wants them asks for them
        let mut core = std::mem::zeroed::<libc::rlimit>();
        if libc::getrlimit(libc::RLIMIT_CORE, &raw mut core) == 0 {
            core.rlim_cur = 0;
            libc::setrlimit(libc::RLIMIT_CORE, &raw const core);
        }
    }
}
