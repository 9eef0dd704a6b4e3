#include "mount/running.h"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <set>

#include "base/sys.h"
#include "fs/local_state_path.h"
#include "mount/control.h"
#include "mount/processes.h"

namespace coffer::mount {
namespace {

using base::FdRef;
using base::Result;
using base::UniqueFd;
using nlohmann::json;

constexpr std::chrono::seconds kPatience{2};

// The default state folders of those who own processes called coffer: root asks the daemons of others through these.
// (One with an XDG_STATE_HOME of its own is not found; then the mount table has to do.)
std::set<std::string> state_roots() {
  std::set<std::string> roots{fs::state_root()};
  roots.erase("");
  if (::geteuid() != 0) return roots;
  std::set<uid_t> users;
  for (pid_t pid : all_processes()) {
    if (process_name(pid) != "coffer") continue;
    if (const std::optional<uid_t> user = process_user(pid)) users.insert(*user);
  }
  for (uid_t user : users) {
    std::array<char, 16384> buffer;
    passwd record;
    passwd* found = nullptr;
    if (::getpwuid_r(user, &record, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
      roots.insert(std::string(found->pw_dir) + "/.local/state/coffer");
    }
  }
  return roots;
}

std::optional<json> ask_status(const std::string& state_path) {
  Result<ControlClient> client = ControlClient::connect(state_path);
  if (!client || !client->send({{"request", "status"}})) return std::nullopt;
  Result<json> answer = client->receive(kPatience);
  if (!answer || !answer->contains("mount_point") || !(*answer)["mount_point"].is_string()) return std::nullopt;
  return *std::move(answer);
}

// Gives each answer to the mount that it speaks of.
void ask_daemons(std::vector<RunningMount>& mounts) {
  for (const std::string& root : state_roots()) {
    Result<UniqueFd> folder = base::sys::openat(FdRef(AT_FDCWD), root.c_str(), O_RDONLY | O_DIRECTORY);
    if (!folder) continue;
    Result<std::vector<base::sys::DirEntry>> entries = base::sys::read_directory(*folder);
    if (!entries) continue;
    for (const base::sys::DirEntry& entry : *entries) {
      const std::string state_path = root + "/" + entry.name;
      std::optional<json> status = ask_status(state_path);
      if (!status) continue;
      for (RunningMount& mount : mounts) {
        if (mount.entry.mount_point != (*status)["mount_point"]) continue;
        mount.state_path = state_path;
        mount.status = status;
      }
    }
  }
}

}  // namespace

Result<std::vector<RunningMount>> running_mounts() {
  COFFER_ASSIGN_OR_RETURN(std::vector<MountEntry> entries, coffer_mounts());
  std::vector<RunningMount> mounts;
  for (MountEntry& entry : entries) {
    RunningMount mount;
    mount.entry = std::move(entry);
    mounts.push_back(std::move(mount));
  }
  if (mounts.empty()) return mounts;
  ask_daemons(mounts);
  for (RunningMount& mount : mounts) {
    if (!mount.status) mount.stale = is_stale(mount.entry.mount_point);
  }
  return mounts;
}

std::string absolute_path(const std::string& path) {
  std::error_code failure;
  const std::filesystem::path whole = std::filesystem::canonical(path, failure);
  if (!failure) return whole.string();
  std::filesystem::path absolute = std::filesystem::absolute(path, failure).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();  // "a/"
  const std::filesystem::path parent = std::filesystem::canonical(absolute.parent_path(), failure);
  return failure ? absolute.string() : (parent / absolute.filename()).string();
}

const RunningMount* find_mount(const std::vector<RunningMount>& mounts, const std::string& path) {
  const std::string wanted = absolute_path(path);
  // The topmost mount on a place is the last in the table.
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
    if (mount->entry.mount_point == wanted || mount->entry.source == wanted) return &*mount;
  }
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
    if (wanted.starts_with(mount->entry.mount_point + "/")) return &*mount;
  }
  return nullptr;
}

json describe_mount(const RunningMount& mount) {
  json object = mount.status ? *mount.status : json::object();
  object["mount_point"] = mount.entry.mount_point;
  object["vault"] = mount.entry.source;
  object["responding"] = mount.status.has_value();
  if (mount.status) return object;
  object["warnings"] = json::array();
  if (mount.stale) {
    object["warnings"].push_back("the daemon has ended without unmounting; lock it to take the dead mount away");
  } else {
    object["warnings"].push_back(
        "the daemon cannot be asked: it belongs to another user, has no local state, or hangs");
  }
  return object;
}

}  // namespace coffer::mount
