// seccomp(2): a list of what is refused, not of what is allowed. A C library that takes another call for the same thing
// tomorrow must not break the mount.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

#include "base/log.h"
#include "mount/hardening.h"
#include "mount/sandbox.h"

namespace coffer::mount {
namespace {

using base::LogLevel;

#if defined(__x86_64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_X86_64;
constexpr unsigned kForeignCalls = 0x40000000;  // __X32_SYSCALL_BIT and above
#elif defined(__aarch64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_AARCH64;
constexpr unsigned kForeignCalls = 0;
#else
constexpr unsigned kArchitecture = 0;
constexpr unsigned kForeignCalls = 0;
#endif

constexpr long kRefused[] = {
    // other programs, other processes
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd, SYS_kcmp,
    // what is mounted where, other namespaces
    SYS_mount, SYS_umount2, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsmount, SYS_fspick, SYS_fsconfig,
    SYS_mount_setattr, SYS_pivot_root, SYS_chroot, SYS_setns, SYS_open_by_handle_at,
    // parts of the kernel that a file system has no use for and that holes are found in
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
    SYS_add_key, SYS_request_key, SYS_keyctl, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load,
    SYS_swapon, SYS_swapoff, SYS_reboot, SYS_acct, SYS_settimeofday, SYS_clock_settime};

constexpr sock_filter load(std::size_t at) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(at)); }
constexpr sock_filter answer(unsigned with) { return BPF_STMT(BPF_RET | BPF_K, with); }
// The next instruction if the loaded word is `value`, else the one after.
constexpr sock_filter unless_equal_skip_one(unsigned value) { return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1); }

constexpr unsigned kRefuse = SECCOMP_RET_ERRNO | EPERM;

// Both architectures have the lower half of an argument first.
constexpr std::size_t argument(std::size_t index) { return offsetof(seccomp_data, args) + 8 * index; }

// `call` only with this first argument.
void only_with(std::vector<sock_filter>& program, long call, unsigned value) {
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 4));
  program.push_back(load(argument(0)));
  program.push_back(unless_equal_skip_one(value));
  program.push_back(answer(SECCOMP_RET_ALLOW));
  program.push_back(answer(kRefuse));
}

std::vector<sock_filter> make_program() {
  std::vector<sock_filter> program;
  program.push_back(load(offsetof(seccomp_data, arch)));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0));
  program.push_back(answer(kRefuse));
  program.push_back(load(offsetof(seccomp_data, nr)));
  if (kForeignCalls != 0) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kForeignCalls, 0, 1));
    program.push_back(answer(kRefuse));
  }
  for (const long call : kRefused) {
    program.push_back(unless_equal_skip_one(static_cast<unsigned>(call)));
    program.push_back(answer(kRefuse));
  }
  only_with(program, SYS_socket, AF_UNIX);
  only_with(program, SYS_unshare, CLONE_FS);  // caller_identity.cc
  program.push_back(answer(SECCOMP_RET_ALLOW));
  return program;
}

}  // namespace

bool confine_calls() {
  if (kSanitized || kArchitecture == 0) {
    base::log_line(LogLevel::kDebug, "system calls are not confined in this build");
    return false;
  }
  std::vector<sock_filter> instructions = make_program();
  const sock_fprog program{static_cast<unsigned short>(instructions.size()), instructions.data()};
  // Without SPEC_ALLOW kernels before 5.16 would slow down every indirect branch of the process.
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) == 0) {
    return true;
  }
  base::log(LogLevel::kDebug, "system calls are not confined: {}", std::strerror(errno));
  return false;
}

}  // namespace coffer::mount
