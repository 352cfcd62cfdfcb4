// The table against a slow twin, across attachments, and over files that were torn, damaged or never ours.
#include "daemon/flow_labels.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>

namespace sluiced {
namespace {

using base::sys::UniqueFd;

constexpr std::size_t slot_size = 128;

// A name of this length, different for different numbers.
std::optional<base::DomainName> name_of(unsigned number, std::size_t length) {
  std::string text = "n" + std::to_string(number) + ".";
  while (text.size() < length) text += text.size() % 50 == 49 && text.size() + 1 < length ? '.' : 'x';
  return base::DomainName::parse(text.substr(0, std::max(length, text.size() - 1)));
}

base::FiveTuple tuple_of(unsigned number) {
  auto port = static_cast<std::uint16_t>(number), high = static_cast<std::uint16_t>(number >> 16);
  bool v6 = number % 3 == 0;
  auto protocol = number % 2 ? base::IpProtocol::tcp : base::IpProtocol::udp;
  auto client = base::IpAddress::parse((v6 ? "fd01::" : "10.1.0.") + std::to_string(high % 250));
  auto origin = base::IpAddress::parse(v6 ? "2001:db8::1" : "192.0.2.1");
  return {protocol, {*client, port}, {*origin, 443}};
}

// All of a label follows from its number and a version: whoever sees half of one sees a wrong one.
FlowLabel label_of(unsigned number, unsigned version = 0) {
  std::mt19937 random(number * 31 + version);
  FlowLabel label;
  label.tuple = tuple_of(number);
  label.lan = static_cast<std::uint8_t>(random());
  label.ech_offered = random() % 2 != 0;
  label.tls = random() % 2 != 0;
  if (random() % 8 != 0) label.name = name_of(number, random() % 4 ? 12 + random() % 30 : 12 + random() % 242);
  label.began = base::WallTime(std::chrono::milliseconds(1'700'000'000'000 + random()));
  return label;
}

struct Table {
  explicit Table(std::uint32_t slots) {
    auto created = FlowLabels::create(slots);
    EXPECT_TRUE(created) << created.error().message;
    file = std::move(*created);
    attach();
  }
  // As a gateway that was started again.
  void attach() {
    labels.reset();
    auto attached = FlowLabels::attach(file.get());
    ASSERT_TRUE(attached) << attached.error().message;
    labels = std::move(*attached);
  }
  std::map<base::FiveTuple, FlowLabel> all() const {
    std::map<base::FiveTuple, FlowLabel> found;
    labels->for_each([&](const FlowLabel& label) {
      EXPECT_TRUE(found.emplace(label.tuple, label).second) << "told twice";
      EXPECT_EQ(labels->find(label.tuple), label);  // the visitor may call
    });
    EXPECT_EQ(found.size(), labels->size());
    return found;
  }
  std::uint8_t byte(std::size_t at) const {
    std::uint8_t value = 0;
    EXPECT_EQ(pread(file.get(), &value, 1, static_cast<off_t>(at)), 1);
    return value;
  }
  void set_byte(std::size_t at, std::uint8_t value) const {
    EXPECT_EQ(pwrite(file.get(), &value, 1, static_cast<off_t>(at)), 1);
  }

  UniqueFd file;
  std::unique_ptr<FlowLabels> labels;
};

TEST(FlowLabels, DoesWhatItsTwinDoesAndIsTheSameAfterEachAttachment) {
  std::mt19937 random(1);
  Table table(4096);
  std::map<base::FiveTuple, FlowLabel> twin;
  for (int step = 0; step < 20000; ++step) {
    auto number = static_cast<unsigned>(random() % 2000);
    switch (random() % 8) {
      case 0:
      case 1:
      case 2:
      case 3: {
        FlowLabel label = label_of(number, static_cast<unsigned>(step));
        ASSERT_TRUE(table.labels->add(label));
        twin.insert_or_assign(label.tuple, label);
        break;
      }
      case 4:
      case 5:
        ASSERT_EQ(table.labels->remove(tuple_of(number)), twin.erase(tuple_of(number)) == 1);
        break;
      default: {
        auto expected = twin.find(tuple_of(number));
        auto found = table.labels->find(tuple_of(number));
        ASSERT_EQ(found.has_value(), expected != twin.end());
        if (found) {
          ASSERT_EQ(*found, expected->second);
        }
      }
    }
    ASSERT_EQ(table.labels->size(), twin.size());
    if (step % 5000 != 4999) continue;
    ASSERT_EQ(table.all(), twin);
    table.attach();
    ASSERT_EQ(table.labels->dropped(), 0u);
    ASSERT_EQ(table.all(), twin);
  }
}

TEST(FlowLabels, NamesOfEveryLengthSurviveAnAttachment) {
  Table table(1024);
  std::map<base::FiveTuple, FlowLabel> expected;
  for (std::size_t length = 1; length <= 253; ++length) {
    FlowLabel label = label_of(static_cast<unsigned>(length));
    label.name =
        length < 8 ? base::DomainName::parse(std::string(length, 'a')) : name_of(static_cast<unsigned>(length), length);
    ASSERT_TRUE(label.name);
    ASSERT_EQ(label.name->text().size(), length);
    ASSERT_TRUE(table.labels->add(label));
    expected.emplace(label.tuple, label);
  }
  EXPECT_EQ(table.all(), expected);
  table.attach();
  EXPECT_EQ(table.labels->dropped(), 0u);
  EXPECT_EQ(table.all(), expected);
}

TEST(FlowLabels, AFullTableSaysSoAndEverySlotComesBack) {
  Table table(100);
  for (int round = 0; round < 3; ++round) {
    FlowLabel longest = label_of(1);
    longest.name = name_of(1, 253);  // three slots
    for (unsigned i = 0; i < 33; ++i) {
      longest.tuple = tuple_of(i);
      ASSERT_TRUE(table.labels->add(longest));
    }
    longest.tuple = tuple_of(99);
    EXPECT_FALSE(table.labels->add(longest));
    FlowLabel nameless = label_of(98);
    nameless.name.reset();
    EXPECT_TRUE(table.labels->add(nameless));
    nameless.tuple = tuple_of(97);
    EXPECT_FALSE(table.labels->add(nameless));
    EXPECT_EQ(table.labels->size(), 34u);
    if (round == 1) table.attach();
    for (const auto& [tuple, label] : table.all()) EXPECT_TRUE(table.labels->remove(tuple));
    EXPECT_EQ(table.labels->size(), 0u);
  }
}

TEST(FlowLabels, ALabelThatNoLongerFitsIsGoneAndNotHalfThere) {
  Table table(2);
  FlowLabel label = label_of(1);
  label.name = name_of(1, 100);
  ASSERT_TRUE(table.labels->add(label));
  label.name = name_of(1, 253);
  EXPECT_FALSE(table.labels->add(label));
  EXPECT_FALSE(table.labels->find(label.tuple));
  table.attach();
  EXPECT_EQ(table.labels->size(), 0u);
}

TEST(FlowLabels, UsesTheLowestSlotsAndAttachingTouchesNoHole) {
  Table table(FlowLabels::default_slots);
  FlowLabel label = label_of(1);
  label.name = name_of(1, 20);
  for (unsigned i = 0; i < 1000; ++i) {
    label.tuple = tuple_of(i);
    ASSERT_TRUE(table.labels->add(label));
  }
  for (unsigned i = 0; i < 500; ++i) ASSERT_TRUE(table.labels->remove(tuple_of(i)));
  for (unsigned i = 0; i < 500; ++i) {
    label.tuple = tuple_of(5000 + i);
    ASSERT_TRUE(table.labels->add(label));
  }
  table.attach();
  EXPECT_EQ(table.labels->size(), 1000u);
  struct stat status;
  ASSERT_EQ(fstat(table.file.get(), &status), 0);
  EXPECT_LE(status.st_blocks * 512, static_cast<blkcnt_t>(1000 * slot_size + 8192));
}

// Kill after kill at any moment: what is there afterwards is whole.
TEST(FlowLabels, AKilledWriterLeavesNoHalfLabel) {
  Table table(512);
  std::mt19937 random(2);
  std::size_t seen = 0;
  for (int round = 0; round < 20; ++round) {
    table.labels.reset();
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    pid_t writer = fork();
    if (writer == 0) {
      auto mine = FlowLabels::attach(table.file.get());
      if (!mine || write(ready[1], "", 1) != 1) _exit(1);
      std::mt19937 choice(static_cast<unsigned>(round));
      for (;;) {
        auto number = static_cast<unsigned>(choice() % 400);
        if (choice() % 3 == 0)
          (*mine)->remove(tuple_of(number));
        else
          (*mine)->add(label_of(number, static_cast<unsigned>(choice() % 4)));
      }
    }
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    std::this_thread::sleep_for(std::chrono::microseconds(1000 + random() % 3000));
    kill(writer, SIGKILL);
    waitpid(writer, nullptr, 0);
    close(ready[0]);
    close(ready[1]);
    table.attach();
    EXPECT_EQ(table.labels->dropped(), 0u);
    for (const auto& [tuple, label] : table.all()) {
      ++seen;
      unsigned number = tuple.client.port;
      bool whole = false;
      for (unsigned version = 0; version < 4; ++version) whole |= label == label_of(number, version);
      EXPECT_TRUE(whole) << number;
    }
  }
  EXPECT_GT(seen, 500u);
}

// Every octet of a label and of the rest of its name, in turn: the label is dropped and its neighbours stay.
TEST(FlowLabels, ADamagedLabelIsDropped) {
  for (std::size_t at = 0; at < 3 * slot_size; ++at) {
    Table table(16);
    FlowLabel damaged = label_of(1), whole = label_of(2);
    damaged.name = name_of(1, 253);
    whole.name = name_of(2, 100);
    ASSERT_TRUE(table.labels->add(damaged));
    ASSERT_TRUE(table.labels->add(whole));
    table.set_byte(at, table.byte(at) ^ 0x41);
    table.attach();
    // Slot 0 is the label's first, its name goes on in 2 and ends in 1: the states of these two and what follows the
    // last mean nothing.
    bool means_nothing = (at >= 128 && at < 136) || (at >= 256 && at < 260);
    auto left = table.all();
    EXPECT_EQ(left.contains(damaged.tuple), means_nothing) << at;
    EXPECT_TRUE(left.contains(whole.tuple)) << at;
    EXPECT_EQ(left.size(), means_nothing ? 2u : 1u) << at;
    // And its slots are free again.
    EXPECT_TRUE(table.labels->add(damaged));
    EXPECT_EQ(table.labels->find(damaged.tuple), damaged);
  }
}

TEST(FlowLabels, ASlotThatLiesElsewhereOrIsThereTwiceIsNotBelieved) {
  Table table(64);
  FlowLabel label = label_of(1);
  label.name = name_of(1, 20);
  ASSERT_TRUE(table.labels->add(label));
  for (std::size_t at = 0; at < slot_size; ++at) table.set_byte(5 * slot_size + at, table.byte(at));
  table.attach();
  EXPECT_EQ(table.labels->dropped(), 1u);
  EXPECT_EQ(table.labels->size(), 1u);
  EXPECT_EQ(table.labels->find(label.tuple), label);
}

TEST(FlowLabels, GarbageIsNotBelievedAndDoesNoHarm) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    Table table(512);
    ASSERT_TRUE(table.labels->add(label_of(1)));
    std::string noise(512 * slot_size, '\0');
    for (char& byte : noise) byte = static_cast<char>(random());
    // Half of the slots claim to be labels, and some have chains that lead somewhere.
    for (std::size_t slot = 0; slot < 512; slot += 2) noise.replace(slot * slot_size, 4, "lbal");
    for (std::size_t slot = 0; slot < 512; ++slot)
      if (random() % 2)
        noise.replace(slot * slot_size + 4, 4,
                      std::string{static_cast<char>(random()), static_cast<char>(random() % 2), 0, 0});
    ASSERT_EQ(pwrite(table.file.get(), noise.data(), noise.size(), 0), static_cast<ssize_t>(noise.size()));
    table.attach();
    EXPECT_EQ(table.labels->size(), 0u);
    EXPECT_EQ(table.labels->dropped(), 256u);
    for (unsigned i = 0; i < 170; ++i) ASSERT_TRUE(table.labels->add(label_of(i)));  // three slots at most
    table.attach();
    EXPECT_EQ(table.labels->size(), 170u);
    EXPECT_EQ(table.labels->dropped(), 0u);
  }
}

TEST(FlowLabels, FilesOfImpossibleSizeAreRefused) {
  UniqueFd empty(memfd_create("empty", MFD_CLOEXEC));
  EXPECT_FALSE(FlowLabels::attach(empty.get()));
  ASSERT_EQ(ftruncate(empty.get(), 127), 0);
  EXPECT_FALSE(FlowLabels::attach(empty.get()));
  ASSERT_EQ(ftruncate(empty.get(), 129), 0);
  auto one = FlowLabels::attach(empty.get());
  ASSERT_TRUE(one);
  FlowLabel label = label_of(1);
  label.name.reset();
  EXPECT_TRUE((*one)->add(label));
  EXPECT_FALSE((*one)->add(label_of(2)));
  EXPECT_FALSE(FlowLabels::attach(-1));
}

TEST(FlowLabels, WorkersAddWhileAnotherSweeps) {
  Table table(20000);
  std::vector<std::thread> workers;
  for (unsigned worker = 0; worker < 3; ++worker)
    workers.emplace_back([&, worker] {
      for (unsigned i = 0; i < 1000; ++i) EXPECT_TRUE(table.labels->add(label_of(worker * 1000 + i)));
    });
  for (int sweep = 0; sweep < 5; ++sweep)
    table.labels->for_each([&](const FlowLabel& label) {
      if (label.tuple.client.port % 2) table.labels->remove(label.tuple);
    });
  for (std::thread& worker : workers) worker.join();
  table.labels->for_each([&](const FlowLabel& label) {
    if (label.tuple.client.port % 2) table.labels->remove(label.tuple);
  });
  auto left = table.all();
  EXPECT_EQ(left.size(), 1500u);
  for (const auto& [tuple, label] : left) EXPECT_EQ(label, label_of(tuple.client.port));
}

TEST(FlowLabelsFile, OutlivesEverybodyAndIsBegunAnewForAnotherSize) {
  std::string path = testing::TempDir() + "/labels-" + std::to_string(getpid());
  FlowLabel label;
  label.tuple = {base::IpProtocol::udp, *base::Endpoint::parse("10.20.0.2:4711"),
                 *base::Endpoint::parse("10.99.0.2:443")};
  label.name = base::DomainName::parse("www.example.org");
  {
    auto file = FlowLabels::open(path, 64);
    ASSERT_TRUE(file) << file.error().message;
    auto labels = FlowLabels::attach(file->get());
    ASSERT_TRUE(labels) << labels.error().message;
    EXPECT_TRUE((*labels)->add(label));
  }
  auto again = FlowLabels::open(path, 64);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ((*FlowLabels::attach(again->get()))->find(label.tuple), label);
  auto larger = FlowLabels::open(path, 128);
  ASSERT_TRUE(larger) << larger.error().message;
  EXPECT_EQ((*FlowLabels::attach(larger->get()))->size(), 0u);
  unlink(path.c_str());
  EXPECT_FALSE(FlowLabels::open("/nowhere/labels", 64));
}

}  // namespace
}  // namespace sluiced
