// Requests of the kernel, as far as we read them besides libfuse. Each is tried in memory that ends where it does.
#include "base/check.h"
#include "mount/wire.h"
#include "tests/fuzz/input.h"

namespace coffer::mount {
namespace {

constexpr std::size_t kHeader = 40;  // struct fuse_in_header, which begins with the length

void check_setxattr(const base::Bytes& request) {
  constexpr std::size_t kExtra = 8;
  base::Bytes bytes = request;
  const std::size_t length = shorten_setxattr(bytes);
  if (length == request.size()) {
    COFFER_CHECK(bytes == request);
    return;
  }
  COFFER_CHECK(length + kExtra == request.size());
  COFFER_CHECK(base::load_le<std::uint32_t>(bytes.data()) == length);
  // The name and value.
  const std::size_t tail = length - kHeader - kExtra;
  COFFER_CHECK(std::equal(request.end() - static_cast<std::ptrdiff_t>(tail), request.end(),
                          bytes.begin() + static_cast<std::ptrdiff_t>(length - tail)));
}

void check_features(const base::Bytes& reply, const KernelFeatures& features) {
  base::Bytes bytes = reply;
  const bool added = add_features(bytes, features);
  if (!added) COFFER_CHECK(bytes == reply);
  // What is set stays set.
  for (std::size_t i = 0; i < bytes.size(); ++i) COFFER_CHECK((bytes[i] & reply[i]) == reply[i]);
}

}  // namespace
}  // namespace coffer::mount

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coffer::mount;
  const coffer::base::Bytes request(data, data + size);
  const RequestNotes notes = parse_request(request);
  if (size < kHeader) COFFER_CHECK(notes.opcode == 0 && notes.unique == 0);
  COFFER_CHECK(notes.length >= size);
  const KernelFeatures features = parse_init_request(request);
  if (notes.opcode != static_cast<std::uint32_t>(Opcode::kInit)) {
    COFFER_CHECK(!features.parallel_dirops && !features.handle_killpriv_v2 && !features.setxattr_ext);
  }
  check_setxattr(request);
  check_features(request, features);
  check_features(request, {.parallel_dirops = true, .handle_killpriv_v2 = true, .setxattr_ext = true});
  return 0;
}
