#include "rules/list_file.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace rules {

base::Result<ListFile> ListFile::open(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return base::environment_error(std::strerror(errno));
  if (S_ISDIR(status.st_mode)) return base::environment_error("a directory, where a file was expected");
  if (!S_ISREG(status.st_mode)) return base::environment_error("not a regular file");
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (!file) return base::environment_error(std::strerror(errno));
  return ListFile(file);
}

// More bytes behind those that are left; false at the end of the file.
bool ListFile::fill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  std::size_t count = std::fread(buffer_.data() + end_, 1, buffer_.size() - end_, file_.get());
  if (count == 0 && std::ferror(file_.get())) error_ = std::strerror(errno);
  end_ += count;
  return count > 0;
}

bool ListFile::next(Line& line) {
  line = {};
  std::size_t newline = std::string_view::npos, searched = 0;
  std::string_view rest;
  for (bool more = true;; more = fill()) {
    rest = std::string_view(buffer_.data() + begin_, end_ - begin_);
    newline = rest.find('\n', searched);
    if (newline != rest.npos || !more) break;
    searched = rest.size();
    if (rest.size() <= longest_line) continue;
    line.too_long = true;  // its beginning is forgotten, so that a line of gigabytes needs no more memory than another
    line.binary |= rest.find('\0') != rest.npos;
    begin_ = end_;
    searched = 0;
  }
  if (!error_.empty() || (rest.empty() && !line.too_long)) return false;

  line.number = ++number_;
  line.text = rest.substr(0, newline);
  begin_ += std::min(line.text.size() + 1, rest.size());
  line.binary |= line.text.find('\0') != line.text.npos;
  line.too_long |= line.text.size() > longest_line;
  if (line.too_long) line.text = {};
  if (line.text.ends_with('\r')) line.text.remove_suffix(1);
  if (number_ == 1 && line.text.starts_with("\xef\xbb\xbf")) line.text.remove_prefix(3);
  return true;
}

}  // namespace rules
