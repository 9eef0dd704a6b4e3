#include "tests/crash/history.h"

#include <algorithm>

namespace coffer::crash {

void History::begin(std::string what, std::size_t operations) {
  steps_.push_back({std::move(what), operations, operations});
}
void History::end(std::size_t operations) { steps_.back().end = operations; }

FileId History::make(char kind) {
  const FileId id = static_cast<FileId>(files_.size()) + 1;
  files_[id] = {kind, {{now(), {}}}, {}, now(), 0};
  return id;
}

void History::set_content(FileId file, std::string content) {
  auto& versions = files_.at(file).versions;
  if (versions.back().content != content) versions.push_back({now(), std::move(content)});
}

Tree& History::change_tree() {
  if (trees_.back().first != now()) trees_.emplace_back(now(), trees_.back().second);
  return trees_.back().second;
}

void History::promise(FileId file, Promise::Kind kind) {
  // What has no name left is promised to nobody.
  const auto names_it = [&](const auto& entry) { return entry.second.id == file; };
  if (std::none_of(tree().begin(), tree().end(), names_it)) return;
  FileHistory& history = files_.at(file);
  history.promises.push_back({now(), history.versions.size() - 1, kind});
}

void History::promise_as_flushed(FileId file) {
  FileHistory& history = files_.at(file);
  for (auto last = history.promises.rbegin(); last != history.promises.rend(); ++last) {
    if (last->kind != Promise::Kind::kProcess) continue;
    history.promises.push_back({now(), last->version, Promise::Kind::kIfReplaced});
    return;
  }
}

void History::forget_operations() {
  for (Step& step : steps_) step.begin = step.end = 0;
}

int History::started(std::size_t count) const {
  int last = -1;
  // What has done nothing below yet has changed nothing, unless it never does anything there.
  for (std::size_t i = 0; i < steps_.size() && (steps_[i].begin < count || steps_[i].end <= count); ++i) {
    last = static_cast<int>(i);
  }
  return last;
}

int History::completed(std::size_t count) const {
  int last = -1;
  for (std::size_t i = 0; i < steps_.size() && steps_[i].end <= count; ++i) last = static_cast<int>(i);
  return last;
}

std::vector<std::pair<int, const Tree*>> History::trees(int started, int completed, bool process) const {
  int promised = process ? completed : -1;
  for (const auto& [by, about] : name_promises_) {
    if (by <= completed) promised = std::max(promised, about);
  }
  std::vector<std::pair<int, const Tree*>> possible;
  for (std::size_t i = 0; i < trees_.size() && trees_[i].first <= started; ++i) {
    const bool replaced_before = i + 1 < trees_.size() && trees_[i + 1].first <= promised;
    if (!replaced_before) possible.emplace_back(trees_[i].first, &trees_[i].second);
  }
  return possible;
}

std::optional<std::size_t> History::promised(FileId file, int completed, int tree, bool process) const {
  std::optional<std::size_t> oldest;
  for (const Promise& promise : files_.at(file).promises) {
    if (promise.kind == Promise::Kind::kDurable && promise.step > completed) continue;
    if (promise.kind == Promise::Kind::kProcess && (promise.step > completed || !process)) continue;
    if (promise.kind == Promise::Kind::kIfReplaced && promise.step > tree) continue;
    oldest = std::max(oldest.value_or(0), promise.version);
  }
  return oldest;
}

bool History::ever_promised(FileId file, int completed, bool process) const {
  return promised(file, completed, -1, process).has_value();
}

}  // namespace coffer::crash
