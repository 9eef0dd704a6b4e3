// Threads of random operations, each on files of its own, beside a model of each file in memory.
#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <thread>

#include "hammer.h"

namespace hammer {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kChunk = 16384;

// One file: what it must hold, and perhaps a descriptor that stays open over many operations.
struct Modelled {
  std::string name;
  Data data;
  mode_t mode = 0644;
  std::uint64_t size_max = 0;
  std::unique_ptr<File> open;
};

class Worker {
 public:
  Worker(const Options& options, unsigned number)
      : rng_(options.seed * 1000003 + number),
        deadline_(options.seconds),
        folder_(fmt::format("{}/thread-{}", options.folder, number)) {
    if (::mkdir(folder_.c_str(), 0755) != 0) fail_errno("mkdir", folder_);
    for (std::uint64_t most : {3 * kPage, 3 * kChunk + 500, 9 * kChunk, 64 * kChunk, 200 * kChunk}) {
      Modelled file;
      file.name = fmt::format("file-{}", next_name_++);
      file.size_max = most;
      File(path_of(file), O_CREAT | O_EXCL | O_RDWR, file.mode);
      files_.push_back(std::move(file));
    }
  }

  void run() {
    for (number_ = 0; !deadline_.passed(); ++number_) {
      Modelled& file = files_[below(rng_, files_.size())];
      step(file);
      check_size(file);
    }
    for (Modelled& file : files_) {
      file.open.reset();
      check_all(file);
    }
    check_names();
  }

 private:
  using Operation = void (Worker::*)(Modelled&);
  struct Weighted {
    unsigned weight;
    Operation operation;
  };

  void step(Modelled& file) {
    static constexpr Weighted kOperations[] = {
        {30, &Worker::write},         {25, &Worker::read},         {8, &Worker::truncate}, {6, &Worker::append},
        {5, &Worker::map_write},      {4, &Worker::map_read},      {4, &Worker::punch},    {4, &Worker::allocate},
        {4, &Worker::seek_holes},     {3, &Worker::check_all},     {3, &Worker::sync},     {6, &Worker::reopen},
        {4, &Worker::rename_file},    {2, &Worker::replace},       {2, &Worker::recreate}, {3, &Worker::direct_read},
        {3, &Worker::copy_range},     {2, &Worker::chmod},         {1, &Worker::link},     {1, &Worker::rename_folder},
        {1, &Worker::check_names_of}, {2, &Worker::rewrite_whole},
    };
    unsigned total = 0;
    for (const Weighted& one : kOperations) total += one.weight;
    std::uint64_t pick = below(rng_, total);
    for (const Weighted& one : kOperations) {
      if (pick < one.weight) return (this->*one.operation)(file);
      pick -= one.weight;
    }
  }

  std::string path_of(const Modelled& file) const { return folder_ + "/" + file.name; }

  template <class... Args>
  void note(const Modelled& file, fmt::format_string<Args...> format, Args&&... args) {
    remember(fmt::format("{} {}/{} ({} bytes): {}", number_, folder_, file.name, file.data.size(),
                         fmt::format(format, std::forward<Args>(args)...)));
  }

  // Where things go wrong: at the edges of pages and chunks.
  std::uint64_t offset_up_to(std::uint64_t limit) {
    std::uint64_t at = below(rng_, limit + 1);
    switch (below(rng_, 4)) {
      case 0:
        at = at / kChunk * kChunk;
        break;
      case 1:
        at = at / kChunk * kChunk + below(rng_, 3) - 1;
        break;
      case 2:
        at = at / kPage * kPage;
        break;
      default:
        break;
    }
    return std::min(at, limit);
  }

  std::uint64_t length_up_to(std::uint64_t limit) {
    std::uint64_t most = below(rng_, 3) == 0 ? limit : std::min<std::uint64_t>(limit, 6000);
    return most == 0 ? 0 : 1 + below(rng_, most);
  }

  // The descriptor that stays open, or one for this operation.
  const File& descriptor(Modelled& file, std::unique_ptr<File>& own) {
    if (file.open) return *file.open;
    own = std::make_unique<File>(path_of(file), O_RDWR);
    if (below(rng_, 2)) {
      file.open = std::move(own);
      return *file.open;
    }
    return *own;
  }

  void compare(const Modelled& file, const Data& seen, std::uint64_t offset, std::uint64_t asked, const char* how) {
    std::uint64_t wanted = offset >= file.data.size() ? 0 : std::min<std::uint64_t>(asked, file.data.size() - offset);
    if (seen.size() != wanted)
      fail("{} {} {} bytes at {}: got {}, not {}", how, path_of(file), asked, offset, seen.size(), wanted);
    auto at = std::mismatch(seen.begin(), seen.end(), file.data.begin() + static_cast<std::ptrdiff_t>(offset)).first;
    if (at == seen.end()) return;
    auto first = static_cast<std::uint64_t>(at - seen.begin());
    std::uint64_t different = 0;
    for (std::uint64_t i = first; i < seen.size(); ++i) different += seen[i] != file.data[offset + i];
    fail("{} {} {} bytes at {}: byte {} (chunk {}, byte {} in it) is {}, not {}; {} bytes differ", how, path_of(file),
         asked, offset, offset + first, (offset + first) / kChunk, (offset + first) % kChunk, seen[first],
         file.data[offset + first], different);
  }

  void check_size(Modelled& file) {
    struct stat attributes;
    bool by_name = below(rng_, 2) || !file.open;
    int result = by_name ? ::stat(path_of(file).c_str(), &attributes) : ::fstat(file.open->fd(), &attributes);
    if (result != 0) fail_errno("stat", path_of(file));
    if (static_cast<std::uint64_t>(attributes.st_size) != file.data.size()) {
      fail("{}: stat says {} bytes, the model has {}", path_of(file), attributes.st_size, file.data.size());
    }
    if ((attributes.st_mode & 07777) != file.mode)
      fail("{}: mode {:o}, not {:o}", path_of(file), attributes.st_mode & 07777, file.mode);
  }

  void write(Modelled& file) {
    std::uint64_t offset = offset_up_to(std::min<std::uint64_t>(file.size_max - 1, file.data.size() + 3 * kChunk));
    Data data(length_up_to(file.size_max - offset));
    fill_random(rng_, data);
    note(file, "write {} bytes at {}", data.size(), offset);
    std::unique_ptr<File> own;
    descriptor(file, own).write_at(data.data(), data.size(), offset);
    put(file, data, offset);
  }

  static void put(Modelled& file, const Data& data, std::uint64_t offset) {
    if (file.data.size() < offset + data.size()) file.data.resize(offset + data.size());
    std::copy(data.begin(), data.end(), file.data.begin() + static_cast<std::ptrdiff_t>(offset));
  }

  void read(Modelled& file) {
    std::uint64_t offset = offset_up_to(file.data.size() + 100);
    std::uint64_t size = length_up_to(file.data.size() + 200);
    note(file, "read {} bytes at {}", size, offset);
    std::unique_ptr<File> own;
    compare(file, descriptor(file, own).read_at(size, offset), offset, size, "read");
  }

  void truncate(Modelled& file) {
    std::uint64_t size = below(rng_, 6) == 0 ? 0 : offset_up_to(std::min(file.size_max, file.data.size() * 2 + kChunk));
    note(file, "truncate to {}", size);
    std::unique_ptr<File> own;
    if (below(rng_, 2)) {
      descriptor(file, own).truncate(size);
    } else if (::truncate(path_of(file).c_str(), static_cast<off_t>(size)) != 0) {
      fail_errno("truncate", path_of(file));
    }
    file.data.resize(size);
  }

  void append(Modelled& file) {
    if (file.data.size() >= file.size_max) return;
    Data data(length_up_to(std::min<std::uint64_t>(file.size_max - file.data.size(), 3000)));
    fill_random(rng_, data);
    note(file, "append {} bytes", data.size());
    File(path_of(file), O_WRONLY | O_APPEND).append(data.data(), data.size());
    put(file, data, file.data.size());
  }

  void map_write(Modelled& file) {
    if (file.data.empty()) return;
    std::uint64_t offset = offset_up_to(file.data.size() - 1);
    Data data(length_up_to(file.data.size() - offset));
    fill_random(rng_, data);
    note(file, "write {} bytes at {} through a mapping", data.size(), offset);
    std::unique_ptr<File> own;
    const File& opened = descriptor(file, own);
    std::size_t length = file.data.size();
    void* memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, opened.fd(), 0);
    if (memory == MAP_FAILED) fail_errno("mmap", path_of(file));
    std::memcpy(static_cast<std::uint8_t*>(memory) + offset, data.data(), data.size());
    if (below(rng_, 2) && ::msync(memory, length, MS_SYNC) != 0) fail_errno("msync", path_of(file));
    if (::munmap(memory, length) != 0) fail_errno("munmap", path_of(file));
    put(file, data, offset);
  }

  void map_read(Modelled& file) {
    if (file.data.empty()) return;
    note(file, "read through a mapping");
    std::unique_ptr<File> own;
    const File& opened = descriptor(file, own);
    void* memory =
        ::mmap(nullptr, file.data.size(), PROT_READ, below(rng_, 2) ? MAP_SHARED : MAP_PRIVATE, opened.fd(), 0);
    if (memory == MAP_FAILED) fail_errno("mmap", path_of(file));
    auto* bytes = static_cast<std::uint8_t*>(memory);
    Data seen(bytes, bytes + file.data.size());
    ::munmap(memory, file.data.size());
    compare(file, seen, 0, seen.size(), "mapped");
  }

  // fallocate(), where the file system below has the mode.
  bool allocated(Modelled& file, int mode, std::uint64_t offset, std::uint64_t length) {
    std::unique_ptr<File> own;
    if (::fallocate(descriptor(file, own).fd(), mode, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0)
      return true;
    if (errno != EOPNOTSUPP) fail_errno("fallocate", path_of(file));
    return false;
  }

  void punch(Modelled& file) {
    if (file.data.empty()) return;
    std::uint64_t offset = offset_up_to(file.data.size() - 1);
    std::uint64_t length = length_up_to(file.data.size() + kChunk);
    bool zero_range = below(rng_, 3) == 0;
    note(file, "{} {} bytes at {}", zero_range ? "zero" : "punch", length, offset);
    if (!allocated(file, (zero_range ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE) | FALLOC_FL_KEEP_SIZE, offset,
                   length))
      return;
    std::uint64_t end = std::min<std::uint64_t>(offset + length, file.data.size());
    std::fill(file.data.begin() + static_cast<std::ptrdiff_t>(offset),
              file.data.begin() + static_cast<std::ptrdiff_t>(end), std::uint8_t{0});
  }

  void allocate(Modelled& file) {
    std::uint64_t offset = offset_up_to(file.size_max - 1);
    std::uint64_t length = length_up_to(file.size_max - offset);
    bool keep = below(rng_, 2);
    note(file, "allocate {} bytes at {}{}", length, offset, keep ? ", keeping the size" : "");
    if (!allocated(file, keep ? FALLOC_FL_KEEP_SIZE : 0, offset, length)) return;
    if (!keep && file.data.size() < offset + length) file.data.resize(offset + length);
  }

  // What is called a hole must be zero; data may be anything.
  void seek_holes(Modelled& file) {
    note(file, "walk holes");
    std::unique_ptr<File> own;
    const File& opened = descriptor(file, own);
    std::uint64_t at = 0;
    while (at < file.data.size()) {
      off_t data = ::lseek(opened.fd(), static_cast<off_t>(at), SEEK_DATA);
      if (data < 0 && errno != ENXIO) fail_errno("lseek SEEK_DATA", path_of(file));
      std::uint64_t hole_end = data < 0 ? file.data.size() : static_cast<std::uint64_t>(data);
      if (hole_end < at || hole_end > file.data.size())
        fail("{}: SEEK_DATA from {} gives {}", path_of(file), at, hole_end);
      for (std::uint64_t i = at; i < hole_end; ++i) {
        if (file.data[i] != 0)
          fail("{}: byte {} lies in a hole ({} to {}), but is {}", path_of(file), i, at, hole_end, file.data[i]);
      }
      if (data < 0) return;
      off_t hole = ::lseek(opened.fd(), data, SEEK_HOLE);
      if (hole < 0) fail_errno("lseek SEEK_HOLE", path_of(file));
      if (hole <= data || static_cast<std::uint64_t>(hole) > file.data.size())
        fail("{}: SEEK_HOLE from {} gives {}", path_of(file), data, hole);
      at = static_cast<std::uint64_t>(hole);
    }
  }

  void check_all(Modelled& file) {
    note(file, "read all");
    std::unique_ptr<File> own;
    const File& opened = descriptor(file, own);
    if (below(rng_, 2)) {
      opened.sync();
      ::posix_fadvise(opened.fd(), 0, 0, POSIX_FADV_DONTNEED);
    }
    compare(file, opened.read_at(file.data.size() + 1, 0), 0, file.data.size() + 1, "read");
  }

  void sync(Modelled& file) {
    note(file, "fsync");
    std::unique_ptr<File> own;
    descriptor(file, own).sync();
  }

  void reopen(Modelled& file) {
    note(file, "close");
    if (file.open) file.open->close();
    file.open.reset();
  }

  void rename_file(Modelled& file) {
    std::string from = path_of(file);
    // Sometimes a name long enough for a side file.
    std::string name = fmt::format("file-{}{}", next_name_++, below(rng_, 3) == 0 ? std::string(180, 'n') : "");
    note(file, "rename to {}", name);
    file.name = name;
    if (::rename(from.c_str(), path_of(file).c_str()) != 0) fail_errno("rename to", path_of(file));
  }

  // Another file takes this one's name; this one starts anew under a new name. Who had it open keeps the old content.
  void replace(Modelled& file) {
    Modelled& source = files_[below(rng_, files_.size())];
    if (&source == &file) return;
    note(file, "is replaced by {} ({} bytes)", source.name, source.data.size());
    std::string target = file.name;
    if (!file.open) file.open = std::make_unique<File>(path_of(file), O_RDWR);
    if (::rename(path_of(source).c_str(), path_of(file).c_str()) != 0) fail_errno("rename over", path_of(file));
    compare(file, file.open->read_at(file.data.size() + 1, 0), 0, file.data.size() + 1, "replaced but open");
    reopen(file);
    source.name = target;
    start_anew(file);
  }

  void recreate(Modelled& file) {
    note(file, "unlink and create again");
    if (::unlink(path_of(file).c_str()) != 0) fail_errno("unlink", path_of(file));
    reopen(file);
    start_anew(file);
  }

  void start_anew(Modelled& file) {
    file.name = fmt::format("file-{}", next_name_++);
    file.data.clear();
    file.mode = 0644;
    File(path_of(file), O_CREAT | O_EXCL | O_RDWR, file.mode);
  }

  void rewrite_whole(Modelled& file) {
    Data data(below(rng_, file.size_max));
    fill_random(rng_, data);
    note(file, "open with O_TRUNC and write {} bytes", data.size());
    File opened(path_of(file), O_WRONLY | O_TRUNC);
    for (std::size_t at = 0; at < data.size(); at += 5000)
      opened.write_at(data.data() + at, std::min<std::size_t>(5000, data.size() - at), at);
    file.data = std::move(data);
  }

  void direct_read(Modelled& file) {
    std::string path = path_of(file);
    int fd = ::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0) {
      if (errno == EINVAL) return;
      fail_errno("open with O_DIRECT", path);
    }
    std::uint64_t offset = below(rng_, file.data.size() + 1) / kPage * kPage;
    std::size_t size = (1 + below(rng_, 16)) * kPage;
    note(file, "read {} bytes at {} with O_DIRECT", size, offset);
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail_errno("mmap", "");
    ssize_t n = ::pread(fd, memory, size, static_cast<off_t>(offset));
    if (n < 0) fail_errno("pread with O_DIRECT", path);
    auto* bytes = static_cast<std::uint8_t*>(memory);
    compare(file, Data(bytes, bytes + n), offset, size, "O_DIRECT");
    ::munmap(memory, size);
    ::close(fd);
  }

  void copy_range(Modelled& file) {
    Modelled& source = files_[below(rng_, files_.size())];
    if (&source == &file || source.data.empty()) return;
    std::uint64_t from = offset_up_to(source.data.size() - 1);
    std::uint64_t to = offset_up_to(std::min<std::uint64_t>(file.size_max - 1, file.data.size()));
    std::uint64_t length = length_up_to(std::min(source.data.size() - from, file.size_max - to));
    note(file, "copy {} bytes at {} of {} to {}", length, from, source.name, to);
    File in(path_of(source), O_RDONLY);
    File out(path_of(file), O_RDWR);
    auto in_at = static_cast<off_t>(from);
    auto out_at = static_cast<off_t>(to);
    ssize_t n = ::copy_file_range(in.fd(), &in_at, out.fd(), &out_at, length, 0);
    if (n < 0) fail_errno("copy_file_range to", path_of(file));
    auto begin = source.data.begin() + static_cast<std::ptrdiff_t>(from);
    put(file, Data(begin, begin + n), to);
  }

  void chmod(Modelled& file) {
    constexpr mode_t kModes[] = {0600, 0644, 0640, 0755, 0444};
    file.mode = kModes[below(rng_, ::geteuid() == 0 ? 5 : 4)];  // root writes to 0444 too
    note(file, "chmod {:o}", file.mode);
    if (::chmod(path_of(file).c_str(), file.mode) != 0) fail_errno("chmod", path_of(file));
  }

  void link(Modelled& file) {
    std::string other = folder_ + fmt::format("/link-{}", next_name_++);
    note(file, "link, read through it, unlink the first name");
    if (::link(path_of(file).c_str(), other.c_str()) != 0) fail_errno("link", other);
    compare(file, File(other, O_RDONLY).read_at(file.data.size() + 1, 0), 0, file.data.size() + 1, "second link");
    if (::unlink(path_of(file).c_str()) != 0) fail_errno("unlink", path_of(file));
    if (::rename(other.c_str(), path_of(file).c_str()) != 0) fail_errno("rename", other);
  }

  void rename_folder(Modelled& file) {
    std::string to = folder_.substr(0, folder_.find(" moved ")) + fmt::format(" moved {}", number_);
    note(file, "rename the folder to {}", to);
    if (::rename(folder_.c_str(), to.c_str()) != 0) fail_errno("rename folder to", to);
    folder_ = to;
  }

  void check_names_of(Modelled&) { check_names(); }
  void check_names() {
    std::set<std::string> wanted, seen;
    for (const Modelled& file : files_) wanted.insert(file.name);
    DIR* stream = ::opendir(folder_.c_str());
    if (stream == nullptr) fail_errno("opendir", folder_);
    while (const dirent* entry = ::readdir(stream)) {
      std::string name = entry->d_name;
      if (name != "." && name != ".." && !seen.insert(name).second) fail("{}: {} is listed twice", folder_, name);
    }
    ::closedir(stream);
    for (const std::string& name : wanted) {
      if (!seen.contains(name)) fail("{}: {} is not listed", folder_, name);
    }
    for (const std::string& name : seen) {
      if (!wanted.contains(name)) fail("{}: {} is listed, but was renamed or removed", folder_, name);
    }
  }

  Rng rng_;
  Deadline deadline_;
  std::string folder_;
  std::vector<Modelled> files_;
  unsigned next_name_ = 0;
  std::uint64_t number_ = 0;
};

}  // namespace

void random_model(const Options& options) {
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < options.threads; ++number) {
    threads.emplace_back([&options, number] { Worker(options, number).run(); });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace hammer
