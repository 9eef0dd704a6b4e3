// Mutexes that clang's -Wthread-safety understands (libstdc++'s are not annotated), and the annotations.
// Source of the annotations: clang's "Thread Safety Analysis" page. Lock order: docs/LOCKING.md.
#pragma once

#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#if defined(__clang__)
#define COFFER_TSA(x) __attribute__((x))
#else
#define COFFER_TSA(x)
#endif
#define GUARDED_BY(x) COFFER_TSA(guarded_by(x))
#define REQUIRES(...) COFFER_TSA(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) COFFER_TSA(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) COFFER_TSA(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS COFFER_TSA(no_thread_safety_analysis)

namespace coffer::base {

class COFFER_TSA(capability("mutex")) Mutex {
 public:
  void lock() COFFER_TSA(acquire_capability()) { mutex_.lock(); }
  void unlock() COFFER_TSA(release_capability()) { mutex_.unlock(); }
  bool try_lock() COFFER_TSA(try_acquire_capability(true)) { return mutex_.try_lock(); }

 private:
  std::mutex mutex_;
};

class COFFER_TSA(capability("shared_mutex")) SharedMutex {
 public:
  void lock() COFFER_TSA(acquire_capability()) { mutex_.lock(); }
  void unlock() COFFER_TSA(release_capability()) { mutex_.unlock(); }
  bool try_lock() COFFER_TSA(try_acquire_capability(true)) { return mutex_.try_lock(); }
  void lock_shared() COFFER_TSA(acquire_shared_capability()) { mutex_.lock_shared(); }
  void unlock_shared() COFFER_TSA(release_shared_capability()) { mutex_.unlock_shared(); }

 private:
  std::shared_mutex mutex_;
};

class COFFER_TSA(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) COFFER_TSA(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() COFFER_TSA(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class COFFER_TSA(scoped_lockable) WriterLock {
 public:
  explicit WriterLock(SharedMutex& mutex) COFFER_TSA(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~WriterLock() COFFER_TSA(release_capability()) { mutex_.unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class COFFER_TSA(scoped_lockable) ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mutex) COFFER_TSA(acquire_shared_capability(mutex)) : mutex_(mutex) {
    mutex_.lock_shared();
  }
  ~ReaderLock() COFFER_TSA(release_capability()) { mutex_.unlock_shared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex& mutex_;
};

// Waits with any of the mutexes above: condition_variable_any, since std::condition_variable knows std::mutex only.
using CondVar = std::condition_variable_any;

}  // namespace coffer::base
