// /proc/self/mountinfo, whose paths anybody may choose who may mount. What parses, written as the kernel does it,
// parses as the same.
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include "base/check.h"
#include "mount/mount_table.h"
#include "tests/fuzz/input.h"

namespace coffer::mount {
namespace {

// fs/proc_namespace.c, mangle().
std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\') {
      out += fmt::format("\\{:03o}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out;
}

std::string line_of(const MountEntry& entry) {
  return fmt::format("{} 1 {}:{} / {} {} shared:1 - {} {} rw\n", entry.id, major(entry.device), minor(entry.device),
                     escaped(entry.mount_point), escaped(entry.options), escaped(entry.type), escaped(entry.source));
}

}  // namespace
}  // namespace coffer::mount

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::mount;
  const std::string text = coffer::fuzz::Input(data, size).rest_text();
  const std::vector<MountEntry> entries = parse_mountinfo(text);
  std::string written;
  for (const MountEntry& entry : entries) written += line_of(entry);
  const std::vector<MountEntry> again = parse_mountinfo(written);
  COFFER_CHECK(again.size() == entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    COFFER_CHECK(again[i].id == entries[i].id && again[i].device == entries[i].device);
    COFFER_CHECK(again[i].mount_point == entries[i].mount_point && again[i].source == entries[i].source);
    COFFER_CHECK(again[i].type == entries[i].type && again[i].options == entries[i].options);
  }
  return 0;
}
