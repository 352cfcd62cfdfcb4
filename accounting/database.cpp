#include "accounting/database.hpp"

#include <cerrno>
#include <cstring>

namespace accounting {

Statement::Step Statement::step() {
  if (!statement_) return Step::failed;
  switch (sqlite3_step(statement_.get())) {
    case SQLITE_ROW:
      return Step::row;
    case SQLITE_DONE:
      return Step::done;
    default:
      return Step::failed;
  }
}

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

base::Result<Database> Database::open(const std::string& path) {
  sqlite3* connection = nullptr;
  int code = sqlite3_open_v2(path.c_str(), &connection,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                             nullptr);
  Database database;
  database.connection_.reset(connection);
  if (code == SQLITE_OK) return database;
  return base::environment_error(connection != nullptr ? database.error().message : "out of memory");
}

Statement Database::prepare(std::string_view sql) {
  sqlite3_stmt* made = nullptr;
  sqlite3_prepare_v2(connection_.get(), sql.data(), static_cast<int>(sql.size()), &made, nullptr);
  Statement statement;
  statement.statement_.reset(made);
  return statement;
}

bool Database::execute(const char* sql) {
  return sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK;
}

std::int64_t Database::integer(const char* sql) {
  Statement statement = prepare(sql);
  return statement.step() == Statement::Step::row ? statement.integer(0) : 0;
}

bool Database::has_moved() {
  int moved = 0;
  sqlite3_file_control(connection_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  return moved != 0;
}

StoreError Database::error() const {
  int code = sqlite3_errcode(connection_.get()), system = sqlite3_system_errno(connection_.get());
  if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return kept_;
  StoreError error{Damage::environment, sqlite3_errmsg(connection_.get())};
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:       // the SQL is ours and right, so what it names is not in this file
    case SQLITE_CONSTRAINT:  // a row that an index denied is there
      error.damage = Damage::corrupt;
      break;
    case SQLITE_FULL:
    case SQLITE_BUSY:
      error.damage = Damage::full;
      break;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      if (system == ENOSPC || system == EDQUOT) error.damage = Damage::full;
      if (system != 0) error.message += std::string(" (") + std::strerror(system) + ")";
      break;
    default:
      break;
  }
  return error;
}

// A full disk has rolled it back already; asking again would be an error that hides the first one.
void Database::roll_back() {
  kept_ = error();
  if (sqlite3_get_autocommit(connection_.get()) == 0) execute("ROLLBACK");
}

bool Transaction::commit() {
  if (!open_ || !database_.execute("COMMIT")) return false;
  open_ = false;
  return true;
}

}  // namespace accounting
