// Reads tests/vectors/*.json, which scripts/make_vectors.py computes from docs/FORMAT.md alone.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/crypto/support.h"

namespace coffer::crypto {

using Vector = nlohmann::json;

inline Vector read_vectors(const std::string& name) {
  std::ifstream file(std::string(COFFER_VECTORS) + "/" + name + ".json");
  return Vector::parse(file);
}

// One part of it. By value, as a range-for over a part of a temporary outlives the whole.
inline Vector read_vectors(const std::string& name, const char* part) { return read_vectors(name).at(part); }

inline Bytes bytes_of(const Vector& vector, const char* key) {
  const auto text = vector.at(key).get<std::string>();
  Bytes bytes(text.size() / 2);
  EXPECT_TRUE(from_hex(text, bytes)) << key;
  return bytes;
}

inline std::string text_of(const Vector& vector, const char* key) {
  const Bytes bytes = bytes_of(vector, key);
  return std::string(base::as_text(bytes));
}

template <class Array>
Array array_of(const Vector& vector, const char* key) {
  const Bytes bytes = bytes_of(vector, key);
  Array array{};
  EXPECT_EQ(bytes.size(), array.size()) << key;
  std::copy_n(bytes.begin(), std::min(bytes.size(), array.size()), array.begin());
  return array;
}

template <class IdType>
IdType id_of(const Vector& vector, const char* key) {
  return IdType{array_of<ByteArray<16>>(vector, key)};
}

// The 128-bit number of 32 hexadecimal digits, highest first.
inline Uint128 number_of(const Vector& vector, const char* key) {
  Uint128 number = 0;
  for (Byte byte : bytes_of(vector, key)) number = number << 8 | byte;
  return number;
}

inline KeyRing keys_of(const Vector& vector) {
  const Bytes bytes = bytes_of(vector, "vault_key");
  VaultKey key;
  std::copy(bytes.begin(), bytes.end(), key.data());
  return KeyRing(key);
}

// {"size", "seed"} of pattern().
inline Bytes pattern_of(const Vector& vector) {
  return pattern(vector.at("size").get<std::size_t>(), vector.at("seed").get<std::uint32_t>());
}

}  // namespace coffer::crypto
