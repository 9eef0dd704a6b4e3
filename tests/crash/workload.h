// Random operations on a mounted vault, the same for the same seed, with the history of what they mean.
#pragma once

#include <functional>
#include <random>

#include "tests/crash/history.h"
#include "tests/crash/mounted.h"

namespace coffer::crash {

class Workload {
 public:
  Workload(Mounted& vault, History& history, std::uint64_t chunk_size, std::uint64_t seed)
      : vault_(&vault), history_(history), chunk_size_(chunk_size), random_(seed) {}

  // One action: one to a few steps. False: the file system refused what it must do (failure() says what).
  bool act();
  bool sync();
  // Everything is closed.
  bool close_all();
  // sync() and the end of the mount.
  bool lock();
  // Goes on in another mount of the same folders.
  void continue_in(Mounted& vault) { vault_ = &vault; }
  const std::string& failure() const { return failure_; }

 private:
  struct Open {
    FileId file;
    fs::HandleId handle;
  };
  using Paths = std::vector<std::string>;

  // workload_content.cc
  void create();
  void overwrite();
  void append();
  void rewrite();
  void truncate();
  void punch();
  void copy();
  void flush_one();
  void close_one();
  // workload_names.cc
  void rename_file();
  void rename_over();
  void rename_directory();
  void exchange();
  void link();
  void symlink();
  void unlink();
  void mkdir();
  void rmdir();
  // workload.cc
  void fsync();
  void fsync_directory();
  void settle();

  // --- what the actions are made of ----------------------------------------------------------------------------------
  // One verb, with the operations it causes. False if it failed.
  bool step(const std::string& what, const std::function<base::Status()>& verb);
  void made(const std::string& path, Entry entry);
  void touched(const std::string& path, FileId file);
  int last_change_in(FileId directory) const;
  void write(const Open& open, std::uint64_t offset, const std::string& data);
  void rename(const std::string& from, const std::string& to, unsigned flags);
  void close(std::size_t index);
  // An open handle of a file; opens it if there is none.
  std::optional<Open> handle_of(FileId file, const std::string& path);
  std::optional<Open> some_open();
  bool is_open(FileId file) const;
  fs::InodeId inode(const std::string& path);

  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  std::string pattern(std::size_t size);
  std::size_t length();
  std::uint64_t position(std::uint64_t size);
  Paths paths(const std::string& kinds) const;
  std::optional<std::string> some(const std::string& kinds);
  std::string some_directory();
  std::string new_path();

  Mounted* vault_;
  History& history_;
  const std::uint64_t chunk_size_;
  std::mt19937_64 random_;
  std::vector<Open> open_;
  std::map<FileId, int> changed_in_;  // by directory (0: the root): the step that last changed a name in it
  std::string failure_;
  int names_made_ = 0;
};

}  // namespace coffer::crash
