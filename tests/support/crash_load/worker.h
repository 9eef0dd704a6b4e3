// One program at work in a folder of its own, with its model.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <functional>
#include <map>
#include <random>
#include <string>

#include "base/unique_fd.h"
#include "model.h"

namespace crash {

// What all workers share.
struct Load {
  std::string folder;  // on the mount
  std::uint64_t seed = 0;
  std::uint64_t round = 0;
  dev_t device = 0;
  std::atomic<bool> stop{false};
  std::atomic<unsigned> marks{0};  // from each on, nothing that was done before may be lost
  std::atomic<unsigned> violations{0};
  std::atomic<std::uint64_t> operations{0};

  // The daemon has gone: what fails now is no fault.
  bool is_gone() const;
  void violation(const char* violation_class, const std::string& path, const std::string& text);
};

using Fd = coffer::base::UniqueFd;

class Worker {
 public:
  Worker(Load& load, unsigned number, WorkerModel& model);
  // Reads what the last round left; false: it could not.
  bool prepare();
  // Until told to stop or the mount is gone.
  void run();
  // The last mark that it has taken notice of.
  unsigned answered() const { return answered_; }

 private:
  struct Stop {};
  struct Weighted {
    unsigned weight;
    void (Worker::*operation)();
  };
  struct OpenFile {
    std::string path;
    std::shared_ptr<File> file;
    int fd = -1;
    Fd own;  // not held longer than this operation
  };
  OpenFile opened(std::string path, Fd own) const;

  void read_all();
  void step();
  void answer_marks();
  void finish();

  void create();
  void append();
  void overwrite();
  void rewrite();
  void replace();
  void map_write();
  void truncate();
  void punch();
  void sync_only();
  void sync_all();
  void unlink_file();
  void move_file();
  void make_folder();
  void move_folder();
  void remove_folder();
  void make_link();
  void across_kinds();
  void exchange();
  void read_back();

  // Ends the worker unless `worked`; it is a violation unless the mount is gone.
  void must(bool worked, const char* what, const std::string& path);
  std::uint64_t below(std::uint64_t limit);
  bool one_in(std::uint64_t count) { return below(count) == 0; }
  std::string full(const std::string& path) const { return folder_ + "/" + path; }
  std::string fresh_name();
  std::string some_folder();    // with a slash at its end; empty: the worker's own
  std::string some(Kind kind);  // empty: there is none
  bool is_empty_folder(const std::string& path) const;
  std::size_t count(Kind kind) const;
  std::size_t some_size();
  void fill(Data& data, std::size_t begin, std::size_t end);

  // `change` is what the system call in `act` does.
  void change_names(Change change, const char* what, const std::function<bool()>& act);
  Fd create_at(const std::string& path);
  OpenFile open_some(bool for_append = false);
  void write(const OpenFile& open, std::size_t begin, std::size_t end, bool append);
  void write_in_pieces(const OpenFile& open, bool append);
  void sync(const OpenFile& open);
  // Perhaps syncs; perhaps keeps it open.
  void done(OpenFile open);
  void close(OpenFile& open);
  void let_go(const std::shared_ptr<File>& file);
  bool store_words(std::uint8_t* memory, File& file);

  Load& load_;
  std::string folder_;
  WorkerModel& model_;
  std::mt19937_64 rng_;
  std::uint64_t next_name_ = 0;
  std::atomic<unsigned> answered_{0};
  std::map<std::shared_ptr<File>, Fd> held_;
};

// SIGBUS, which is what a mapping of a dead mount gives, becomes a failure of the worker.
void catch_lost_mappings();

}  // namespace crash
