// SQLite's C interface with owners: a connection, a prepared statement, a transaction that rolls back unless committed.
// Nothing throws: a step that fails says so and the connection keeps its words.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace accounting {

// What has gone wrong, as far as it decides what happens next.
enum class Damage {
  full,         // the disk, or another who writes: tried again
  environment,  // a read-only disk, a missing right, an I/O error: tried again with a file opened anew
  corrupt,      // the file is not, or no more, what we wrote: moved aside
};

struct StoreError {
  Damage damage = Damage::environment;
  std::string message;
};

class Database;

class Statement {
 public:
  Statement() = default;
  explicit operator bool() const { return statement_ != nullptr; }

  // Binds from the first place on, runs, and is ready for the next.
  template <class... Values>
  bool run(const Values&... values) {
    bind(values...);
    bool done = step() == Step::done;
    reset();
    return done;
  }
  template <class... Values>
  void bind(const Values&... values) {
    reset();
    int place = 0;
    (bind_one(++place, values), ...);
  }
  enum class Step { row, done, failed };
  Step step();
  void reset() { sqlite3_reset(statement_.get()); }
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  std::uint64_t counter(int column) const { return static_cast<std::uint64_t>(integer(column)); }
  std::string text(int column) const;

 private:
  friend class Database;
  void bind_one(int place, std::int64_t value) { sqlite3_bind_int64(statement_.get(), place, value); }
  void bind_one(int place, std::uint64_t value) { bind_one(place, static_cast<std::int64_t>(value)); }
  void bind_one(int place, int value) { bind_one(place, std::int64_t{value}); }
  void bind_one(int place, std::string_view value) {
    sqlite3_bind_text64(statement_.get(), place, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  void bind_one(int place, const std::string& value) { bind_one(place, std::string_view(value)); }

  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Database {
 public:
  Database() = default;
  // ":memory:" for one that is in no file.
  static base::Result<Database> open(const std::string& path);

  explicit operator bool() const { return connection_ != nullptr; }
  Statement prepare(std::string_view sql);
  bool execute(const char* sql);          // any number of statements
  std::int64_t integer(const char* sql);  // of the first row; 0 if there is none
  int changes() const { return sqlite3_changes(connection_.get()); }
  std::int64_t last_id() const { return sqlite3_last_insert_rowid(connection_.get()); }
  bool has_moved();  // the file has another name now, or none
  // Of the last call that failed; a transaction that was rolled back because of it does not make it forgotten.
  StoreError error() const;
  int code() const { return sqlite3_errcode(connection_.get()); }
  void roll_back();
  void close() { connection_.reset(); }

 private:
  struct Close {
    void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
  };
  std::unique_ptr<sqlite3, Close> connection_;
  StoreError kept_;
};

class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database), open_(database.execute("BEGIN IMMEDIATE")) {}
  ~Transaction() {
    if (open_) database_.roll_back();
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  explicit operator bool() const { return open_; }
  bool commit();

 private:
  Database& database_;
  bool open_;
};

}  // namespace accounting
