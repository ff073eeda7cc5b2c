/* Preloaded into a stage: it counts the file operations under one folder, and has something happen at the n-th of them.

   Counted are calls of libc by which a file is opened, written, forced to the disk, closed after writing, renamed, linked,
   removed or shortened, and by which a folder is made or removed. What is mapped into memory and changed there is not seen.
   safetensors (Rust) and numpy (stdio) come by here as Python does. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* TEAR: half of what is to be written is, and the process dies. FULL: this operation and all after it fail, until it ends. */
enum { NOTHING, KILL, TEAR, FAIL, FULL };
enum { READING = 1, WRITING };
enum { FILES = 4096 };

static char folder[4096];
static size_t folder_length;
static int action, error, armed, trace = -1;
static long at;
static atomic_long count;
static unsigned char known[FILES]; /* what each open file of the folder is open for */
static char names[FILES][256];

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* From now on: operations under the folder `where` are counted, and at number `n` what is wanted happens. */
void rally_arm(const char *where, long n, int what, int number, const char *log) {
    strncpy(folder, where, sizeof folder - 1);
    folder_length = strlen(folder);
    action = what;
    error = number;
    at = n;
    count = 0;
    armed = 1;
    memset(known, 0, sizeof known);
    trace = log ? NEXT(open)(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
}

long rally_count(void) { return count; }

static int inside(int dirfd, const char *path) {
    if (!armed || !path) return 0;
    if (path[0] == '/') return !strncmp(path, folder, folder_length) && (path[folder_length] == '/' || !path[folder_length]);
    if (dirfd != AT_FDCWD) return dirfd >= 0 && dirfd < FILES && known[dirfd];
    return strncmp(path, "pipeline", 8) && strncmp(path, "..", 2); /* a stage stands in its folder; its code is no part of it */
}

static int is_open(int fd, int how) { return armed && fd >= 0 && fd < FILES && known[fd] >= how; }

/* Whether the operation that is about to happen is to fail; does not return where the process is to die. */
static int due(const char *what, const char *path) {
    long n = ++count;
    if (trace >= 0) dprintf(trace, "%ld %s %s\n", n, what, path ? path : "");
    if (n != at && !(action == FULL && n > at && at > 0)) return 0;
    if (action == KILL) raise(SIGKILL);
    errno = error;
    return action != NOTHING;
}

static int kills(void) { return action == KILL || action == TEAR || action == NOTHING; }

static int opened(int fd, int flags, const char *path) {
    if (fd >= 0 && fd < FILES) {
        known[fd] = flags & (O_WRONLY | O_RDWR) ? WRITING : READING;
        snprintf(names[fd], sizeof names[fd], "%s", path);
    }
    return fd;
}

static const char *name(int fd) { return fd >= 0 && fd < FILES ? names[fd] : ""; }

/* Opening for reading is counted where kills are due, and never fails: another campaign damages what is read. */
#define OPEN(call, at_folder, ...)                                                                                            \
    do {                                                                                                                      \
        mode_t mode = 0;                                                                                                      \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                                  \
            va_list more;                                                                                                     \
            va_start(more, flags);                                                                                            \
            mode = va_arg(more, mode_t);                                                                                      \
            va_end(more);                                                                                                     \
        }                                                                                                                     \
        int ours = inside(at_folder, path), writes = flags & (O_WRONLY | O_RDWR | O_CREAT);                                   \
        if (ours && (writes || kills()) && due(writes ? "open" : "read", path)) {                                             \
            if (action == TEAR) raise(SIGKILL);                                                                               \
            return -1;                                                                                                        \
        }                                                                                                                     \
        int fd = NEXT(call)(__VA_ARGS__, flags, mode);                                                                        \
        return ours ? opened(fd, flags, path) : fd;                                                                           \
    } while (0)

int open(const char *path, int flags, ...) { OPEN(open, AT_FDCWD, path); }
int open64(const char *path, int flags, ...) { OPEN(open64, AT_FDCWD, path); }
int openat(int dirfd, const char *path, int flags, ...) { OPEN(openat, dirfd, dirfd, path); }
int openat64(int dirfd, const char *path, int flags, ...) { OPEN(openat64, dirfd, dirfd, path); }

ssize_t write(int fd, const void *bytes, size_t size) {
    if (is_open(fd, WRITING) && due("write", name(fd))) {
        if (!kills()) return -1;
        NEXT(write)(fd, bytes, size / 2);
        raise(SIGKILL);
    }
    return NEXT(write)(fd, bytes, size);
}

#define PWRITE(call, offset_type)                                                                                             \
    ssize_t call(int fd, const void *bytes, size_t size, offset_type offset) {                                                \
        if (is_open(fd, WRITING) && due("write", name(fd))) {                                                                 \
            if (!kills()) return -1;                                                                                          \
            NEXT(call)(fd, bytes, size / 2, offset);                                                                          \
            raise(SIGKILL);                                                                                                   \
        }                                                                                                                     \
        return NEXT(call)(fd, bytes, size, offset);                                                                           \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

size_t fwrite(const void *bytes, size_t size, size_t items, FILE *file) {
    if (is_open(fileno(file), WRITING) && due("write", name(fileno(file)))) {
        if (!kills()) return 0;
        NEXT(fwrite)(bytes, size, items / 2, file);
        fflush(file);
        raise(SIGKILL);
    }
    return NEXT(fwrite)(bytes, size, items, file);
}

int dup(int fd) { /* numpy writes to a copy of the file by stdio */
    int copy = NEXT(dup)(fd);
    if (is_open(fd, READING) && copy >= 0 && copy < FILES) {
        known[copy] = known[fd];
        memmove(names[copy], names[fd], sizeof names[fd]);
    }
    return copy;
}

static const char *moved(const char *from, const char *to) {
    static __thread char both[2048];
    snprintf(both, sizeof both, "%s\t%s", from, to);
    return both;
}

#define CHANGE(call, ours, path, declared, called)                                                                            \
    int call declared {                                                                                                       \
        if ((ours) && due(#call, path)) {                                                                                     \
            if (action == TEAR) raise(SIGKILL);                                                                               \
            return -1;                                                                                                        \
        }                                                                                                                     \
        return NEXT(call) called;                                                                                             \
    }
CHANGE(fsync, is_open(fd, READING), name(fd), (int fd), (fd))
CHANGE(fdatasync, is_open(fd, READING), name(fd), (int fd), (fd))
CHANGE(ftruncate, is_open(fd, WRITING), name(fd), (int fd, off_t size), (fd, size))
CHANGE(ftruncate64, is_open(fd, WRITING), name(fd), (int fd, off64_t size), (fd, size))
CHANGE(rename, inside(AT_FDCWD, to), moved(from, to), (const char *from, const char *to), (from, to))
CHANGE(renameat, inside(b, to), moved(from, to), (int a, const char *from, int b, const char *to), (a, from, b, to))
CHANGE(link, inside(AT_FDCWD, to), to, (const char *from, const char *to), (from, to))
CHANGE(symlink, inside(AT_FDCWD, to), to, (const char *from, const char *to), (from, to))
/* Removing needs no room, and never fails. */
CHANGE(unlink, kills() && inside(AT_FDCWD, path), path, (const char *path), (path))
CHANGE(unlinkat, kills() && inside(dirfd, path), path, (int dirfd, const char *path, int flags), (dirfd, path, flags))
CHANGE(mkdir, inside(AT_FDCWD, path), path, (const char *path, mode_t mode), (path, mode))
CHANGE(mkdirat, inside(dirfd, path), path, (int dirfd, const char *path, mode_t mode), (dirfd, path, mode))
CHANGE(rmdir, kills() && inside(AT_FDCWD, path), path, (const char *path), (path))
CHANGE(utimensat, kills() && inside(at_folder, path), path,
       (int at_folder, const char *path, const struct timespec times[2], int flags), (at_folder, path, times, flags))

#define COPY(call, declared, called)                                                                                          \
    ssize_t call declared {                                                                                                   \
        if (is_open(to, WRITING) && due("write", name(to))) {                                                                 \
            if (!kills()) return -1;                                                                                          \
            size /= 2;                                                                                                        \
            NEXT(call) called;                                                                                                \
            raise(SIGKILL);                                                                                                   \
        }                                                                                                                     \
        return NEXT(call) called;                                                                                             \
    }
ssize_t sendfile(int to, int from, off_t *offset, size_t size);
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size);
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags);
COPY(sendfile, (int to, int from, off_t *offset, size_t size), (to, from, offset, size))
COPY(sendfile64, (int to, int from, off64_t *offset, size_t size), (to, from, offset, size))
COPY(copy_file_range, (int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags), (from, a, to, b, size, flags))

int close(int fd) { /* a network file system may say only now that there was no room */
    int ours = is_open(fd, WRITING) && action != FULL, fails = ours && due("close", name(fd));
    if (fails && action == TEAR) raise(SIGKILL);
    if (fd >= 0 && fd < FILES) known[fd] = 0;
    int status = NEXT(close)(fd);
    if (!fails) return status;
    errno = error;
    return -1;
}
