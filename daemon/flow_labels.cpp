// A flow of the kernel lane is a connection mark and nothing else: no socket, no object. What the log line at its end
// and a new policy need to know of it (the name, the LAN, when it began) is its label. Labels lie in a memfd that the
// supervisor holds, so that a gateway that was killed leaves them to the next one.
//
// The file is an array of slots of 128 bytes and nothing else. A label is one slot, and for a name beyond 60 octets up
// to two more that its `next` numbers chain. Only the first has `state` == labelled; in all others, used or free, it is
// something else. So one word makes a label be or not be:
//
//   writing    the name's further slots, then the first slot, then its state (release)
//   removing   the first slot's state (release), then everything is free to be written over
//
// A SIGKILL anywhere in between leaves either the label or free slots: of a killed thread's stores, those up to one
// point of its program are in the shared pages, and no later one. What a bug, a flipped bit or another version's layout may leave is found by the
// checksum over the whole label, which also covers where it lies; attach() drops what is not whole, and what names no
// flow that could be. Which slots are free and where a flow's label lies is not in the file: attach() works it out.
//
// Memory: a page of the file is memory once it is touched, and only then. Slots are taken lowest first, so labels lie
// close; attach() asks for the pages that are there (SEEK_DATA) and reads no other. 10,000 flows are 1.3 MiB and
// 128 KiB of index. Pages are not given back: the table stays as large as the most flows there have been, 36 MiB at
// the very most.
//
// A label may be without its flow (it ended while no gateway lived) and a flow without its label (the table was full,
// the gateway died between mark and label): the owner compares with conntrack.
#include "daemon/flow_labels.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string>

namespace sluiced {
namespace {

constexpr std::uint32_t labelled = 0x6c61626c;  // "labl"
constexpr std::uint64_t layout = 1;             // changes with the layout: labels of another one are not believed
constexpr std::size_t name_in_first = 60, name_in_next = 120, longest_name = 253;
constexpr std::uint8_t flag_named = 1, flag_ech = 2, flag_not_tls = 4;

base::Error failed(const char* call) {
  return base::environment_error(std::string("flow labels: ") + call + ": " + std::strerror(errno));
}

// A flow as bytes without holes, to be compared and hashed.
struct Key {
  std::uint8_t client[16], origin[16];  // v4 in its v4-mapped form
  std::uint16_t client_port, origin_port;
  std::uint8_t protocol;
  std::uint8_t zero[3];

  static Key of(const base::FiveTuple& tuple) {
    Key key{};
    std::ranges::copy(tuple.client.address.mapped(), key.client);
    std::ranges::copy(tuple.origin.address.mapped(), key.origin);
    key.client_port = tuple.client.port;
    key.origin_port = tuple.origin.port;
    key.protocol = static_cast<std::uint8_t>(tuple.protocol);
    return key;
  }
  base::FiveTuple tuple() const {
    return {static_cast<base::IpProtocol>(protocol),
            {base::IpAddress::v6(client), client_port},
            {base::IpAddress::v6(origin), origin_port}};
  }
  bool is_possible() const {
    base::FiveTuple flow = tuple();
    bool known = flow.protocol == base::IpProtocol::tcp || flow.protocol == base::IpProtocol::udp;
    return known && flow.client.address.is_v6() == flow.origin.address.is_v6() && !zero[0] && !zero[1] && !zero[2];
  }
  bool operator==(const Key& other) const { return std::memcmp(this, &other, sizeof *this) == 0; }
};

std::uint32_t hash_of(const Key& key, std::uint64_t seed) {
  return static_cast<std::uint32_t>(XXH3_64bits_withSeed(&key, sizeof key, seed));
}

constexpr std::size_t further_slots(std::size_t name_length) {
  return name_length <= name_in_first ? 0 : (name_length - name_in_first + name_in_next - 1) / name_in_next;
}
static_assert(further_slots(longest_name) == 2 && further_slots(60) == 0 && further_slots(61) == 1);

}  // namespace

struct FlowLabels::Slot {
  std::uint32_t state = 0;
  std::uint32_t next = 0;  // of the name's rest; means nothing in the last
  struct First {
    std::uint64_t checksum;
    std::int64_t began;
    Key key;
    std::uint8_t lan, flags, name_length, zero;
    char name[name_in_first];
  };
  union {
    First first;
    char more_name[name_in_next];
  };

  Slot() : first{} {}
  std::uint32_t load() const {
    return std::atomic_ref(const_cast<std::uint32_t&>(state)).load(std::memory_order_acquire);
  }
  void publish(std::uint32_t value) {
    std::atomic_ref(state).store(value, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // nor does the compiler bring later stores forward
  }
  // Everything but the state.
  void write(const Slot& content) {
    std::memcpy(reinterpret_cast<char*>(this) + sizeof state, reinterpret_cast<const char*>(&content) + sizeof state,
                sizeof *this - sizeof state);
  }
};

off_t FlowLabels::size_of(std::uint32_t slots) {
  return static_cast<off_t>(slots) * static_cast<off_t>(sizeof(Slot));
}

base::Result<base::sys::UniqueFd> FlowLabels::create(std::uint32_t slots) {
  base::sys::UniqueFd file(memfd_create("sluice-labels", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return failed("memfd_create");
  if (ftruncate(file.get(), size_of(slots)) != 0) return failed("ftruncate");
  // A mapping of a file that shrinks kills its reader.
  if (fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return failed("F_ADD_SEALS");
  return file;
}

base::Result<base::sys::UniqueFd> FlowLabels::open(const std::string& path, std::uint32_t slots) {
  base::sys::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat status;
  if (!file || fstat(file.get(), &status) != 0) return failed(path.c_str());
  // Of another version: begun anew, under another inode, since an earlier reader may still have the old one mapped.
  if (status.st_size != 0 && status.st_size != size_of(slots)) {
    unlink(path.c_str());
    return open(path, slots);
  }
  if (ftruncate(file.get(), size_of(slots)) != 0) return failed(path.c_str());
  return file;
}

base::Result<std::unique_ptr<FlowLabels>> FlowLabels::attach(int file) {
  static_assert(sizeof(Slot) == 128);
  struct stat status;
  if (fstat(file, &status) != 0) return failed("fstat");
  auto count = static_cast<std::uint64_t>(status.st_size) / sizeof(Slot);
  if (count == 0 || count >= UINT32_MAX) return base::environment_error("flow labels: a file of impossible size");
  void* address = mmap(nullptr, count * sizeof(Slot), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (address == MAP_FAILED) return failed("mmap");
  std::unique_ptr<FlowLabels> labels(new FlowLabels(static_cast<Slot*>(address), static_cast<std::uint32_t>(count)));
  labels->adopt(file);
  return labels;
}

FlowLabels::FlowLabels(Slot* slots, std::uint32_t count) : slots_(slots), count_(count), free_(count) {
  // Clients choose their ports: without a seed they could choose their buckets.
  if (getrandom(&seed_, sizeof seed_, 0) < 0) seed_ = reinterpret_cast<std::uintptr_t>(slots_);
}

FlowLabels::~FlowLabels() {
  munmap(slots_, std::size_t{count_} * sizeof(Slot));
}

void FlowLabels::adopt(int file) {
  off_t size = static_cast<off_t>(count_) * static_cast<off_t>(sizeof(Slot));
  for (off_t at = 0; at < size;) {
    off_t begin = lseek(file, at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) return;  // only holes from here on
    off_t end = begin < 0 ? -1 : lseek(file, begin, SEEK_HOLE);
    if (begin < 0 || end < 0) begin = at, end = size;
    end = std::min(end, size);
    for (off_t slot = begin / static_cast<off_t>(sizeof(Slot)); slot < end / static_cast<off_t>(sizeof(Slot)); ++slot)
      adopt_slot(static_cast<std::uint32_t>(slot));
    at = end;
  }
}

void FlowLabels::adopt_slot(std::uint32_t slot) {
  Slot& first = slots_[slot];
  if (first.load() != labelled) return;
  std::uint32_t hash = hash_of(first.first.key, seed_);
  if (!is_sound(slot) || slot_of(first.first.key.tuple(), hash)) {
    first.publish(0);
    ++dropped_;
    return;
  }
  std::uint32_t part = slot;
  free_.take(part);
  for (std::size_t more = further_slots(first.first.name_length); more > 0; --more)
    free_.take(part = slots_[part].next);
  index_.insert(hash, slot);
}

// Nothing is read beyond the table, and nothing is used before the checksum has vouched for it.
bool FlowLabels::is_sound(std::uint32_t slot) const {
  const Slot::First& first = slots_[slot].first;
  if (first.name_length > longest_name || !free_.is_free(slot)) return false;
  std::uint32_t part = slot;
  for (std::size_t more = further_slots(first.name_length); more > 0; --more) {
    std::uint32_t next = slots_[part].next;
    if (next >= count_ || next == part || !free_.is_free(next) || slots_[next].load() == labelled) return false;
    part = next;
  }
  if (checksum(slot) != first.checksum || !first.key.is_possible()) return false;
  bool named = (first.flags & flag_named) != 0;
  auto label = decode(slot);
  return named ? label->name && label->name->text().size() == first.name_length : first.name_length == 0;
}

// Over the first slot behind its checksum, every further one, and all their numbers.
std::uint64_t FlowLabels::checksum(std::uint32_t slot) const {
  const Slot* part = &slots_[slot];
  std::uint64_t sum = layout << 32 | slot;
  sum = XXH3_64bits_withSeed(&part->first.began, sizeof part->first - sizeof part->first.checksum, sum);
  for (std::size_t more = further_slots(part->first.name_length); more > 0; --more) {
    sum = XXH3_64bits_withSeed(&part->next, sizeof part->next, sum);
    part = &slots_[part->next];
    sum = XXH3_64bits_withSeed(part->more_name, sizeof part->more_name, sum);
  }
  return sum;
}

std::optional<FlowLabel> FlowLabels::decode(std::uint32_t slot) const {
  const Slot* part = &slots_[slot];
  const Slot::First& first = part->first;
  FlowLabel label;
  label.tuple = first.key.tuple();
  label.lan = first.lan;
  label.ech_offered = (first.flags & flag_ech) != 0;
  label.tls = (first.flags & flag_not_tls) == 0;
  label.began = base::WallTime(std::chrono::milliseconds(first.began));
  if ((first.flags & flag_named) == 0) return label;
  char name[longest_name];
  std::size_t length = first.name_length, copied = std::min(length, name_in_first);
  std::memcpy(name, first.name, copied);
  while (copied < length) {
    part = &slots_[part->next];
    std::size_t here = std::min(length - copied, name_in_next);
    std::memcpy(name + copied, part->more_name, here);
    copied += here;
  }
  label.name = base::DomainName::parse({name, length});
  return label;
}

bool FlowLabels::add(const FlowLabel& label) {
  Key key = Key::of(label.tuple);
  std::uint32_t hash = hash_of(key, seed_);
  std::string_view name = label.name ? std::string_view(label.name->text()) : std::string_view();
  std::lock_guard lock(mutex_);
  if (auto old = slot_of(label.tuple, hash)) release(*old, hash);
  if (name.size() > longest_name || free_.count() < 1 + further_slots(name.size())) return false;

  std::uint32_t slot = *free_.take();
  Slot first;
  first.first.began = label.began.time_since_epoch().count();
  first.first.key = key;
  first.first.lan = label.lan;
  first.first.flags = static_cast<std::uint8_t>((label.name ? flag_named : 0) | (label.ech_offered ? flag_ech : 0) |
                                                (label.tls ? 0 : flag_not_tls));
  first.first.name_length = static_cast<std::uint8_t>(name.size());
  std::size_t copied = name.copy(first.first.name, name_in_first);
  // From the last part to the first, so that each is written once, whole.
  std::size_t more = further_slots(name.size());
  for (std::uint32_t next = 0; more > 0; --more) {
    Slot part;
    part.next = next;
    std::memset(part.more_name, 0, sizeof part.more_name);
    name.copy(part.more_name, name_in_next, copied + (more - 1) * name_in_next);
    first.next = next = *free_.take();
    slots_[next].publish(0);
    slots_[next].write(part);
  }
  slots_[slot].write(first);
  slots_[slot].first.checksum = checksum(slot);
  slots_[slot].publish(labelled);
  index_.insert(hash, slot);
  return true;
}

bool FlowLabels::remove(const base::FiveTuple& tuple) {
  std::uint32_t hash = hash_of(Key::of(tuple), seed_);
  std::lock_guard lock(mutex_);
  auto slot = slot_of(tuple, hash);
  if (slot) release(*slot, hash);
  return slot.has_value();
}

void FlowLabels::release(std::uint32_t slot, std::uint32_t hash) {
  index_.erase(hash, slot);
  slots_[slot].publish(0);
  std::size_t more = further_slots(slots_[slot].first.name_length);
  for (std::uint32_t part = slot;; --more) {
    free_.give_back(part);
    if (more == 0) return;
    part = slots_[part].next;
  }
}

std::optional<FlowLabel> FlowLabels::find(const base::FiveTuple& tuple) const {
  std::uint32_t hash = hash_of(Key::of(tuple), seed_);
  std::lock_guard lock(mutex_);
  auto slot = slot_of(tuple, hash);
  return slot ? decode(*slot) : std::nullopt;
}

std::optional<std::uint32_t> FlowLabels::slot_of(const base::FiveTuple& tuple, std::uint32_t hash) const {
  return index_.find(hash, [&, key = Key::of(tuple)](std::uint32_t slot) { return slots_[slot].first.key == key; });
}

void FlowLabels::for_each(const std::function<void(const FlowLabel&)>& visitor) const {
  for (std::uint32_t slot = 0; slot < count_; ++slot) {
    std::optional<FlowLabel> label;
    {
      std::lock_guard lock(mutex_);
      slot = free_.next_taken(slot);
      if (slot < count_ && slots_[slot].load() == labelled) label = decode(slot);
    }
    if (label) visitor(*label);
  }
}

std::size_t FlowLabels::size() const {
  std::lock_guard lock(mutex_);
  return index_.size();
}

FreeSlots::FreeSlots(std::uint32_t slots)
    : words_((slots + 63) / 64), summary_((words_.size() + 63) / 64), slots_(slots), count_(0) {
  for (std::uint32_t slot = 0; slot < slots; ++slot) give_back(slot);
}

std::optional<std::uint32_t> FreeSlots::take() {
  for (std::size_t at = 0; at < summary_.size(); ++at) {
    if (summary_[at] == 0) continue;
    std::size_t word = at * 64 + static_cast<std::size_t>(std::countr_zero(summary_[at]));
    auto slot = static_cast<std::uint32_t>(word * 64 + static_cast<std::size_t>(std::countr_zero(words_[word])));
    take(slot);
    return slot;
  }
  return std::nullopt;
}

void FreeSlots::take(std::uint32_t slot) {
  words_[slot / 64] &= ~(std::uint64_t{1} << slot % 64);
  if (words_[slot / 64] == 0) summary_[slot / 4096] &= ~(std::uint64_t{1} << slot / 64 % 64);
  --count_;
}

void FreeSlots::give_back(std::uint32_t slot) {
  words_[slot / 64] |= std::uint64_t{1} << slot % 64;
  summary_[slot / 4096] |= std::uint64_t{1} << slot / 64 % 64;
  ++count_;
}

std::uint32_t FreeSlots::next_taken(std::uint32_t slot) const {
  while (slot < slots_ && is_free(slot)) {
    bool whole_word = slot % 64 == 0 && words_[slot / 64] == ~std::uint64_t{0};
    slot += whole_word ? 64 : 1;
  }
  return std::min(slot, slots_);
}

void SlotIndex::insert(std::uint32_t hash, std::uint32_t slot) {
  if ((size_ + 1) * 4 > cells_.size() * 3) grow();
  put({slot, hash});
  ++size_;
}

void SlotIndex::put(Cell cell) {
  std::size_t at = cell.hash & mask();
  while (cells_[at].slot != none) at = (at + 1) & mask();
  cells_[at] = cell;
}

void SlotIndex::grow() {
  std::vector<Cell> old(std::max<std::size_t>(256, cells_.size() * 2));
  old.swap(cells_);
  for (const Cell& cell : old)
    if (cell.slot != none) put(cell);
}

// The hole is filled with the next cell that may lie there, until none does: no tombstones.
void SlotIndex::erase(std::uint32_t hash, std::uint32_t slot) {
  std::size_t hole = hash & mask();
  while (cells_[hole].slot != slot) hole = (hole + 1) & mask();
  for (std::size_t at = (hole + 1) & mask(); cells_[at].slot != none; at = (at + 1) & mask()) {
    std::size_t home = cells_[at].hash & mask();
    bool may_move = ((at - home) & mask()) >= ((at - hole) & mask());
    if (!may_move) continue;
    cells_[hole] = cells_[at];
    hole = at;
  }
  cells_[hole] = {};
  --size_;
}

}  // namespace sluiced
