// Reading a secret from a file, a command or a stream into locked memory. Internal to secrets.cc.
#pragma once

#include <string>

#include "base/unique_fd.h"
#include "crypto/secret.h"
#include "fs/user_error.h"

namespace coffer::mount {

constexpr std::size_t kSecretSizeMax = std::size_t{1} << 20;

// All there is to read, as it is. `what` names the source in errors. Errors: kNoSecret (unreadable, too long).
fs::Outcome<crypto::SecretBuffer> read_secret(base::FdRef fd, const std::string& what);
// Follows links; pipes and devices will do ("/dev/stdin", "<(pass show vault)"). Warns if others may read the file.
fs::Outcome<crypto::SecretBuffer> read_secret_file(const std::string& path);
// The standard output of `/bin/sh -c command`; its standard input and error are ours. Errors: kNoSecret (it failed).
fs::Outcome<crypto::SecretBuffer> read_secret_command(const std::string& command);

// Takes exactly one trailing newline away. Errors: kNoSecret (nothing is left).
fs::Outcome<crypto::SecretBuffer> to_password(crypto::SecretBuffer secret, const std::string& what);

}  // namespace coffer::mount
