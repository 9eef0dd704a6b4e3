// What every process of Coffer does first, so that its secrets stay in it.
#pragma once

namespace coffer::mount {

// A sanitizer is built in: its leak check attaches a debugger, and its reports start a program.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

// No core dumps, no debugger of the same user (PR_SET_DUMPABLE; not under sanitizers),
// and files that we make are ours alone (umask 077).
void harden_process() noexcept;

}  // namespace coffer::mount
