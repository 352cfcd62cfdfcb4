#include "daemon/kept_text.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/sys/memory_file.hpp"
#include "base/sys/write_all.hpp"
#include "base/text.hpp"
#include "daemon/log.hpp"

namespace sluiced {

KeptText::KeptText(std::string path) : path_(std::move(path)) {
  base::sys::UniqueFd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return;
  if (auto text = base::sys::MappedFile::map(file.get())) text_ = base::as_text(text->bytes());
}

void KeptText::write(const std::string& text) {
  text_ = text;
  std::string fresh = path_ + ".new";
  base::sys::UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  bool written = file && base::sys::write_all(file.get(), text) && fsync(file.get()) == 0 &&
                 ::rename(fresh.c_str(), path_.c_str()) == 0;
  if (!written && !complained_)
    logging::warning(path_ + " cannot be written (" + std::strerror(errno) + "): it holds until a restart");
  complained_ = !written;
}

}  // namespace sluiced
