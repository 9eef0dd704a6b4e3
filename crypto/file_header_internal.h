// Encoding with a nonce of the caller's choice, for the golden vectors. Internal to crypto/ and its tests.
#pragma once

#include "crypto/file_header.h"

namespace coffer::crypto {

using HeaderNonce = ByteArray<24>;

HeaderBytes encode_with_nonce(const FileHeader& header, const FileKeys& keys, const HeaderNonce& nonce);

}  // namespace coffer::crypto
