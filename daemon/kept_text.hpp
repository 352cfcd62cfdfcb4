// A small text that outlives a restart: one file, replaced whole. A disk that takes nothing is said once; the text then
// holds until the process ends.
#pragma once

#include <string>

namespace sluiced {

class KeptText {
 public:
  explicit KeptText(std::string path);  // reads what is there; nothing there: empty
  const std::string& text() const { return text_; }
  void write(const std::string& text);

 private:
  std::string path_, text_;
  bool complained_ = false;
};

}  // namespace sluiced
