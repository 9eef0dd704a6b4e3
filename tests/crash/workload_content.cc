// Actions that change what is in files.
#include <fmt/format.h>
#include <linux/falloc.h>

#include <algorithm>

#include "tests/crash/workload.h"

namespace coffer::crash {

bool Workload::is_open(FileId file) const {
  return std::any_of(open_.begin(), open_.end(), [&](const Open& open) { return open.file == file; });
}

std::optional<Workload::Open> Workload::handle_of(FileId file, const std::string& path) {
  for (const Open& open : open_) {
    if (open.file == file) return open;
  }
  fs::HandleId handle;
  const bool opened = step("open " + path, [&]() -> base::Status {
    COFFER_ASSIGN_OR_RETURN(fs::Attr attr, vault_->lookup(path));
    COFFER_ASSIGN_OR_RETURN(fs::Opened made, vault_->fs().open_file(attr.id, O_RDWR, false));
    handle = made.handle;
    return base::ok();
  });
  if (!opened) return std::nullopt;
  open_.push_back({file, handle});
  return open_.back();
}

std::optional<Workload::Open> Workload::some_open() {
  if (!open_.empty() && !one_in(3)) return open_[below(open_.size())];
  const auto path = some("f");
  if (!path) return std::nullopt;
  return handle_of(history_.tree().at(*path).id, *path);
}

void Workload::close(std::size_t index) {
  const Open open = open_[index];
  open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(index));
  const auto verb = [&] {
    const base::Status flushed = vault_->fs().flush(open.handle);
    vault_->fs().release(open.handle);
    return flushed;
  };
  if (step(fmt::format("close {}", open.file), verb)) history_.promise(open.file, Promise::Kind::kProcess);
}

void Workload::close_one() {
  if (!open_.empty()) close(below(open_.size()));
}

void Workload::flush_one() {
  if (open_.empty()) return;
  const Open open = open_[below(open_.size())];
  if (step(fmt::format("flush {}", open.file), [&] { return vault_->fs().flush(open.handle); })) {
    history_.promise(open.file, Promise::Kind::kProcess);
  }
}

void Workload::create() {
  const std::string path = new_path();
  const fs::InodeId parent = inode(parent_of(path));
  fs::HandleId handle;
  const auto verb = [&]() -> base::Status {
    const FileId file = history_.make('f');
    made(path, {'f', file});
    COFFER_ASSIGN_OR_RETURN(fs::Created created,
                            vault_->fs().create(parent, name_of(path), 0644, O_RDWR | O_EXCL, Mounted::caller()));
    history_.set_ino(file, created.attr.ino);
    handle = created.opened.handle;
    return base::ok();
  };
  if (!step(fmt::format("create {:.40}", path), verb)) return;
  open_.push_back({history_.tree().at(path).id, handle});
  if (!one_in(6)) write(open_.back(), 0, pattern(length()));
  if (one_in(2)) close(open_.size() - 1);
}

void Workload::write(const Open& open, std::uint64_t offset, const std::string& data) {
  step(fmt::format("write {} at {}+{}", open.file, offset, data.size()), [&]() -> base::Status {
    std::string content = history_.content(open.file);
    if (content.size() < offset + data.size()) content.resize(offset + data.size(), '\0');
    content.replace(offset, data.size(), data);
    history_.set_content(open.file, std::move(content));
    COFFER_RETURN_IF_ERROR(
        vault_->fs().write(open.handle, offset, base::as_bytes(data), {.from_page_cache = one_in(2)}));
    return base::ok();
  });
}

void Workload::overwrite() {
  auto open = some_open();
  if (!open) return;
  for (std::uint64_t i = 0; i <= below(3); ++i) {
    write(*open, position(history_.content(open->file).size()), pattern(length()));
  }
}

void Workload::append() {
  auto open = some_open();
  if (open) write(*open, history_.content(open->file).size(), pattern(length()));
}

// As an editor or cp does: emptied when it is opened, written, closed.
void Workload::rewrite() {
  const auto path = some("f");
  if (!path) return;
  const FileId file = history_.tree().at(*path).id;
  fs::HandleId handle;
  const bool opened = step("open for rewriting " + std::to_string(file), [&]() -> base::Status {
    history_.set_content(file, {});
    COFFER_ASSIGN_OR_RETURN(fs::Attr attr, vault_->lookup(*path));
    COFFER_ASSIGN_OR_RETURN(fs::Opened made, vault_->fs().open_file(attr.id, O_RDWR | O_TRUNC, false));
    handle = made.handle;
    return base::ok();
  });
  if (!opened) return;
  open_.push_back({file, handle});
  if (!one_in(8)) write(open_.back(), 0, pattern(length()));
  if (!one_in(4)) close(open_.size() - 1);
}

void Workload::truncate() {
  const auto path = some("f");
  if (!path) return;
  const FileId file = history_.tree().at(*path).id;
  std::string content = history_.content(file);
  content.resize(one_in(6) ? 0 : position(content.size()), '\0');
  fs::AttrChange change;
  change.size = content.size();
  const auto verb = [&]() -> base::Status {
    history_.set_content(file, std::move(content));
    COFFER_ASSIGN_OR_RETURN(fs::Attr attr, vault_->lookup(*path));
    COFFER_RETURN_IF_ERROR(vault_->fs().setattr(attr.id, change));
    return base::ok();
  };
  const bool held = is_open(file);
  if (step(fmt::format("truncate {} to {}", file, *change.size), verb) && !held) {
    history_.promise(file, Promise::Kind::kProcess);
  }
}

void Workload::punch() {
  auto open = some_open();
  if (!open) return;
  static constexpr int kModes[] = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                   FALLOC_FL_ZERO_RANGE,
                                   FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                                   0,
                                   FALLOC_FL_KEEP_SIZE};
  const int mode = kModes[below(std::size(kModes))];
  std::string content = history_.content(open->file);
  const std::uint64_t offset = position(content.size());
  const std::uint64_t size = one_in(2) ? length() : chunk_size_ * (1 + below(4));
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0) content.resize(std::max<std::size_t>(content.size(), offset + size), '\0');
  if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE && offset < content.size()) {
    const std::size_t part = std::min<std::size_t>(size, content.size() - offset);
    content.replace(offset, part, part, '\0');
  }
  step(fmt::format("fallocate {} mode {} at {}+{}", open->file, mode, offset, size), [&] {
    history_.set_content(open->file, std::move(content));
    return vault_->fs().fallocate(open->handle, mode, offset, size);
  });
}

void Workload::copy() {
  auto from = some_open();
  auto to = some_open();
  if (!from || !to || from->file == to->file) return;
  const std::string& source = history_.content(from->file);
  const std::string data = source.substr(0, length());
  if (data.empty()) return;
  const std::uint64_t offset = position(history_.content(to->file).size());
  step(fmt::format("copy {} to {} at {}+{}", from->file, to->file, offset, data.size()), [&]() -> base::Status {
    std::string content = history_.content(to->file);
    if (content.size() < offset + data.size()) content.resize(offset + data.size(), '\0');
    content.replace(offset, data.size(), data);
    history_.set_content(to->file, std::move(content));
    COFFER_RETURN_IF_ERROR(vault_->fs().copy_file_range(from->handle, 0, to->handle, offset, data.size()));
    return base::ok();
  });
}

}  // namespace coffer::crash
