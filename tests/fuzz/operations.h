// File operations on a vault and on a model of it, one after the other as a fuzzer's bytes say. Anything that differs
// ends the process: results, attributes, content, and after each remount the whole tree.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "fs/filesystem.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/tree_model.h"
#include "tests/fuzz/vault_variant.h"

namespace coffer::fuzz {

class Operations {
 public:
  Operations(FuzzVault& vault, Input& input);
  // One operation. False: the input has ended.
  bool step();
  // The last word: unmounts, mounts, compares everything.
  void finish();

 private:
  struct Handle {
    fs::HandleId id;
    NodePtr node;
    bool may_write = false;
  };
  struct Spot {  // a name in a directory, there or not
    NodePtr directory;
    std::string name;
  };

  // --- operations (operations_names.cc, operations_content.cc) ---
  void do_mkdir();
  void do_create();
  void do_symlink();
  void do_mknod();
  void do_link();
  void do_unlink();
  void do_rmdir();
  void do_rename();
  void do_lookup();
  void do_list();
  void do_readlink();
  void do_forget();
  void do_chmod();
  void do_set_times();
  void do_set_xattr();
  void do_get_xattr();
  void do_list_xattrs();
  void do_remove_xattr();
  void do_open();
  void do_release();
  void do_write();
  void do_read();
  void do_truncate();
  void do_fallocate();
  void do_copy();
  void do_seek();
  void do_flush();
  void do_fsync();
  void do_sync();
  void do_settle();
  void do_remount();

  // --- what the input chooses ---
  std::uint8_t byte() { return input_.array<1>()[0]; }
  NodePtr pick_directory();
  Spot pick_spot();
  NodePtr pick_node();    // mostly one that is there; nullptr: there is none
  NodePtr pick_file();    // regular
  Handle* pick_handle();  // nullptr: nothing is open
  std::size_t pick_offset();
  std::size_t pick_length();
  std::string pick_data(std::size_t length);

  // --- both sides ---
  fs::InodeId id_of(const NodePtr& node);  // looks it up, with its directories, if need be
  // An answer that took a lookup count.
  void met(const NodePtr& directory, const std::string& name, const NodePtr& node, const fs::Attr& attr);
  void check_attr(const Node& node, const fs::Attr& attr);
  void check_node(const NodePtr& node);
  void check_content(const NodePtr& node, fs::HandleId handle);
  void check_xattrs(const NodePtr& node);
  void check_tree(const NodePtr& directory);
  void open_handle(const NodePtr& node, fs::HandleId id, bool may_write);
  void close_handle(std::size_t index);
  bool is_open(const NodePtr& node) const;
  std::size_t writers(const NodePtr& node) const;
  void forget(const NodePtr& node);
  // It lost a name: forgotten, unless it is open or has another that this mount knows.
  void lost_name(const NodePtr& node);
  void remount(bool forget_state);
  void collect(const NodePtr& from, std::vector<NodePtr>& all) const;

  template <class T>
  bool same(const base::Result<T>& real, int expected) {
    const int code = real ? 0 : real.error().code();
    if (code != expected) differ("result", code, expected);
    return code == 0;
  }
  template <class T, class U>
  void equal(const char* what, const T& real, const U& expected) {
    if (!(real == expected)) differ(what, static_cast<long long>(real), static_cast<long long>(expected));
  }
  void require(const char* what, bool holds) {
    if (!holds) differ(what, 0, 1);
  }
  [[noreturn]] void differ(const char* what, long long real, long long expected) const;
  // With COFFER_FUZZ_TRACE in the environment each operation is printed.
  template <class... Args>
  void trace(fmt::format_string<Args...> format, Args&&... args) {
    if (traced_) log_operation(fmt::format(format, std::forward<Args>(args)...));
  }
  void log_operation(const std::string& text) const;

  FuzzVault& vault_;
  Input& input_;
  const std::size_t chunk_;
  const bool traced_;
  NodePtr root_;
  std::vector<Handle> handles_;
  const char* doing_ = "";
  std::uint64_t salt_ = 0;
  bool state_lost_ = false;  // then files may lie where their headers do not place them
};

}  // namespace coffer::fuzz
