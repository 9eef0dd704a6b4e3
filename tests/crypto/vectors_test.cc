// The library against an implementation that shares nothing with it, both ways: what it makes is the vector, and the
// vector reads as what went in.
#include "tests/crypto/vectors.h"

#include "crypto/blake2b.h"
#include "crypto/chunk_cipher.h"
#include "crypto/file_header_internal.h"
#include "crypto/geometry.h"
#include "crypto/name_cipher.h"
#include "crypto/vault_config.h"
#include "crypto/vault_config_internal.h"
#include "crypto/xattr_cipher_internal.h"

namespace coffer::crypto {
namespace {

TEST(Vectors, Keys) {
  for (const Vector& v : read_vectors("keys", "accepted")) {
    const auto text = v.at("text").get<std::string>();
    const auto vault_key = parse_vault_key(base::as_bytes(text));
    ASSERT_TRUE(vault_key);
    EXPECT_EQ(to_hex(vault_key->view()), v.at("vault_key"));
    EXPECT_EQ(base::as_text(format_vault_key(*vault_key).view()), text);
    const KeyRing keys(*vault_key);
    const std::pair<const char*, const Key*> subkeys[] = {{"coffer names siv", &keys.name_siv},
                                                          {"coffer names stream", &keys.name_stream},
                                                          {"coffer directory ids", &keys.directory_ids},
                                                          {"coffer files", &keys.files},
                                                          {"coffer xattr names", &keys.xattr_names},
                                                          {"coffer xattr values", &keys.xattr_values},
                                                          {"coffer config", &keys.config},
                                                          {"coffer ledger", &keys.ledger},
                                                          {"coffer local state", &keys.local_state}};
    EXPECT_EQ(v.at("subkeys").size(), std::size(subkeys));
    for (const auto& [context, key] : subkeys) EXPECT_EQ(to_hex(key->view()), v.at("subkeys").at(context)) << context;
    for (const Vector& file : v.at("files")) {
      const FileKeys file_keys(keys, file.at("suite").get<Suite>(), id_of<FileId>(file, "file_id"));
      EXPECT_EQ(to_hex(file_keys.chunk.view()), file.at("keys").at("chunk"));
      EXPECT_EQ(to_hex(file_keys.content_sum.view()), file.at("keys").at("csum."));
      EXPECT_EQ(to_hex(file_keys.header.view()), file.at("keys").at("head."));
    }
  }
}

TEST(Vectors, Names) {
  const Vector vectors = read_vectors("names");
  for (const Vector& v : vectors.at("accepted")) {
    const KeyRing keys = keys_of(v);
    const NameCipher cipher(keys);
    const auto directory = id_of<DirId>(v, "directory");
    const auto full = v.at("ciphertext_name").get<std::string>();
    const std::string name = text_of(v, "name");
    EXPECT_EQ(cipher.encrypt(directory, v.at("kind").get<Kind>(), name), full);
    EXPECT_EQ(cipher.decrypt(directory, full), name);
    EXPECT_EQ(short_form(full), v.at("short_form"));
    for (const auto& limit : v.at("entry_name").items()) {
      const std::string entry = entry_name(full, static_cast<std::uint16_t>(std::stoi(limit.key())));
      EXPECT_EQ(entry, limit.value());
      ASSERT_FALSE(find_name_tokens(entry).empty());
      EXPECT_EQ(find_name_tokens(entry)[0].text, entry);
    }
    EXPECT_EQ(to_hex(cipher.derived_id(directory, full).bytes), v.at("derived_id"));
    EXPECT_EQ(to_hex(cipher.root_id().bytes), vectors.at("roots").at(v.at("vault_key").get<std::string>()));
  }
  for (const Vector& v : vectors.at("refused")) {
    const KeyRing keys = keys_of(v);
    const auto name = v.at("ciphertext_name").get<std::string>();
    EXPECT_FALSE(NameCipher(keys).decrypt(id_of<DirId>(v, "directory"), name)) << v.at("why");
  }
}

TEST(Vectors, Pins) {
  const Vector vectors = read_vectors("pins");
  for (const Vector& v : vectors.at("accepted")) {
    const KeyRing keys = keys_of(v);
    const Pin pin{id_of<DirId>(v, "id"), id_of<DirId>(v, "from"), id_of<DirId>(v, "to"),
                  std::stoll(v.at("time_ns").get<std::string>())};
    const auto name = v.at("name").get<std::string>();
    EXPECT_EQ(NameCipher(keys).pin_name(pin), name);
    EXPECT_EQ(NameCipher(keys).parse_pin(name), pin);
    EXPECT_TRUE(looks_like_pin(name));
  }
  for (const Vector& v : vectors.at("refused")) {
    const KeyRing keys = keys_of(v);
    EXPECT_FALSE(NameCipher(keys).parse_pin(v.at("name").get<std::string>())) << v.at("why");
  }
}

ByteArray<32> digest_of(ByteView bytes) {
  ByteArray<32> digest;
  blake2b(digest, {}, {bytes});
  return digest;
}

TEST(Vectors, Records) {
  const Vector vectors = read_vectors("records");
  for (const Vector& v : vectors.at("accepted")) {
    const KeyRing keys = keys_of(v);
    const auto suite = v.at("suite").get<Suite>();
    const FileKeys file_keys(keys, suite, id_of<FileId>(v, "file_id"));
    const ChunkCipher cipher(suite, file_keys);
    const ChunkIndex index{v.at("index").get<std::uint64_t>()};
    const Bytes plain = pattern_of(v.at("plain"));
    Bytes record(plain.size() + record_overhead(suite));
    const SumTerms terms = cipher.seal(index, bytes_of(v, "nonce"), plain, record);
    EXPECT_EQ(to_hex(digest_of(record)), v.at("record_blake2b"));
    if (v.contains("record")) {
      EXPECT_EQ(to_hex(record), v.at("record"));
    }
    EXPECT_TRUE(terms.content.value == number_of(v, "content_term"));
    EXPECT_TRUE(terms.keyless == number_of(v, "keyless_term"));
    Bytes opened(plain.size());
    ASSERT_TRUE(cipher.open(index, record, opened));
    EXPECT_EQ(opened, plain);
  }
  for (const Vector& v : vectors.at("refused")) {
    const KeyRing keys = keys_of(v);
    const auto suite = v.at("suite").get<Suite>();
    const FileKeys file_keys(keys, suite, id_of<FileId>(v, "file_id"));
    const Bytes record = bytes_of(v, "record");
    Bytes opened(record.size() - record_overhead(suite), 0xee);
    EXPECT_FALSE(ChunkCipher(suite, file_keys).open({v.at("index").get<std::uint64_t>()}, record, opened))
        << v.at("why");
    EXPECT_TRUE(base::all_zero(opened));
  }
}

TEST(Vectors, Sums) {
  for (const Vector& v : read_vectors("sums", "accepted")) {
    const KeyRing keys = keys_of(v);
    const auto suite = v.at("suite").get<Suite>();
    const FileKeys file_keys(keys, suite, id_of<FileId>(v, "file_id"));
    Sums sums;
    std::uint64_t index = 0;
    for (const Vector& trailer : v.at("trailers")) {
      Bytes bytes(trailer.get<std::string>().size() / 2);
      ASSERT_TRUE(from_hex(trailer.get<std::string>(), bytes));
      if (!bytes.empty()) sums.add(ChunkCipher(suite, file_keys).terms({index}, bytes));
      ++index;
    }
    EXPECT_TRUE(sums.content.value == number_of(v, "content_sum"));
    EXPECT_TRUE(sums.keyless == number_of(v, "keyless_sum"));
  }
}

TEST(Vectors, Geometry) {
  const Vector vectors = read_vectors("geometry");
  const auto geometry_of = [](const Vector& v) {
    return Geometry(v.at("suite").get<Suite>(), v.at("chunk_size").get<std::uint32_t>());
  };
  for (const Vector& v : vectors.at("accepted")) {
    const auto plain = v.at("plain_size").get<std::uint64_t>(), cipher = v.at("cipher_length").get<std::uint64_t>();
    EXPECT_EQ(geometry_of(v).cipher_length(plain), cipher);
    EXPECT_EQ(geometry_of(v).plain_size(cipher), plain);
  }
  for (const Vector& v : vectors.at("refused")) {
    EXPECT_EQ(geometry_of(v).plain_size(v.at("cipher_length").get<std::uint64_t>()), std::nullopt);
  }
}

Timestamp time_of(const Vector& v) { return {v.at(0).get<std::int64_t>(), v.at(1).get<std::uint32_t>()}; }

FileHeader header_of(const Vector& v) {
  FileHeader header;
  header.clear.suite = v.at("suite").get<Suite>();
  header.clear.chunk_size = 1u << v.at("log2_chunk_size").get<unsigned>();
  header.clear.name_max = v.at("name_max").get<std::uint16_t>();
  header.clear.vault = id_of<VaultId>(v, "vault_id");
  header.clear.file = id_of<FileId>(v, "file_id");
  header.clear.key_epoch = v.at("key_epoch").get<std::uint32_t>();
  header.clear.cipher_length = v.at("cipher_length").get<std::uint64_t>();
  header.clear.keyless_sum = v.at("keyless_sum").get<std::uint64_t>();
  header.plain_size = v.at("plain_size").get<std::uint64_t>();
  header.content_sum.value = number_of(v, "content_sum");
  header.version = v.at("version").get<std::uint64_t>();
  header.writer = id_of<WriterId>(v, "writer");
  header.seals = v.at("seals").get<std::uint64_t>();
  header.mode = v.at("mode").get<std::uint32_t>();
  header.uid = v.at("uid").get<std::uint32_t>();
  header.gid = v.at("gid").get<std::uint32_t>();
  header.rdev = v.at("rdev").get<std::uint64_t>();
  header.mtime = time_of(v.at("mtime"));
  header.birth = time_of(v.at("birth"));
  header.kind = v.at("kind").get<Kind>();
  header.parent = id_of<DirId>(v, "parent");
  header.name = text_of(v, "name");
  return header;
}

std::string_view name_of(HeaderError error) {
  switch (error) {
    case HeaderError::kNotOurs:
      return "not ours";
    case HeaderError::kNewer:
      return "newer";
    case HeaderError::kDamaged:
      return "damaged";
    case HeaderError::kForged:
      return "forged";
    case HeaderError::kOtherVault:
      return "other vault";
  }
  return "?";
}

TEST(Vectors, Headers) {
  const Vector vectors = read_vectors("headers");
  for (const Vector& v : vectors.at("accepted")) {
    const FileHeader header = header_of(v.at("fields"));
    const FileKeys keys(keys_of(v), header.clear.suite, header.clear.file);
    const auto bytes = array_of<HeaderBytes>(v, "header");
    EXPECT_EQ(to_hex(encode_with_nonce(header, keys, array_of<HeaderNonce>(v, "nonce"))), v.at("header"));
    auto decoded = decode(bytes, header.clear.vault, keys);
    ASSERT_TRUE(decoded) << v.at("fields");
    EXPECT_EQ(*decoded, header);
  }
  for (const Vector& v : vectors.at("refused")) {
    const auto bytes = array_of<HeaderBytes>(v, "header");
    // As a reader finds its keys: by what the clear part says, where it says anything.
    auto clear = decode_clear(bytes);
    const FileKeys keys(keys_of(v), clear ? clear->suite : Suite::kAes256Gcm, clear ? clear->file : FileId{});
    auto decoded = decode(bytes, id_of<VaultId>(v, "vault_id"), keys);
    ASSERT_FALSE(decoded) << v.at("why");
    EXPECT_EQ(name_of(decoded.error()), v.at("error")) << v.at("why");
  }
}

TEST(Vectors, Xattrs) {
  const Vector vectors = read_vectors("xattrs");
  for (const Vector& v : vectors.at("accepted")) {
    const KeyRing keys = keys_of(v);
    const XattrCipher cipher(keys);
    const Xattr xattr{text_of(v, "name"), bytes_of(v, "value")};
    const auto stored = v.at("stored_name").get<std::string>();
    const Bytes owner = bytes_of(v, "owner"), sealed = bytes_of(v, "sealed");
    EXPECT_EQ(cipher.stored_name(xattr.name), stored);
    EXPECT_EQ(seal_xattr(keys, owner, xattr, array_of<XattrNonce>(v, "nonce")), sealed);
    const auto opened = cipher.open(owner, stored, sealed);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->name, xattr.name);
    EXPECT_EQ(opened->value, xattr.value);
  }
  for (const Vector& v : vectors.at("refused")) {
    const KeyRing keys = keys_of(v);
    EXPECT_FALSE(
        XattrCipher(keys).open(bytes_of(v, "owner"), v.at("stored_name").get<std::string>(), bytes_of(v, "sealed")))
        << v.at("why");
  }
}

Slot slot_of(const Vector& v) {
  Slot slot;
  slot.id = v.at("id").get<std::uint32_t>();
  slot.type = v.at("type") == "password" ? SlotType::kPassword : SlotType::kKeyfile;
  slot.label = v.at("label");
  slot.created = v.at("created");
  if (slot.type == SlotType::kPassword) slot.cost = {v.at("passes"), v.at("memory_kib")};
  slot.salt = bytes_of(v, "salt");
  slot.nonce = array_of<ByteArray<24>>(v, "nonce");
  slot.wrapped = array_of<ByteArray<48>>(v, "wrapped");
  return slot;
}

TEST(Vectors, Slots) {
  for (const Vector& v : read_vectors("slots", "accepted")) {
    const Slot slot = slot_of(v.at("slot"));
    const auto vault = id_of<VaultId>(v, "vault_id");
    const Bytes secret = bytes_of(v, "secret");
    const auto key = open_slot(slot, vault, secret);
    ASSERT_TRUE(key) << slot.id;
    EXPECT_EQ(to_hex(key->view()), v.at("vault_key"));
    Slot sealed = slot;
    sealed.wrapped.fill(0);
    seal_slot(sealed, *key, vault, secret);
    EXPECT_EQ(sealed, slot);
  }
}

std::string_view name_of(ConfigError error) {
  switch (error) {
    case ConfigError::kNotConfig:
      return "not config";
    case ConfigError::kTruncated:
      return "truncated";
    case ConfigError::kNewer:
      return "newer";
    case ConfigError::kUnknownFeature:
      return "unknown feature";
    case ConfigError::kMalformed:
      return "malformed";
    case ConfigError::kForged:
      return "forged";
  }
  return "?";
}

TEST(Vectors, Config) {
  const Vector vectors = read_vectors("config");
  const KeyRing keys = keys_of(vectors);
  std::vector<VaultConfig> accepted;
  for (const Vector& v : vectors.at("accepted")) {
    const auto text = v.at("text").get<std::string>();
    const auto opened = authenticate_config(base::as_bytes(text), keys);
    ASSERT_TRUE(std::holds_alternative<VaultConfig>(opened)) << text;
    accepted.push_back(std::get<VaultConfig>(opened));
    // Coffer writes the first two byte for byte; the third says the same in another way.
    const Bytes written = serialise_config(accepted.back(), keys);
    EXPECT_EQ(base::as_text(written) == text, v.at("canonical").get<bool>());
    if (v.contains("same_as")) {
      EXPECT_EQ(accepted.back(), accepted.at(v.at("same_as").get<std::size_t>()));
    }
  }
  EXPECT_EQ(accepted.at(1).slots.size(), 5u);
  EXPECT_EQ(accepted.at(1).generation, ~std::uint64_t{0});
  for (const Vector& v : vectors.at("refused")) {
    const auto opened = authenticate_config(base::as_bytes(v.at("text").get<std::string>()), keys);
    ASSERT_TRUE(std::holds_alternative<ConfigError>(opened)) << v.at("why");
    EXPECT_EQ(name_of(std::get<ConfigError>(opened)), v.at("error")) << v.at("why");
  }
}

}  // namespace
}  // namespace coffer::crypto
