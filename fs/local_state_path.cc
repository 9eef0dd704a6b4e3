#include "fs/local_state_path.h"

#include <linux/magic.h>
#include <pwd.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "base/sys.h"
#include "crypto/keys.h"

namespace coffer::fs {
namespace {

namespace sys = base::sys;
using base::Errno;
using base::FdRef;
using base::Result;
using base::UniqueFd;

// File systems whose inode numbers and birth times outlive a reboot. Device numbers do not (btrfs, LVM and USB disks
// get them in order of arrival), so they are left out: a journal in a state folder that is not found again would never
// be applied. Elsewhere (vfat, FUSE, NFS, overlay) inode numbers may be made up at each mount, and the path has to do.
bool has_lasting_inodes(long type) {
  constexpr std::array<unsigned long, 7> kTypes{EXT4_SUPER_MAGIC, 0x58465342 /* xfs */, BTRFS_SUPER_MAGIC,
                                                F2FS_SUPER_MAGIC, 0x2fc12fc1 /* zfs */, TMPFS_MAGIC,
                                                0xca451a4e /* bcachefs */};
  for (unsigned long known : kTypes) {
    if (static_cast<unsigned long>(type) == known) return true;
  }
  return false;
}

std::string home() {
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/') return home;
  std::array<char, 16384> buffer;
  passwd entry;
  passwd* found = nullptr;
  if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return "";
  return found->pw_dir != nullptr && found->pw_dir[0] == '/' ? found->pw_dir : "";
}

// FNV-1a: a stable name for a folder, not a secret and nobody's to forge but its owner's.
class Fingerprint {
 public:
  void add(base::ByteView bytes) {
    for (base::Byte byte : bytes) state_ = (state_ ^ byte) * 0x100000001b3;
  }
  void add(std::uint64_t value) {
    base::ByteArray<8> bytes;
    base::store_le(bytes.data(), value);
    add(bytes);
  }
  std::string hex() const {
    base::ByteArray<8> bytes;
    base::store_le(bytes.data(), state_);
    return crypto::to_hex(bytes);
  }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325;
};

// Makes every missing folder on the way, mode 0700, as the XDG specification asks.
base::Status make_folders(const std::string& path) {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string prefix = path.substr(0, slash);
    base::Status made = sys::mkdirat(FdRef(AT_FDCWD), prefix.c_str(), 0700);
    // An existing parent may answer EROFS or EACCES instead of EEXIST; whether it will do shows at the last one.
    if (!made && slash == std::string::npos && made.error().code() != EEXIST) return made;
    if (slash == std::string::npos) return base::ok();
  }
}

}  // namespace

std::string state_root() {
  // The specification: a relative path is to be ignored.
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && state[0] == '/') {
    return std::string(state) + "/coffer";
  }
  const std::string base = home();
  return base.empty() ? "" : base + "/.local/state/coffer";
}

std::string folder_identity(FdRef folder, const std::string& absolute_path) {
  struct statfs system {};
  const bool known = ::fstatfs(folder.get(), &system) == 0;
  Result<sys::Stat> stat = sys::statx(folder);
  Fingerprint fingerprint;
  if (known && stat && has_lasting_inodes(system.f_type) && stat->btime.tv_sec != 0) {
    fingerprint.add(static_cast<std::uint64_t>(system.f_type));
    fingerprint.add(stat->ino);
    fingerprint.add(static_cast<std::uint64_t>(stat->btime.tv_sec));
    fingerprint.add(static_cast<std::uint64_t>(stat->btime.tv_nsec));
  } else {
    fingerprint.add(base::as_bytes(absolute_path));
  }
  return fingerprint.hex();
}

std::string state_folder_name(const crypto::VaultId& vault, const std::string& identity) {
  return crypto::to_hex(vault.view()) + "-" + identity;
}

Result<UniqueFd> open_state_folder(const std::string& path) {
  if (path.empty()) return Errno(ENOENT);
  base::Status made = make_folders(path);
  Result<UniqueFd> folder = sys::openat(FdRef(AT_FDCWD), path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!folder) return made ? folder.error() : made.error();
  COFFER_ASSIGN_OR_RETURN(sys::Stat stat, sys::statx(*folder));
  if (stat.uid != ::geteuid()) return Errno(EPERM);  // another user could read or plant what we remember
  if ((stat.mode & 077) != 0) COFFER_RETURN_IF_ERROR(sys::fchmod(*folder, 0700));
  return folder;
}

std::vector<std::string> state_folders_of(const std::string& identity) {
  std::vector<std::string> found;
  const std::string root = state_root();
  if (root.empty()) return found;
  Result<UniqueFd> folder = sys::openat(FdRef(AT_FDCWD), root.c_str(), O_RDONLY | O_DIRECTORY);
  if (!folder) return found;
  Result<std::vector<sys::DirEntry>> entries = sys::read_directory(*folder);
  if (!entries) return found;
  for (const sys::DirEntry& entry : *entries) {
    if (entry.name.size() == 32 + 1 + identity.size() && entry.name.ends_with("-" + identity)) {
      found.push_back(root + "/" + entry.name);
    }
  }
  return found;
}

}  // namespace coffer::fs
