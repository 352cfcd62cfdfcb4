#include "daemon/meter_baselines.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace sluiced {
namespace {

constexpr std::uint64_t layout = 0x736c756d65740001;  // changes with the layout
constexpr std::size_t most_flows = 262'144;           // 10 MiB a half; only what is used is memory

base::Error failed(const std::string& what) {
  return base::environment_error("meter: " + what + ": " + std::strerror(errno));
}

}  // namespace

struct MeterBaselines::File {
  struct Entry {
    std::uint64_t key, bytes_up, bytes_down, packets_up, packets_down;
  };
  struct Half {
    std::uint64_t count, checksum;
    std::uint64_t whole;  // 0: there were more flows than fit
    Entry entries[most_flows];
    std::uint64_t sum() const { return XXH3_64bits(entries, count * sizeof(Entry)) ^ count ^ whole; }
  };
  std::uint64_t layout;
  std::uint32_t in_force;  // 0: none, else the number of a half, from 1
  std::uint32_t zero;
  Half halves[2];
};

base::Result<base::sys::UniqueFd> MeterBaselines::open(const std::string& path) {
  base::sys::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file || ftruncate(file.get(), sizeof(File)) != 0) return failed(path);
  return file;
}

base::Result<std::unique_ptr<MeterBaselines>> MeterBaselines::attach(int file) {
  struct stat status;
  if (fstat(file, &status) != 0 || status.st_size != static_cast<off_t>(sizeof(File)))
    return base::environment_error("meter: a file of impossible size");
  void* address = mmap(nullptr, sizeof(File), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (address == MAP_FAILED) return failed("mmap");
  return std::unique_ptr<MeterBaselines>(new MeterBaselines(static_cast<File*>(address)));
}

MeterBaselines::~MeterBaselines() {
  munmap(file_, sizeof(File));
}

bool MeterBaselines::load(accounting::Meter& meter) const {
  if (file_->layout != layout || file_->in_force < 1 || file_->in_force > 2) return false;
  const File::Half& half = file_->halves[file_->in_force - 1];
  if (half.count > most_flows || half.checksum != half.sum()) return false;
  for (std::size_t i = 0; i < half.count; ++i) {
    const File::Entry& entry = half.entries[i];
    meter.adopt(entry.key, {entry.bytes_up, entry.bytes_down, entry.packets_up, entry.packets_down});
  }
  return half.whole != 0;
}

void MeterBaselines::store(const accounting::Meter& meter) {
  std::uint32_t next = file_->in_force == 1 ? 2 : 1;
  File::Half& half = file_->halves[next - 1];
  half.count = 0;
  half.whole = meter.size() <= most_flows;
  meter.for_each([&](accounting::Meter::Key key, const accounting::Counts& counts) {
    if (half.count < most_flows)
      half.entries[half.count++] = {key, counts.bytes_up, counts.bytes_down, counts.packets_up, counts.packets_down};
  });
  half.checksum = half.sum();
  file_->layout = layout;
  std::atomic_ref(file_->in_force).store(next, std::memory_order_release);
}

}  // namespace sluiced
