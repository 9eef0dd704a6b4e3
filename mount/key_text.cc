#include "mount/key_text.h"

#include <algorithm>

#include "crypto/keys.h"
#include "mount/terminal.h"

namespace coffer::mount {

fs::Done print_vault_key(const crypto::VaultKey& key) {
  constexpr std::size_t kRow = 4 * 5;  // four groups, each with the space or newline behind it
  constexpr std::string_view kIndent = "    ";
  const crypto::SecretBuffer text = crypto::format_vault_key(key);  // 79 characters
  const base::ByteView digits = text.view();
  crypto::SecretBuffer rows(4 * (kIndent.size() + kRow));
  auto out = rows.span().begin();
  for (std::size_t begin = 0; begin < digits.size(); begin += kRow) {
    out = std::copy(kIndent.begin(), kIndent.end(), out);
    const base::ByteView row = digits.subspan(begin, std::min(kRow - 1, digits.size() - begin));
    out = std::copy(row.begin(), row.end(), out);
    *out++ = '\n';
  }
  return print(base::as_text(rows.view()));
}

}  // namespace coffer::mount
