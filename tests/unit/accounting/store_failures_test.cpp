// What can go wrong with the store's file, its disk and the clock.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "accounting/schema.hpp"
#include "tests/unit/accounting/store_fixture.hpp"

namespace accounting {
namespace {

using namespace testing;

std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  return all;
}

class StoreFailures : public StoreTest {
 protected:
  // A store with something in it, closed.
  void fill() {
    Store store(settings_, {});
    for (int i = 0; i < 200; ++i) add(store, ten + i * 60, {use("u" + std::to_string(i), "d", "h.test", 1, 1)});
    flush(store, ten + 200 * 60);
    ASSERT_EQ(store.trouble(), "");
  }
  void write(const std::string& text) { std::ofstream(path(), std::ios::binary) << text; }
  // The file is moved aside with its bytes, a new one counts.
  void expect_moved_aside(const std::string& reason) {
    Store store(settings_, {});
    add(store, ten, {use("jane", "t", "", 5, 6)});
    flush(store, ten);
    EXPECT_EQ(store.trouble(), "");
    EXPECT_EQ(total(store), 11u);
    auto aside = files_like("corrupt-20261126T100000Z");
    std::erase_if(aside, [](const std::string& name) { return name.ends_with("-wal"); });
    ASSERT_EQ(aside.size(), 1u);
    std::string news = joined(store.take_news());
    EXPECT_NE(news.find(reason), news.npos) << news;
    EXPECT_NE(news.find(aside[0]), news.npos) << news;
    EXPECT_EQ(Store(settings_, {}).usage({})->total.traffic.up, 5u);
  }
};

TEST_F(StoreFailures, GarbageIsMovedAside) {
  std::string garbage(100'000, 'x');
  write(garbage);
  expect_moved_aside("not a database");
  EXPECT_TRUE(bytes(files_like("corrupt")[0]) == garbage);
}

TEST_F(StoreFailures, AFileCutShortIsMovedAside) {
  fill();
  std::filesystem::resize_file(path(), std::filesystem::file_size(path()) / 2 + 100);
  expect_moved_aside("malformed");
}

TEST_F(StoreFailures, DamageInTheMiddleIsMovedAsideWhenItIsMet) {
  fill();
  std::string whole = bytes("usage.db");
  for (std::size_t at = 4096 * 2; at + 16 < whole.size(); at += 4096) whole.replace(at, 16, std::string(16, '\xff'));
  write(whole);
  expect_moved_aside("malformed");
}

// A question is the first to meet it: the next write moves the file aside.
TEST_F(StoreFailures, DamageThatAQuestionMeetsIsDealtWithByTheNextWrite) {
  fill();
  Store store(settings_, {});
  flush(store, ten);
  std::string whole = bytes("usage.db");
  store = Store(settings_, {});
  for (std::size_t at = 4096 * 2; at + 16 < whole.size(); at += 4096) whole.replace(at, 16, std::string(16, '\xff'));
  write(whole);
  store.usage({By::host});
  EXPECT_NE(store.trouble(), "");
  flush(store, ten + 60);
  EXPECT_EQ(store.trouble(), "");
  EXPECT_EQ(total(store), 0u);
  EXPECT_FALSE(files_like("corrupt").empty());
}

TEST_F(StoreFailures, AnotherProgramsDatabaseIsMovedAside) {
  auto database = Database::open(path());
  ASSERT_TRUE(database && database->execute("CREATE TABLE total(x); INSERT INTO total VALUES(1)"));
  database->close();
  expect_moved_aside("another program's");
}

TEST_F(StoreFailures, TablesThatAreNotOursAreMovedAside) {
  auto database = Database::open(path());
  ASSERT_TRUE(database && database->execute("CREATE TABLE total(x); PRAGMA user_version = 1"));
  database->close();
  expect_moved_aside("no such table");
}

TEST_F(StoreFailures, ANewerVersionIsMovedAside) {
  fill();
  auto database = Database::open(path());
  ASSERT_TRUE(database && database->execute("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)"));
  database->close();
  expect_moved_aside("version 99");
}

TEST_F(StoreFailures, OnlyTheLastTwoFilesAreKeptAside) {
  Store store(settings_, {});
  for (int i = 0; i < 5; ++i) {
    store = Store(settings_, {});
    write("garbage that is no database at all" + std::string(5000, '.'));
    flush(store, ten + i);
  }
  auto aside = files_like("corrupt");
  std::sort(aside.begin(), aside.end());
  EXPECT_EQ(aside,
            (std::vector<std::string>{"usage.db.corrupt-20261126T100003Z", "usage.db.corrupt-20261126T100004Z"}));
}

TEST_F(StoreFailures, AFolderThatIsNotThereIsTroubleSaidOnceAndNothingIsLost) {
  settings_.path = path("missing/usage.db");
  Store store(settings_, {});
  for (int i = 0; i < 3; ++i) {
    add(store, ten + i * 60, {use("jane", "t", "", 1, 1)});
    flush(store, ten + i * 60);
  }
  EXPECT_NE(store.trouble().find("unable to open"), std::string::npos) << store.trouble();
  EXPECT_EQ(store.take_news().size(), 1u);
  EXPECT_EQ(total(store), 6u);
  std::filesystem::create_directory(path("missing"));
  flush(store, ten + 300);
  EXPECT_EQ(store.trouble(), "");
  EXPECT_EQ(store.take_news().size(), 1u);
  EXPECT_TRUE(store.ledger().empty());
  EXPECT_EQ(total(store), 6u);
}

TEST_F(StoreFailures, AFileThatIsRemovedUnderUsIsBegunAnew) {
  Store store(settings_, {});
  add(store, ten, {use("jane", "t", "", 1, 1)});
  flush(store, ten);
  std::filesystem::rename(path(), path("elsewhere"));
  add(store, ten + 60, {use("jane", "t", "", 3, 3)});
  flush(store, ten + 60);
  EXPECT_EQ(store.trouble(), "");
  EXPECT_TRUE(std::filesystem::exists(path()));
  EXPECT_EQ(total(store), 6u);
}

// A full disk for real: a small tmpfs in a mount namespace of its own.
TEST_F(StoreFailures, AFullDiskKeepsCountsInMemoryUntilThereIsRoom) {
  pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", folder_.c_str(), "tmpfs", 0, "size=1m") != 0)
      ::_exit(77);
    Store store(settings_, {});
    add(store, ten, {use("before", "t", "old.test", 500, 500)});
    flush(store, ten);
    auto check = [&, step = 0](bool good) mutable {
      ++step;
      if (!good) ::_exit(step);
    };
    check(store.trouble().empty());
    {
      std::ofstream filler(path("filler"), std::ios::binary);
      std::string block(4096, 'f');
      while (filler.write(block.data(), 4096).flush()) {
      }
    }
    store.take_news();
    std::uint64_t sum = 1000;
    for (int i = 1; i <= 40; ++i) {
      std::vector<Usage> usages;
      for (int user = 0; user < 20; ++user) usages.push_back(use("u" + std::to_string(user), "t", "", 1, 1));
      add(store, ten + i * 60, usages);
      sum += 40;
      flush(store, ten + i * 60);
    }
    check(store.trouble().find("full") != std::string::npos ||
          store.trouble().find("No space left") != std::string::npos);  // 2
    check(store.take_news().size() == 1);                               // 3: said once
    check(total(store) == sum);                                         // 4: with what the file has
    check(of(store, By::user, "before") == (Traffic{500, 500}));        // 5
    std::filesystem::remove(path("filler"));
    flush(store, ten + 400 * 60);
    check(store.trouble().empty());  // 6
    check(store.ledger().empty());   // 7
    check(total(store) == sum);      // 8
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no right to mount";
  EXPECT_EQ(WEXITSTATUS(status), 0) << "the check of that number failed";
}

// Killed at a random moment while it writes as fast as it can: what it said to be written is there, nothing is twice.
TEST_F(StoreFailures, KilledInTheMiddleOfAWriteLosesAtMostThat) {
  std::mt19937 random(7);
  std::uint64_t known = 0;
  for (int round = 0; round < 15; ++round) {
    int pipes[2];
    ASSERT_EQ(::pipe(pipes), 0);
    pid_t child = ::fork();
    if (child == 0) {
      Store store(settings_, {});
      for (int i = 0;; ++i) {
        std::vector<Usage> usages;
        for (int user = 0; user < 50; ++user)
          usages.push_back(use("u" + std::to_string(user), "t", std::to_string(i * 7 + user) + ".test", 1, 1));
        add(store, ten + i, usages);
        flush(store, ten + i);
        char done = store.trouble().empty() ? 'y' : 'n';
        if (::write(pipes[1], &done, 1) != 1) ::_exit(1);
      }
    }
    ::close(pipes[1]);
    ::usleep(static_cast<useconds_t>(20'000 + random() % 150'000));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    std::uint64_t said = 0;
    for (char done; ::read(pipes[0], &done, 1) == 1; ++said) ASSERT_EQ(done, 'y');
    ::close(pipes[0]);
    Store store(settings_, {});
    flush(store, ten + 100'000);
    EXPECT_TRUE(store.take_news().empty());
    std::uint64_t now = total(store);
    EXPECT_EQ(now % 100, 0u);  // whole writes
    EXPECT_GE(now, known + said * 100);
    EXPECT_LE(now, known + (said + 1) * 100);
    known = now;
  }
  EXPECT_GT(known, 0u);
}

TEST_F(StoreFailures, AClockThatJumpsLosesNothing) {
  Store store(settings_, {});
  std::uint64_t uptime = 0;
  auto batch = [&](Seconds time) {
    add(store, time, {use("jane", "t", "h.test", 1, 0)});
    store.flush(at(time), base::Monotonic(std::chrono::seconds(uptime += 60)));
    EXPECT_EQ(store.trouble(), "");
  };
  constexpr Seconds ten_years = 3653 * 86400;
  for (int day = 40; day > 0; --day) batch(ten - day * 86400);
  uptime = 0;
  batch(ten);
  batch(ten - 86400);                                            // a day back
  for (int i = 0; i < 60; ++i) batch(ten + ten_years + i * 60);  // an hour in 2036
  batch(ten + 120);
  batch(ever / 4000);  // and times that no calendar has
  batch(open_end / 4000);
  EXPECT_EQ(of(store, By::day, "2026-11-26"), (Traffic{2, 0}));
  EXPECT_EQ(of(store, By::day, "2026-11-25"), (Traffic{2, 0}));
  EXPECT_EQ(of(store, By::day, "2036-11-26"), (Traffic{60, 0}));
  EXPECT_EQ(total(store), 40 + 2 + 60 + 1 + 2u);
  // Hours of weeks ago outlived the hour in 2036; so did the minutes of today.
  EXPECT_EQ(store.usage({By::user, ten - 20 * 86400, ten - 20 * 86400 + 3600})->total.traffic.up, 1u);
  auto minute = store.usage({By::user, ten, ten + 60});
  EXPECT_EQ(minute->since, ten);
  EXPECT_EQ(minute->total.traffic.up, 1u);
  // Days later everything is as if nothing had been.
  for (int day = 1; day < 50; ++day) {
    uptime += 86400;
    batch(ten + day * 86400);
  }
  EXPECT_EQ(of(store, By::day, "2026-11-26"), (Traffic{2, 0}));
  EXPECT_EQ(store.usage({By::user, ten, ten + 60})->since, ten - 10 * 3600);
}

// --- versions

// A file of the first version as it was written, word for word: it must stay readable for ever.
constexpr const char* version_1 = R"(
PRAGMA user_version = 1;
CREATE TABLE who(id INTEGER PRIMARY KEY, user TEXT NOT NULL, device TEXT NOT NULL, client TEXT NOT NULL,
  grp TEXT NOT NULL, UNIQUE(user, device, client, grp));
CREATE TABLE what(id INTEGER PRIMARY KEY, categories TEXT NOT NULL, host TEXT NOT NULL, action TEXT NOT NULL,
  UNIQUE(host, categories, action));
CREATE TABLE name(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE total(level INTEGER NOT NULL, start INTEGER NOT NULL, who INTEGER NOT NULL, up INTEGER NOT NULL,
  down INTEGER NOT NULL, packets_up INTEGER NOT NULL, packets_down INTEGER NOT NULL,
  PRIMARY KEY(level, start, who)) WITHOUT ROWID;
CREATE TABLE detail(level INTEGER NOT NULL, start INTEGER NOT NULL, who INTEGER NOT NULL, what INTEGER NOT NULL,
  up INTEGER NOT NULL, down INTEGER NOT NULL, PRIMARY KEY(level, start, who, what)) WITHOUT ROWID;
CREATE TABLE active_hour(start INTEGER NOT NULL, kind INTEGER NOT NULL, id INTEGER NOT NULL, mask INTEGER NOT NULL,
  PRIMARY KEY(start, kind, id)) WITHOUT ROWID;
CREATE TABLE active(level INTEGER NOT NULL, start INTEGER NOT NULL, kind INTEGER NOT NULL, id INTEGER NOT NULL,
  minutes INTEGER NOT NULL, PRIMARY KEY(level, start, kind, id)) WITHOUT ROWID;
CREATE TABLE interface(level INTEGER NOT NULL, start INTEGER NOT NULL, name INTEGER NOT NULL, up INTEGER NOT NULL,
  down INTEGER NOT NULL, packets_up INTEGER NOT NULL, packets_down INTEGER NOT NULL,
  PRIMARY KEY(level, start, name)) WITHOUT ROWID;
CREATE TABLE state(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO who VALUES(1, 'jane', 'tablet', '', 'students');
INSERT INTO what VALUES(1, 'games', 'a.test', 'allow');
INSERT INTO name VALUES(1, 'jane'), (2, 'br-lan');
INSERT INTO total VALUES(0, 1795687200, 1, 10, 20, 1, 2), (1, 1795687200, 1, 10, 20, 1, 2),
  (2, 1795651200, 1, 10, 20, 1, 2), (3, 1793491200, 1, 10, 20, 1, 2);
INSERT INTO detail VALUES(1, 1795687200, 1, 1, 10, 20), (2, 1795651200, 1, 1, 10, 20), (3, 1793491200, 1, 1, 10, 20);
INSERT INTO active_hour VALUES(1795687200, 2, 1, 1);
INSERT INTO active VALUES(2, 1795651200, 2, 1, 1), (3, 1793491200, 2, 1, 1);
INSERT INTO interface VALUES(0, 1795687200, 2, 40, 0, 1, 1), (1, 1795687200, 2, 40, 0, 1, 1),
  (2, 1795651200, 2, 40, 0, 1, 1), (3, 1793491200, 2, 40, 0, 1, 1);
)";

TEST_F(StoreFailures, AFileOfTheFirstVersionIsReadAndWrittenOn) {
  auto database = Database::open(path());
  ASSERT_TRUE(database && database->execute(version_1));
  database->close();
  Store store(settings_, {});
  add(store, ten + 60, {use("jane", "tablet", "a.test", 1, 1, "games", "students")});
  flush(store, ten + 60);
  EXPECT_TRUE(store.take_news().empty());
  EXPECT_EQ(of(store, By::user, "jane"), (Traffic{11, 21}));
  EXPECT_EQ(of(store, By::category, "games", ten, ten + 3600), (Traffic{11, 21}));
  EXPECT_EQ(of(store, By::user, "jane", ten, ten + 60), (Traffic{10, 20}));
  auto report = store.usage({By::user});
  EXPECT_EQ(report->rows[0].minutes, 2u);
  EXPECT_EQ(report->residual->bytes, 40 - 32);
}

TEST_F(StoreFailures, StepsThatAFileLacksAreRunAllOrNone) {
  auto database = Database::open(path());
  ASSERT_TRUE(database);
  std::vector<const char*> steps(schema_steps.begin(), schema_steps.end());
  ASSERT_FALSE(migrate(*database, steps));
  ASSERT_TRUE(database->execute("INSERT INTO name(text) VALUES('kept')"));
  steps.push_back("ALTER TABLE name ADD COLUMN note TEXT NOT NULL DEFAULT 'n'");
  steps.push_back("INSERT INTO nowhere VALUES(1)");
  EXPECT_TRUE(migrate(*database, steps));
  EXPECT_EQ(database->integer("PRAGMA user_version"), static_cast<std::int64_t>(schema_steps.size()));
  EXPECT_FALSE(database->prepare("SELECT note FROM name"));
  steps.back() = "UPDATE name SET note = text || '!'";
  EXPECT_FALSE(migrate(*database, steps));
  EXPECT_EQ(database->integer("PRAGMA user_version"), static_cast<std::int64_t>(steps.size()));
  EXPECT_EQ(database->integer("SELECT count(*) FROM name WHERE note = 'kept!'"), 1);
}

}  // namespace
}  // namespace accounting
