// Modes that would lock the daemon out of its own ciphertext. FORMAT.md section 8.
#include "fs/filesystem_impl.h"

namespace coffer::fs {
namespace {

constexpr std::string_view kModeAttribute = "coffer.mode";

mode_t needed(bool is_directory) { return is_directory ? 0700 : 0600; }

}  // namespace

mode_t Filesystem::Impl::mode_below(mode_t mode, bool is_directory) const {
  return privileged_ ? mode : mode | needed(is_directory);
}

Status Filesystem::Impl::set_mode(const Inode& inode, FdRef dir, const std::string& entry, mode_t mode) {
  mode &= 07777;
  const mode_t below = mode_below(mode, inode.is_directory);
  if (below == mode) {
    COFFER_RETURN_IF_ERROR(backing_->chmod(dir, entry, mode));
    // An earlier hidden mode must not outlive this one. Only a sticky bit makes it count, so without one it is
    // harmless.
    if ((mode & S_ISVTX) == 0) return base::ok();
    Status removed = backing_->removexattr(dir, entry, xattrs_.stored_name(kModeAttribute));
    if (!removed && removed.error() != Errno(ENODATA) && removed.error() != Errno(EOPNOTSUPP)) return removed;
    return base::ok();
  }
  base::ByteArray<4> value;
  base::store_le<std::uint32_t>(value.data(), mode);
  // Accessible before the attribute is written, and hidden only once it says what is true.
  COFFER_RETURN_IF_ERROR(backing_->chmod(dir, entry, below & ~static_cast<mode_t>(S_ISVTX)));
  COFFER_RETURN_IF_ERROR(set_sealed(inode, dir, entry, kModeAttribute, value, 0));
  return backing_->chmod(dir, entry, below | S_ISVTX);
}

Result<mode_t> Filesystem::Impl::true_mode(const Inode& inode, FdRef dir, const std::string& entry,
                                           const sys::Stat& stat) {
  const mode_t below = stat.mode & 07777;
  if ((below & S_ISVTX) == 0) return below;
  auto hidden = get_sealed(inode, dir, entry, kModeAttribute);
  if (!hidden || hidden->size() != 4) return below;
  return static_cast<mode_t>(base::load_le<std::uint32_t>(hidden->data())) & 07777;
}

}  // namespace coffer::fs
