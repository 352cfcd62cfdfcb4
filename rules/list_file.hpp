// A list file, line by line, through a buffer of fixed size: a list may be larger than memory.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace rules {

class ListFile {
 public:
  static constexpr std::size_t longest_line = 16 * 1024;  // far beyond any name or URL; long expressions fit

  // Environment errors: not there, not readable, not a regular file (a pipe would block us).
  static base::Result<ListFile> open(const std::string& path);

  struct Line {
    std::string_view text;  // without its end, and the first one without a byte order mark; valid until the next call
    std::uint32_t number = 0;
    bool too_long = false;  // `text` is empty
    bool binary = false;    // it has a NUL: no text file has one
  };
  // False at the end, or after a read error: see error().
  bool next(Line& line);
  const std::string& error() const { return error_; }

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  explicit ListFile(std::FILE* file) : file_(file), buffer_(64 * 1024) {}
  bool fill();

  std::unique_ptr<std::FILE, Closer> file_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what was read and not yet given out
  std::uint32_t number_ = 0;
  std::string error_;
};

}  // namespace rules
