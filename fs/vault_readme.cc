#include "fs/vault_readme.h"

namespace coffer::fs {

std::string_view vault_readme() {
  return R"(This folder is a Coffer vault: an encrypted copy of somebody's files.

Nothing in it can be read without one of these:
  - the vault key: 64 hexadecimal digits in 16 groups of 4, written down when the vault was made, or
  - a password or a keyfile that was added to it, together with coffer.json.
Whoever has none of them cannot open it, and nobody can reset it.

OPENING IT WITH COFFER (Linux)

  coffer mount THIS_FOLDER SOME_EMPTY_FOLDER      (asks for the password)
  coffer mount --key THIS_FOLDER SOME_EMPTY_FOLDER   (asks for the 64 digits)
  coffer lock SOME_EMPTY_FOLDER                   (when done)

Without mounting: coffer ls THIS_FOLDER and coffer cat THIS_FOLDER PATH.

OPENING IT WITHOUT COFFER

The format is published as docs/FORMAT.md in Coffer's sources, and scripts/coffer_reader.py there reads a vault on any system
that has Python, without any of Coffer's code. If neither can be found, this is what a programmer needs to know:

  All keys are 32 bytes. subkey(context) = BLAKE2b-256 keyed with the vault key over the ASCII context.
  coffer.json: each slot of type "password" wraps the vault key with XChaCha20-Poly1305 (fields nonce, wrapped) under
    Argon2id v1.3 (password, salt, passes, memory_kib, 1 lane, 32 bytes); associated data: "coffer slot", the vault id's 16
    bytes, the type, a zero byte, passes and memory_kib as 64-bit little-endian numbers, the salt. For a slot of type
    "keyfile" the wrapping key is BLAKE2b-256 keyed with the salt over "coffer keyfile" and the file's bytes, and both
    numbers are 0.
  Names: base32 (a-z2-7) of siv (16 bytes) and name XOR XChaCha20(subkey("coffer names stream"), nonce siv + 8 zero bytes).
    A trailing 8 marks a symbolic link, a 9 another special file. A name that begins with 0 is a hash; the file beside it
    with ".name" after it holds the full one.
  Files: a header of 512 bytes, then records. In the header at 10: suite (1 AES-256-GCM, 2 XChaCha20-Poly1305), at 11: log2
    of the chunk size, at 32: file id (16 bytes). Key of the records: BLAKE2b-256 keyed with subkey("coffer files") over
    "chunk", the suite's byte and the file id. A record is nonce (12 bytes for suite 1, 24 for suite 2), ciphertext, tag
    (16), checksum (8); its associated data is the number of the chunk, counted from 0, as 64-bit little-endian.
  This is enough to get everything back; how to tell that it is complete and unchanged is in FORMAT.md.

KEEPING IT

coffer.json holds what turns a password into the vault key, and Coffer opens no vault without it. coffer-copy.json is a second
copy: should coffer.json be lost, copy it there. With both lost, no password helps any more, but the 64 digits do: scripts/
coffer_reader.py reads all files with them alone (--without-config). Files called dir.*.coffer and *.name belong to the vault; do not delete, rename or move anything in here by hand.
This text is no part of the vault; deleting it does no harm.
)";
}

}  // namespace coffer::fs
