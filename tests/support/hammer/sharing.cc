// Several processes on one file.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

#include "hammer.h"

namespace hammer {

template <class T>
T* shared_memory() {
  void* memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail_errno("mmap", "");
  return new (memory) T;
}

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kChunk = 16384;

// Byte of a file whose content depends on place and writer only.
std::uint8_t pattern(std::uint64_t writer, std::uint64_t offset) {
  std::uint64_t x = (offset + 1) * 0x9e3779b97f4a7c15ULL ^ (writer + 1) * 0xff51afd7ed558ccdULL;
  return static_cast<std::uint8_t>(x >> 56 | 1);  // never zero: a hole or lost write shows
}

Data patterned(std::uint64_t writer, std::uint64_t offset, std::size_t size) {
  Data data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = pattern(writer, offset + i);
  return data;
}

}  // namespace

// Two writers with alternating stretches of random length; nothing of either may be lost, where they share a chunk
// least of all.
void disjoint_ranges(const Options& options) {
  Deadline deadline(options.seconds);
  for (std::uint64_t round = 0; !deadline.passed(); ++round) {
    Rng rng(options.seed + round);
    std::vector<std::size_t> edges{0};
    while (edges.back() < 40 * kChunk) edges.push_back(edges.back() + 1 + below(rng, round % 2 ? 3000 : 30000));
    std::string path = options.folder + "/file";
    File(path, O_CREAT | O_TRUNC | O_WRONLY);
    auto writer = [&](std::uint64_t who) {
      return [&, who] {
        File file(path, O_RDWR);
        for (std::size_t i = who; i + 1 < edges.size(); i += 2) {
          Data data = patterned(who, edges[i], edges[i + 1] - edges[i]);
          file.write_at(data.data(), data.size(), edges[i]);
        }
        if (round % 3 == 0) file.sync();
      };
    };
    in_processes({writer(0), writer(1)});
    File file(path, O_RDONLY);
    Data seen = file.read_at(edges.back() + 1, 0);
    if (seen.size() != edges.back()) fail("{}: size {}, not {} (round {})", path, seen.size(), edges.back(), round);
    for (std::size_t i = 0; i + 1 < edges.size(); ++i) {
      for (std::size_t at = edges[i]; at < edges[i + 1]; ++at) {
        if (seen[at] != pattern(i % 2, at)) {
          fail("{}: byte {} is {}, not {} of writer {} (round {})", path, at, seen[at], pattern(i % 2, at), i % 2,
               round);
        }
      }
    }
  }
}

// Two writers over the same pages: at the end each page is wholly one writer's.
void overlapping_ranges(const Options& options) {
  Deadline deadline(options.seconds);
  constexpr std::size_t kPages = 64;
  for (std::uint64_t round = 0; !deadline.passed(); ++round) {
    std::string path = options.folder + "/file";
    File(path, O_CREAT | O_TRUNC | O_WRONLY);
    auto writer = [&](std::uint64_t who) {
      return [&, who] {
        Rng rng(options.seed + round * 2 + who);
        File file(path, O_RDWR);
        for (int i = 0; i < 200; ++i) {
          std::size_t page = below(rng, kPages);
          Data data = patterned(who * 1000 + static_cast<std::uint64_t>(i), 0, kPage);
          file.write_at(data.data(), data.size(), page * kPage);
        }
        for (std::size_t page = who; page < kPages; page += 2) {  // so that none stays empty
          Data data = patterned(who * 1000 + 999, 0, kPage);
          file.write_at(data.data(), data.size(), page * kPage);
        }
      };
    };
    in_processes({writer(0), writer(1)});
    File file(path, O_RDONLY);
    for (std::size_t page = 0; page < kPages; ++page) {
      Data seen = file.read_at(kPage, page * kPage);
      bool whole = false;
      for (std::uint64_t stamp = 0; stamp < 2000 && !whole; ++stamp) {
        Data begin = patterned(stamp, 0, 16);
        whole = seen.size() == kPage && std::equal(begin.begin(), begin.end(), seen.begin()) &&
                seen == patterned(stamp, 0, kPage);
      }
      if (!whole)
        fail("{}: page {} is no writer's (round {}, first byte {})", path, page, round, seen.empty() ? -1 : seen[0]);
    }
  }
}

namespace {

constexpr std::size_t kWords = kPage / 8;
constexpr std::size_t kBlocks = 24;
struct Generations {
  std::atomic<std::uint32_t> begun[kBlocks];  // a write of this generation may have begun
  std::atomic<std::uint32_t> done[kBlocks];   // and this one has returned
  std::atomic<bool> stop;
};

void check_block(const Data& seen, std::size_t block, std::uint32_t least, std::uint32_t most,
                 const std::string& path) {
  if (seen.size() != kPage) fail("{}: short read of block {}: {}", path, block, seen.size());
  for (std::size_t word = 0; word < kWords; ++word) {
    std::uint64_t value;
    std::memcpy(&value, seen.data() + word * 8, 8);
    std::uint32_t generation = static_cast<std::uint32_t>(value);
    if (value >> 32 != block || generation < least || generation > most) {
      fail("{}: block {} word {} is block {} generation {}, not generation {} to {}", path, block, word, value >> 32,
           generation, least, most);
    }
  }
}

}  // namespace

// Readers see, of each word, what was written before they began or while they read; never older, never another block's.
void readers_during_writes(const Options& options) {
  auto* shared = shared_memory<Generations>();
  std::string path = options.folder + "/file";
  auto write_block = [&](const File& file, std::size_t block, std::uint32_t generation) {
    std::vector<std::uint64_t> words(kWords, static_cast<std::uint64_t>(block) << 32 | generation);
    file.write_at(words.data(), kPage, block * kPage);
  };
  {
    File file(path, O_CREAT | O_TRUNC | O_WRONLY);
    for (std::size_t block = 0; block < kBlocks; ++block) write_block(file, block, 0);
  }
  auto writer = [&] {
    Rng rng(options.seed);
    Deadline deadline(options.seconds);
    auto file = std::make_unique<File>(path, O_RDWR);
    while (!deadline.passed()) {
      std::size_t block = below(rng, kBlocks);
      std::uint32_t next = shared->done[block] + 1;
      shared->begun[block] = next;
      write_block(*file, block, next);
      shared->done[block] = next;
      if (below(rng, 50) == 0) file->sync();
      if (below(rng, 100) == 0) file = std::make_unique<File>(path, O_RDWR);
    }
    shared->stop = true;
  };
  auto reader = [&](std::uint64_t who) {
    return [&, who] {
      Rng rng(options.seed + 100 + who);
      auto file = std::make_unique<File>(path, O_RDONLY);
      while (!shared->stop) {
        std::size_t block = below(rng, kBlocks);
        std::uint32_t least = shared->done[block];
        Data seen = file->read_at(kPage, block * kPage);
        check_block(seen, block, least, shared->begun[block], path);
        if (below(rng, 100) == 0) file = std::make_unique<File>(path, O_RDONLY);
        if (below(rng, 200) == 0) ::posix_fadvise(file->fd(), 0, 0, POSIX_FADV_DONTNEED);
      }
    };
  };
  in_processes({writer, reader(0), reader(1)});
}

// A file is replaced again and again by rename; who opens it gets one version, whole, and keeps it.
void rename_over_open(const Options& options) {
  struct Shared {
    std::atomic<std::uint64_t> newest;
    std::atomic<bool> stop;
  };
  auto* shared = shared_memory<Shared>();
  std::string path = options.folder + "/target";
  auto size_of = [&](std::uint64_t version) { return 100 + static_cast<std::size_t>(version * 7919 % (3 * kChunk)); };
  auto publish = [&](std::uint64_t version) {
    std::string temporary = options.folder + "/new";
    Data data = patterned(version, 0, size_of(version));
    std::memcpy(data.data(), &version, sizeof version);
    {
      File file(temporary, O_CREAT | O_TRUNC | O_WRONLY);
      file.write_at(data.data(), data.size(), 0);
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail_errno("rename to", path);
    shared->newest = version;
  };
  publish(1);
  auto check = [&](const File& file, std::uint64_t least) {
    Data seen = file.read_at(4 * kChunk, 0);
    std::uint64_t version = 0;
    if (seen.size() >= sizeof version) std::memcpy(&version, seen.data(), sizeof version);
    if (version < least) fail("{}: version {} after {} was there ({} bytes)", path, version, least, seen.size());
    Data wanted = patterned(version, 0, size_of(version));
    std::memcpy(wanted.data(), &version, sizeof version);
    if (seen != wanted) fail("{}: version {} is not whole: {} of {} bytes", path, version, seen.size(), wanted.size());
    return version;
  };
  auto writer = [&] {
    Deadline deadline(options.seconds);
    for (std::uint64_t version = 2; !deadline.passed(); ++version) publish(version);
    shared->stop = true;
  };
  auto reader = [&] {
    while (!shared->stop) {
      std::uint64_t least = shared->newest;
      File file(path, O_RDONLY);
      std::uint64_t version = check(file, least);
      ::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
      if (check(file, version) != version) fail("{}: an open file changed its version", path);
    }
  };
  in_processes({writer, reader, reader});
}

// A deleted file lives on for who has it open, and does not mix with a new one of its name.
void unlink_while_open(const Options& options) {
  Deadline deadline(options.seconds);
  Rng rng(options.seed);
  std::string path = options.folder + "/file";
  for (std::uint64_t round = 0; !deadline.passed(); ++round) {
    Data data = patterned(round, 0, 1 + below(rng, 4 * kChunk));
    File file(path, O_CREAT | O_EXCL | O_RDWR);
    if (round % 2) file.write_at(data.data(), data.size(), 0);
    if (::unlink(path.c_str()) != 0) fail_errno("unlink", path);
    File other(path, O_CREAT | O_EXCL | O_RDWR);
    other.write_at("the new one", 11, 0);
    file.write_at(data.data(), data.size(), 0);
    if (round % 3 == 0) file.sync();
    if (file.read_at(data.size() + 1, 0) != data)
      fail("{}: deleted file reads otherwise than written (round {})", path, round);
    std::size_t shorter = data.size() / 2;
    file.truncate(shorter);
    data.resize(shorter);
    file.truncate(shorter + kChunk);
    data.resize(shorter + kChunk);
    if (::fchmod(file.fd(), 0600) != 0) fail_errno("fchmod of deleted", path);
    struct stat attributes;
    if (::fstat(file.fd(), &attributes) != 0) fail_errno("fstat of deleted", path);
    if (attributes.st_nlink != 0) fail("{}: {} links after unlink", path, attributes.st_nlink);
    if ((attributes.st_mode & 07777) != 0600)
      fail("{}: mode {:o} after fchmod of a deleted file", path, attributes.st_mode);
    if (file.size() != data.size() || file.read_at(2 * data.size(), 0) != data) {
      fail("{}: deleted file reads otherwise after truncate (round {})", path, round);
    }
    file.close();
    if (other.read_at(100, 0) != Data{'t', 'h', 'e', ' ', 'n', 'e', 'w', ' ', 'o', 'n', 'e'})
      fail("{}: the new file is mixed", path);
    if (::unlink(path.c_str()) != 0) fail_errno("unlink", path);
  }
}

// Two processes map one file and write every other 64 bytes, a third writes its own pages with pwrite.
void shared_mappings(const Options& options) {
  Deadline deadline(options.seconds);
  constexpr std::size_t kSize = 12 * kChunk + 100;
  constexpr std::size_t kOwnFrom = 8 * kChunk;  // pages from here on are the third's
  std::string path = options.folder + "/file";
  for (std::uint64_t round = 0; !deadline.passed(); ++round) {
    File(path, O_CREAT | O_TRUNC | O_RDWR).truncate(kSize);
    auto mapper = [&](std::uint64_t who) {
      return [&, who] {
        File file(path, O_RDWR);
        void* memory = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
        if (memory == MAP_FAILED) fail_errno("mmap", path);
        auto* bytes = static_cast<std::uint8_t*>(memory);
        if (round % 2) file.close();  // the mapping outlives the descriptor
        for (std::size_t at = 0; at < kOwnFrom; ++at) {
          if (at / 64 % 2 == who) bytes[at] = pattern(round + who, at);
        }
        if (round % 3 == 0 && ::msync(memory, kSize, MS_SYNC) != 0) fail_errno("msync", path);
        if (::munmap(memory, kSize) != 0) fail_errno("munmap", path);
      };
    };
    auto writer = [&] {
      File file(path, O_RDWR);
      for (std::size_t at = kOwnFrom; at < kSize; at += 1000) {
        Data data = patterned(round + 2, at, std::min<std::size_t>(1000, kSize - at));
        file.write_at(data.data(), data.size(), at);
      }
    };
    in_processes({mapper(0), mapper(1), writer});
    File file(path, O_RDONLY);
    if (round % 2) {  // what the daemon has, not what the page cache has
      file.sync();
      ::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
    }
    Data seen = file.read_at(kSize + 1, 0);
    if (seen.size() != kSize) fail("{}: size {}, not {}", path, seen.size(), kSize);
    for (std::size_t at = 0; at < kSize; ++at) {
      std::uint64_t who = at >= kOwnFrom ? 2 : at / 64 % 2;
      if (seen[at] != pattern(round + who, at)) {
        fail("{}: byte {} is {}, not {} of writer {} (round {})", path, at, seen[at], pattern(round + who, at), who,
             round);
      }
    }
  }
}

// Four processes append records to one file: all there, none torn, each writer's in order.
void appenders(const Options& options) {
  constexpr std::uint64_t kWriters = 4;
  struct Record {
    std::uint64_t writer, number;
    std::uint8_t filling[101];
  };
  struct Counts {
    std::atomic<std::uint64_t> written[kWriters];
  };
  auto* counts = shared_memory<Counts>();
  std::string path = options.folder + "/log";
  File(path, O_CREAT | O_TRUNC | O_WRONLY);
  auto writer = [&](std::uint64_t who) {
    return [&, who] {
      Deadline deadline(options.seconds);
      auto file = std::make_unique<File>(path, O_WRONLY | O_APPEND);
      for (std::uint64_t number = 0; !deadline.passed(); ++number) {
        Record record;
        std::memset(static_cast<void*>(&record), 0, sizeof record);
        record.writer = who;
        record.number = number;
        std::memset(record.filling, static_cast<int>(who * 50 + number % 50 + 1), sizeof record.filling);
        file->append(&record, sizeof record);
        counts->written[who] = number + 1;
        if (number % 37 == who) file = std::make_unique<File>(path, O_WRONLY | O_APPEND);
      }
    };
  };
  in_processes({writer(0), writer(1), writer(2), writer(3)});
  File file(path, O_RDONLY);
  Data seen = file.read_at(file.size(), 0);
  std::uint64_t next[kWriters] = {};
  for (std::size_t at = 0; at + sizeof(Record) <= seen.size(); at += sizeof(Record)) {
    Record record;
    std::memcpy(static_cast<void*>(&record), seen.data() + at, sizeof record);
    if (record.writer >= kWriters || record.number != next[record.writer]) {
      fail("{}: at {} writer {} number {}, expected number {}", path, at, record.writer, record.number,
           record.writer < kWriters ? next[record.writer] : 0);
    }
    for (std::uint8_t byte : record.filling) {
      if (byte != record.writer * 50 + record.number % 50 + 1) fail("{}: the record at {} is torn", path, at);
    }
    ++next[record.writer];
  }
  for (std::uint64_t who = 0; who < kWriters; ++who) {
    if (next[who] != counts->written[who])
      fail("{}: writer {} wrote {} records, {} are there", path, who, counts->written[who], next[who]);
  }
}

// Somebody opens with O_TRUNC what others hold open: they see the new content, never the old behind its end.
void truncating_open(const Options& options) {
  Deadline deadline(options.seconds);
  Rng rng(options.seed);
  std::string path = options.folder + "/file";
  File holder(path, O_CREAT | O_RDWR);
  for (std::uint64_t round = 0; !deadline.passed(); ++round) {
    Data data = patterned(round, 0, below(rng, 5 * kChunk));
    in_processes({[&] {
      File file(path, O_WRONLY | O_TRUNC);
      if (!data.empty()) file.write_at(data.data(), data.size(), 0);
    }});
    if (holder.size() != data.size())
      fail("{}: size {} after O_TRUNC, not {} (round {})", path, holder.size(), data.size(), round);
    if (holder.read_at(6 * kChunk, 0) != data) fail("{}: content differs after O_TRUNC (round {})", path, round);
    std::size_t more = below(rng, 2 * kChunk) + 1;  // what lies between the ends must be zero
    holder.truncate(data.size() + more);
    data.resize(data.size() + more);
    if (holder.read_at(8 * kChunk, 0) != data) fail("{}: old content behind the end came back (round {})", path, round);
  }
}

// One process cuts, extends and refills; readers see the right bytes or zeros, and nothing past the largest size there
// was.
void truncate_against_reads(const Options& options) {
  struct Shared {
    std::atomic<bool> stop;
  };
  auto* shared = shared_memory<Shared>();
  constexpr std::size_t kMost = 6 * kChunk;
  std::string path = options.folder + "/file";
  File(path, O_CREAT | O_TRUNC | O_WRONLY);
  auto writer = [&] {
    Deadline deadline(options.seconds);
    Rng rng(options.seed);
    File file(path, O_RDWR);
    Data model;
    while (!deadline.passed()) {
      std::size_t size = below(rng, kMost + 1);
      if (below(rng, 2)) {
        file.truncate(size);
        model.resize(size);
      } else {
        std::size_t from = below(rng, size + 1);
        Data data = patterned(7, from, size - from);
        if (data.empty()) continue;
        file.write_at(data.data(), data.size(), from);
        if (model.size() < size) model.resize(size);
        std::copy(data.begin(), data.end(), model.begin() + static_cast<std::ptrdiff_t>(from));
      }
      if (file.size() != model.size()) fail("{}: size {}, not {}", path, file.size(), model.size());
      if (below(rng, 8) == 0 && file.read_at(kMost + 1, 0) != model)
        fail("{}: differs from the model of its only writer", path);
    }
    shared->stop = true;
  };
  auto reader = [&] {
    File file(path, O_RDONLY);
    while (!shared->stop) {
      Data seen = file.read_at(kMost + kChunk, 0);
      if (seen.size() > kMost) fail("{}: {} bytes, it never had more than {}", path, seen.size(), kMost);
      for (std::size_t at = 0; at < seen.size(); ++at) {
        if (seen[at] != 0 && seen[at] != pattern(7, at))
          fail("{}: byte {} is {}, not 0 or {}", path, at, seen[at], pattern(7, at));
      }
    }
  };
  in_processes({writer, reader, reader});
}

}  // namespace hammer
