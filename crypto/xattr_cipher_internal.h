// Sealing with a nonce of the caller's choice, for the golden vectors. Internal to crypto/ and its tests.
#pragma once

#include "crypto/xattr_cipher.h"

namespace coffer::crypto {

using XattrNonce = ByteArray<24>;

Bytes seal_xattr(const KeyRing& keys, ByteView owner, const Xattr& xattr, const XattrNonce& nonce);

}  // namespace coffer::crypto
