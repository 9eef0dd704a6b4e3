#include "worker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

namespace crash {
namespace {

constexpr std::size_t kChunk = 16384;
constexpr std::size_t kFilesMost = 14;
constexpr std::size_t kHeldMost = 3;
constexpr std::size_t kSizeMost = 64 * kChunk;

thread_local sigjmp_buf lost_mapping;
thread_local volatile sig_atomic_t in_mapping = 0;

void on_bus_error(int /*signal*/) {
  if (in_mapping == 0) std::abort();
  siglongjmp(lost_mapping, 1);
}

}  // namespace

void catch_lost_mappings() {
  struct sigaction action {};
  action.sa_handler = on_bus_error;
  action.sa_flags = SA_NODEFER;
  ::sigaction(SIGBUS, &action, nullptr);
}

bool Load::is_gone() const {
  // statfs(2) asks the daemon; attributes and names the kernel remembers.
  struct statfs room {};
  struct stat attributes {};
  return ::statfs(folder.c_str(), &room) != 0 || ::stat(folder.c_str(), &attributes) != 0 ||
         attributes.st_dev != device;
}

void Load::violation(const char* violation_class, const std::string& path, const std::string& text) {
  ++violations;
  fmt::print("violation {} round {} seed {} {}: {}\n", violation_class, round, seed, path, text);
  std::fflush(stdout);
}

Worker::Worker(Load& load, unsigned number, WorkerModel& model)
    : load_(load),
      folder_(fmt::format("{}/worker-{}", load.folder, number)),
      model_(model),
      rng_(load.seed * 1000003 + load.round * 1009 + number) {}

bool Worker::prepare() {
  try {
    read_all();
    return true;
  } catch (const Stop&) {
    return false;
  }
}

void Worker::read_all() {
  if (::mkdir(folder_.c_str(), 0755) != 0 && errno != EEXIST) must(false, "mkdir", folder_);
  for (auto& [path, node] : model_.tree) {
    if (!node.file) continue;
    Fd fd(::open(full(path).c_str(), O_RDONLY | O_CLOEXEC));
    must(fd.get() >= 0, "open", path);
    node.file->data.resize(node.file->size.last());
    std::size_t done = 0;
    while (done < node.file->data.size()) {
      ssize_t n =
          ::pread(fd.get(), node.file->data.data() + done, node.file->data.size() - done, static_cast<off_t>(done));
      must(n > 0, "read", path);
      done += static_cast<std::size_t>(n);
    }
  }
}

void Worker::run() {
  try {
    while (!load_.stop) {
      answer_marks();
      step();
      ++load_.operations;
    }
    finish();
  } catch (const Stop&) {
  }
  answered_ = ~0U;  // nobody waits for answers that do not come
}

void Worker::answer_marks() {
  const unsigned asked = load_.marks;
  if (asked == answered_) return;
  for (auto& [path, node] : model_.tree)
    if (node.file) node.file->promise();
  answered_ = asked;
}

// An orderly end: all of it must be there later.
void Worker::finish() {
  for (auto& [file, fd] : held_) must(::close(fd.release()) == 0, "close", "a held file");
  held_.clear();
  for (auto& [path, node] : model_.tree)
    if (node.file) node.file->promise();
}

void Worker::step() {
  static constexpr Weighted kOperations[] = {
      {10, &Worker::create},     {14, &Worker::append},      {20, &Worker::overwrite},    {8, &Worker::rewrite},
      {9, &Worker::replace},     {8, &Worker::map_write},    {5, &Worker::truncate},      {3, &Worker::punch},
      {4, &Worker::sync_only},   {1, &Worker::sync_all},     {3, &Worker::unlink_file},   {4, &Worker::move_file},
      {2, &Worker::make_folder}, {3, &Worker::move_folder},  {1, &Worker::remove_folder}, {2, &Worker::make_link},
      {3, &Worker::exchange},    {3, &Worker::across_kinds}, {4, &Worker::read_back},
  };
  unsigned total = 0;
  for (const Weighted& one : kOperations) total += one.weight;
  std::uint64_t pick = below(total);
  for (const Weighted& one : kOperations) {
    if (pick < one.weight) return (this->*one.operation)();
    pick -= one.weight;
  }
}

void Worker::must(bool worked, const char* what, const std::string& path) {
  if (worked) return;
  const int error = errno;
  if (!load_.is_gone())
    load_.violation("failed", folder_ + "/" + path, fmt::format("{}: {} while mounted", what, std::strerror(error)));
  throw Stop{};
}

std::uint64_t Worker::below(std::uint64_t limit) { return rng_() % limit; }

std::string Worker::fresh_name() {
  std::string name = fmt::format("r{}-{}", load_.round, next_name_++);
  if (one_in(10)) name += std::string(215, 'x');  // long enough for a side file
  return name;
}

std::size_t Worker::count(Kind kind) const {
  std::size_t found = 0;
  for (const auto& [path, node] : model_.tree) found += node.kind == kind ? 1 : 0;
  return found;
}

std::string Worker::some(Kind kind) {
  const std::size_t there = count(kind);
  if (there == 0) return "";
  std::uint64_t pick = below(there);
  for (const auto& [path, node] : model_.tree)
    if (node.kind == kind && pick-- == 0) return path;
  return "";
}

std::string Worker::some_folder() {
  std::string folder = one_in(3) ? "" : some(Kind::kFolder);
  // Not too deep: names would become longer than paths may be.
  if (std::count(folder.begin(), folder.end(), '/') > 2) folder.clear();
  return folder.empty() ? "" : folder + "/";
}

bool Worker::is_empty_folder(const std::string& path) const {
  const auto next = model_.tree.lower_bound(path + "/");
  return next == model_.tree.end() || next->first.compare(0, path.size() + 1, path + "/") != 0;
}

std::size_t Worker::some_size() {
  switch (below(6)) {
    case 0:
      return below(3);
    case 1:
      return below(6000);
    case 2:
      return below(5) * kChunk;
    case 3:
    case 4:
      return below(5 * kChunk);
    default:
      return below(kSizeMost / 2);
  }
}

void Worker::fill(Data& data, std::size_t begin, std::size_t end) {
  const bool zeros = one_in(10);
  for (std::size_t at = begin; at < end; at += 8) {
    const std::uint64_t word = zeros ? 0 : rng_();
    std::memcpy(data.data() + at, &word, std::min<std::size_t>(8, end - at));
  }
}

void Worker::change_names(Change change, const char* what, const std::function<bool()>& act) {
  model_.pending = std::move(change);
  const std::string path = model_.pending.from.empty() ? model_.pending.to : model_.pending.from;
  must(act(), what, path);
  carry_out(model_.tree, model_.pending);
  model_.pending = {};
}

Fd Worker::create_at(const std::string& path) {
  Fd fd;
  change_names({Change::What::kAdd, "", path, {Kind::kFile, "", std::make_shared<File>()}}, "create", [&] {
    fd = Fd(::open(full(path).c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644));
    return fd.get() >= 0;
  });
  return fd;
}

Worker::OpenFile Worker::open_some(bool for_append) {
  OpenFile open;
  open.path = some(Kind::kFile);
  if (open.path.empty()) {
    create();
    open.path = some(Kind::kFile);
  }
  open.file = model_.tree.at(open.path).file;
  if (auto held = held_.find(open.file); held != held_.end() && !for_append) {
    open.fd = held->second.get();
    return open;
  }
  const int flags = !for_append ? O_RDWR : O_WRONLY | O_APPEND | (one_in(4) ? O_SYNC : 0);
  open = opened(open.path, Fd(::open(full(open.path).c_str(), flags | O_CLOEXEC)));
  must(open.fd >= 0, "open", open.path);
  return open;
}

Worker::OpenFile Worker::opened(std::string path, Fd own) const {
  const int fd = own.get();
  std::shared_ptr<File> file = model_.tree.at(path).file;
  return {std::move(path), std::move(file), fd, std::move(own)};
}

// Bytes [begin, end) of the file's data, which the model has been told of.
void Worker::write(const OpenFile& open, std::size_t begin, std::size_t end, bool append) {
  const std::uint8_t* data = open.file->data.data() + begin;
  const std::size_t size = end - begin;
  errno = EIO;  // what a short write counts as
  const ssize_t n = append ? ::write(open.fd, data, size) : ::pwrite(open.fd, data, size, static_cast<off_t>(begin));
  must(n == static_cast<ssize_t>(size), "write", open.path);
}

// All of its data, into an empty file.
void Worker::write_in_pieces(const OpenFile& open, bool append) {
  Data whole = std::exchange(open.file->data, {});
  const std::size_t piece = 1 + (one_in(2) ? whole.size() : below(3 * kChunk));
  for (std::size_t at = 0; at < whole.size();) {
    const std::size_t end = std::min(whole.size(), at + piece);
    open.file->data.insert(open.file->data.end(), whole.begin() + static_cast<std::ptrdiff_t>(at),
                           whole.begin() + static_cast<std::ptrdiff_t>(end));
    open.file->changed(at, end);
    write(open, at, end, append);
    at = end;
  }
}

void Worker::sync(const OpenFile& open) {
  open.file->note("fsync");
  must((one_in(3) ? ::fdatasync(open.fd) : ::fsync(open.fd)) == 0, "fsync", open.path);
  open.file->promise();
}

void Worker::close(OpenFile& open) {
  open.file->note("close");
  must(::close(open.own.release()) == 0, "close", open.path);
  open.file->closed();
}

void Worker::done(OpenFile open) {
  if (one_in(4)) sync(open);
  if (open.own.get() < 0) return;
  const bool readable = (::fcntl(open.fd, F_GETFL) & O_ACCMODE) == O_RDWR;
  if (readable && held_.size() < kHeldMost && held_.count(open.file) == 0 && one_in(5)) {
    held_.emplace(open.file, std::move(open.own));
  } else {
    close(open);
  }
}

void Worker::let_go(const std::shared_ptr<File>& file) {
  auto held = held_.find(file);
  if (held == held_.end()) return;
  must(::close(held->second.release()) == 0, "close", "a file that is gone");
  held_.erase(held);
}

void Worker::create() {
  if (count(Kind::kFile) >= kFilesMost) return unlink_file();
  const std::string path = some_folder() + fresh_name();
  Fd made = create_at(path);
  OpenFile open = opened(path, std::move(made));
  open.file->note("create");
  open.file->data.resize(some_size());
  fill(open.file->data, 0, open.file->data.size());
  write_in_pieces(open, false);
  done(std::move(open));
}

void Worker::append() {
  const bool append_flag = one_in(2);
  OpenFile open = open_some(append_flag);
  const bool synced = (::fcntl(open.fd, F_GETFL) & O_SYNC) == O_SYNC;
  Data& data = open.file->data;
  for (std::uint64_t times = 1 + below(4); times > 0; --times) {
    const std::size_t begin = data.size();
    const std::size_t end = begin + 1 + (one_in(4) ? below(12 * kChunk) : below(3000));
    if (end > kSizeMost) break;
    data.resize(end);
    fill(data, begin, end);
    open.file->note(append_flag ? "append" : "extend");
    open.file->changed(begin, end);
    write(open, begin, end, append_flag);
    if (synced) open.file->promise(begin, end);
    if (one_in(8)) sync(open);
  }
  done(std::move(open));
}

void Worker::overwrite() {
  OpenFile open = open_some();
  Data& data = open.file->data;
  for (std::uint64_t times = 1 + below(3); times > 0 && !data.empty(); --times) {
    const std::size_t begin = below(data.size());
    const std::size_t most = one_in(4) ? 20 * kChunk : one_in(2) ? 2 * kChunk : 100;
    const std::size_t end = std::min(data.size(), begin + 1 + below(most));
    fill(data, begin, end);
    open.file->note("overwrite");
    open.file->changed(begin, end);
    write(open, begin, end, false);
  }
  done(std::move(open));
}

// As `cp` does it: emptied, then written anew, often with much of what was there.
void Worker::rewrite() {
  OpenFile open;
  open.path = some(Kind::kFile);
  if (open.path.empty()) return;
  open.file = model_.tree.at(open.path).file;
  Data wanted = open.file->data;
  if (one_in(2)) wanted.resize(some_size());
  if (!wanted.empty()) {
    const std::size_t begin = below(wanted.size());
    fill(wanted, begin, one_in(2) ? wanted.size() : std::min(wanted.size(), begin + 1 + below(2 * kChunk)));
  }
  const std::size_t before = open.file->data.size();
  open.file->note("O_TRUNC");
  open.file->data.clear();
  open.file->changed(0, before);
  open.own = Fd(::open(full(open.path).c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  open.fd = open.own.get();
  must(open.fd >= 0, "open with O_TRUNC", open.path);
  open.file->note("rewrite");
  open.file->data = std::move(wanted);
  write_in_pieces(open, false);
  done(std::move(open));
}

// As editors do it: a new file beside the old one, renamed over it. Every other time without fsync.
void Worker::replace() {
  const std::string path = some(Kind::kFile);
  if (path.empty()) return;
  const std::string beside = path.substr(0, path.rfind('/') + 1) + fresh_name();
  Fd made = create_at(beside);
  OpenFile open = opened(beside, std::move(made));
  open.file->note("create beside");
  open.file->data.resize(some_size());
  fill(open.file->data, 0, open.file->data.size());
  write_in_pieces(open, false);
  if (one_in(2)) sync(open);
  close(open);
  const std::shared_ptr<File> old = model_.tree.at(path).file;
  open.file->note("rename over");
  change_names({Change::What::kRename, open.path, path, {}}, "rename over",
               [&] { return ::rename(full(open.path).c_str(), full(path).c_str()) == 0; });
  let_go(old);
}

// Words, since nothing larger is sure to reach the page at once. No objects here: SIGBUS jumps over their destructors.
bool Worker::store_words(std::uint8_t* memory, File& file) {
  const std::size_t words = file.data.size() / 8;
  const std::uint64_t first = below(words);
  const std::uint64_t count = 1 + below(40);
  if (sigsetjmp(lost_mapping, 1) != 0) {
    in_mapping = 0;
    return false;
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::size_t at = (first + i * 97) % words * 8;
    const std::uint64_t word = rng_();
    std::memcpy(file.data.data() + at, &word, 8);
    file.changed(at, at + 8);
    in_mapping = 1;
    *reinterpret_cast<volatile std::uint64_t*>(memory + at) = word;
    in_mapping = 0;
  }
  return true;
}

void Worker::map_write() {
  OpenFile open = open_some();
  const std::size_t size = open.file->data.size();
  if (size < 8) return done(std::move(open));
  open.file->note("mmap");
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, open.fd, 0);
  must(memory != MAP_FAILED, "mmap", open.path);
  errno = EFAULT;
  const bool stored = store_words(static_cast<std::uint8_t*>(memory), *open.file);
  bool synced = true;
  const bool sync_it = stored && !one_in(3);
  if (sync_it) open.file->note("msync");
  if (sync_it) synced = ::msync(memory, size, MS_SYNC) == 0;
  const int error = errno;
  ::munmap(memory, size);
  errno = error;
  must(stored && synced, "storing through a mapping of", open.path);
  if (sync_it) open.file->promise();
  done(std::move(open));
}

void Worker::truncate() {
  OpenFile open = open_some();
  Data& data = open.file->data;
  const std::size_t before = data.size();
  const std::size_t after = one_in(3) ? std::min(kSizeMost, before + below(3 * kChunk)) : below(before + 1);
  open.file->note(after < before ? "cut" : "ftruncate up");
  data.resize(after);
  open.file->changed(std::min(before, after), std::max(before, after));
  must(::ftruncate(open.fd, static_cast<off_t>(after)) == 0, "ftruncate", open.path);
  done(std::move(open));
}

void Worker::punch() {
  OpenFile open = open_some();
  Data& data = open.file->data;
  if (data.empty()) return done(std::move(open));
  const std::size_t begin = below(data.size());
  const std::size_t end = std::min(data.size(), begin + 1 + below(4 * kChunk));
  std::fill(data.begin() + static_cast<std::ptrdiff_t>(begin), data.begin() + static_cast<std::ptrdiff_t>(end), 0);
  open.file->note("punch");
  open.file->changed(begin, end);
  must(::fallocate(open.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                   static_cast<off_t>(end - begin)) == 0,
       "fallocate", open.path);
  done(std::move(open));
}

// As `sync FILE` does it: another descriptor, for reading only.
void Worker::sync_only() {
  const std::string path = some(Kind::kFile);
  if (path.empty()) return;
  OpenFile open = opened(path, Fd(::open(full(path).c_str(), O_RDONLY | O_CLOEXEC)));
  must(open.fd >= 0, "open", path);
  sync(open);
  close(open);
}

// syncfs(2) of a FUSE mount moves pages to the daemon and promises no more than a close does.
void Worker::sync_all() {
  Fd fd(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  must(fd.get() >= 0 && ::syncfs(fd.get()) == 0, "syncfs", "");
}

void Worker::unlink_file() {
  const std::string path = some(one_in(5) ? Kind::kLink : Kind::kFile);
  if (path.empty()) return;
  const std::shared_ptr<File> file = model_.tree.at(path).file;
  change_names({Change::What::kRemove, path, "", {}}, "unlink", [&] { return ::unlink(full(path).c_str()) == 0; });
  if (file) let_go(file);
}

void Worker::move_file() {
  const std::string from = some(one_in(4) ? Kind::kLink : Kind::kFile);
  if (from.empty()) return;
  const std::string to = some_folder() + fresh_name();
  if (const auto& file = model_.tree.at(from).file) file->note("rename");
  change_names({Change::What::kRename, from, to, {}}, "rename",
               [&] { return ::rename(full(from).c_str(), full(to).c_str()) == 0; });
}

void Worker::make_folder() {
  if (count(Kind::kFolder) >= 6) return;
  const std::string path = some_folder() + fresh_name();
  change_names({Change::What::kAdd, "", path, {Kind::kFolder, "", nullptr}}, "mkdir",
               [&] { return ::mkdir(full(path).c_str(), 0755) == 0; });
}

void Worker::move_folder() {
  const std::string from = some(Kind::kFolder);
  std::string to = some_folder() + fresh_name();
  if (const std::string other = some(Kind::kFolder); one_in(3) && !other.empty() && is_empty_folder(other)) to = other;
  const auto within = [](const std::string& inner, const std::string& outer) {
    return (inner + "/").compare(0, outer.size() + 1, outer + "/") == 0;
  };
  if (from.empty() || within(to, from) || within(from, to)) return;
  change_names({Change::What::kRename, from, to, {}}, "rename of a folder",
               [&] { return ::rename(full(from).c_str(), full(to).c_str()) == 0; });
}

void Worker::remove_folder() {
  const std::string path = some(Kind::kFolder);
  if (path.empty() || !is_empty_folder(path)) return;
  change_names({Change::What::kRemove, path, "", {}}, "rmdir", [&] { return ::rmdir(full(path).c_str()) == 0; });
}

void Worker::make_link() {
  if (count(Kind::kLink) >= 4) return unlink_file();
  const std::string path = some_folder() + fresh_name();
  const std::string target = fmt::format("target-{}", below(1000));
  change_names({Change::What::kAdd, "", path, {Kind::kLink, target, nullptr}}, "symlink",
               [&] { return ::symlink(target.c_str(), full(path).c_str()) == 0; });
}

// A file over a link, or a link over a file: below, their names are of different kinds.
void Worker::across_kinds() {
  std::string from = some(Kind::kFile);
  std::string to = some(Kind::kLink);
  if (from.empty() || to.empty()) return make_link();
  if (one_in(2)) std::swap(from, to);
  const std::shared_ptr<File> moved = model_.tree.at(from).file;
  const std::shared_ptr<File> gone = model_.tree.at(to).file;
  if (moved)
    moved->note("rename over a link"),
        let_go(moved);  // what is renamed over something counts as promised once it is closed
  change_names({Change::What::kRename, from, to, {}}, "rename across kinds",
               [&] { return ::rename(full(from).c_str(), full(to).c_str()) == 0; });
  if (gone) let_go(gone);
}

void Worker::exchange() {
  const std::string one = some(one_in(4) ? Kind::kFolder : Kind::kFile);
  const std::string other = some(one_in(3) ? Kind::kLink : one_in(4) ? Kind::kFolder : Kind::kFile);
  if (one.empty() || other.empty() || one == other) return;
  if ((one + "/").compare(0, other.size() + 1, other + "/") == 0) return;
  if ((other + "/").compare(0, one.size() + 1, one + "/") == 0) return;
  change_names({Change::What::kExchange, one, other, {}}, "exchange", [&] {
    return ::renameat2(AT_FDCWD, full(one).c_str(), AT_FDCWD, full(other).c_str(), RENAME_EXCHANGE) == 0;
  });
}

// The model itself is right while nothing dies.
void Worker::read_back() {
  OpenFile open = open_some();
  const Data& data = open.file->data;
  Data seen(data.size() + 1);
  std::size_t done_bytes = 0;
  for (;;) {
    const ssize_t n =
        ::pread(open.fd, seen.data() + done_bytes, seen.size() - done_bytes, static_cast<off_t>(done_bytes));
    must(n >= 0, "read", open.path);
    if (n == 0) break;
    done_bytes += static_cast<std::size_t>(n);
  }
  seen.resize(done_bytes);
  if (seen != data)
    load_.violation("mounted", folder_ + "/" + open.path, "reads otherwise than it was written, while mounted");
  done(std::move(open));
}

}  // namespace crash
