#include "mount/slots.h"

#include <fmt/format.h>

#include <algorithm>

namespace coffer::mount {

std::uint32_t next_slot_id(const crypto::VaultConfig& config) {
  // Each change counts `generation` up and adds at most one slot.
  std::uint64_t next = config.generation + 1;
  for (const crypto::Slot& slot : config.slots) next = std::max<std::uint64_t>(next, std::uint64_t{slot.id} + 1);
  return static_cast<std::uint32_t>(next);
}

const crypto::Slot* find_slot(const crypto::VaultConfig& config, std::uint32_t id) {
  const auto found =
      std::find_if(config.slots.begin(), config.slots.end(), [id](const crypto::Slot& slot) { return slot.id == id; });
  return found == config.slots.end() ? nullptr : &*found;
}

std::size_t count_slots(const crypto::VaultConfig& config, crypto::SlotType type) {
  return static_cast<std::size_t>(std::count_if(config.slots.begin(), config.slots.end(),
                                                [type](const crypto::Slot& slot) { return slot.type == type; }));
}

std::string about_old_copies(const std::string& vault_path) {
  return fmt::format(
      "The vault key is still the same. Whoever has kept an older coffer.json (a cloud's history of versions has) and\n"
      "knows what opened it can still get the vault key from that copy, and with it read {}.\n"
      "If that is to be feared: make a new vault (coffer init), copy the files over through two mounts, and delete "
      "this\n"
      "one.\n",
      vault_path);
}

}  // namespace coffer::mount
