#include "daemon/list_compiler.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/sys/close_others.hpp"
#include "base/sys/memory_file.hpp"
#include "base/text.hpp"
#include "daemon/log.hpp"
#include "daemon/sandbox.hpp"
#include "rules/list_inputs.hpp"

namespace sluiced {
namespace {

constexpr Account nobody{65534, 65534};    // the compiler's account: it owns nothing and needs none of its own
constexpr unsigned compile_limit_s = 300;  // 5M names take seconds; beyond this something is wrong
constexpr int pipe_size = 1 << 20;
constexpr std::size_t buffer_size = 256 * 1024;

enum { image_pipe, sources_pipe, report_pipe };

std::string reason() {
  return std::strerror(errno);
}

// --- the child's report: of each diagnostic five lines, then what the images were made from

std::string pack(const rules::Diagnostics& diagnostics, std::string_view inputs) {
  std::string text = std::to_string(diagnostics.size()) + "\n";
  for (const rules::Diagnostic& each : diagnostics) {
    text += each.severity == rules::Severity::error ? "error\n" : "warning\n";
    text += std::to_string(each.line) + "\n" + std::to_string(each.column) + "\n";
    for (std::string line : {each.file, each.message}) {
      std::replace(line.begin(), line.end(), '\n', ' ');
      text += line + "\n";
    }
  }
  text += inputs;
  return text + "whole\n";
}

// Read with nothing that could throw: the child may have been taken over.
bool unpack(std::string_view text, rules::Diagnostics& diagnostics, std::string& inputs) {
  if (!text.ends_with("whole\n")) return false;
  text.remove_suffix(6);
  auto next_line = [&] {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return line;
  };
  auto count = base::parse_number(next_line(), 1'000'000);
  if (!count) return false;
  for (std::uint64_t i = 0; i < *count; ++i) {
    if (text.empty()) return false;
    rules::Diagnostic each;
    each.severity = next_line() == "error" ? rules::Severity::error : rules::Severity::warning;
    auto line = base::parse_number(next_line(), 0xffffffff), column = base::parse_number(next_line(), 0xffffffff);
    if (!line || !column) return false;
    each.line = static_cast<std::uint32_t>(*line);
    each.column = static_cast<std::uint32_t>(*column);
    each.file = next_line();
    each.message = next_line();
    diagnostics.push_back(std::move(each));
  }
  inputs = text;
  return true;
}

[[noreturn]] void compile_in_child(const std::vector<rules::ListDeclaration>& lists, const std::array<int, 3>& out) {
  die_with_parent();
  // The supervisor's channels, its lock and the CA's key are nothing for who reads strangers' lists.
  base::sys::close_others({out[0], out[1], out[2], logging::journal_descriptor()});
  signal(SIGPIPE, SIG_DFL);
  alarm(compile_limit_s);
  // Without root it can have no other account than ours, and reads what that may read.
  auto dropped = geteuid() == 0 ? drop_to(nobody, {CAP_DAC_READ_SEARCH}) : drop_to({geteuid(), getegid()}, {});
  if (!dropped) _exit(1);
  rlimit none{0, 0};
  setrlimit(RLIMIT_NPROC, &none);
  std::vector<std::string> paths;
  for (const rules::ListDeclaration& list : lists) paths.push_back(list.path);
  if (auto confined = confine(Confined::compiler, compiler_reach(paths), no_ports); !confined) {
    logging::error("the list compiler: " + confined.error().message);
    _exit(1);
  }
  auto write_all = [](int fd, base::Bytes bytes) {
    while (!bytes.empty()) {
      ssize_t written = ::write(fd, bytes.data(), bytes.size());
      if (written < 0 && errno != EINTR) _exit(1);
      if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  };
  std::int64_t began = std::chrono::nanoseconds(wall_now().time_since_epoch()).count();
  rules::Diagnostics diagnostics;
  auto write_sources = [&](base::Bytes part) {
    write_all(out[sources_pipe], part);
    return base::Result<>(base::Nothing{});
  };
  rules::ListImage image = rules::compile_lists(lists, diagnostics, {.source_map = write_sources});
  write_all(out[image_pipe], image.bytes);
  std::vector<std::string> read;
  for (const rules::ListReport& report : image.reports) read.push_back(report.file);
  write_all(out[report_pipe], base::as_bytes(pack(diagnostics, rules::describe_inputs(lists, read, began))));
  _exit(0);
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) return std::string("killed by signal ") + strsignal(WTERMSIG(status));
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

base::sys::UniqueFd memory_file(const char* name) {
  return base::sys::UniqueFd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

bool seal(int file) {
  return fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
}

}  // namespace

ListCompiler::~ListCompiler() {
  for (Pipe& pipe : pipes_)
    if (pipe.from) loop_.remove(pipe.from.get());
  if (busy() && !reaped_) {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  store_.discard(suffix_);
}

ListCompiler::ListCompiler(Loop& loop, ListStore& store) : loop_(loop), store_(store) {
  loop_.every(std::chrono::seconds(1), [this] { end_if_hung(); });
}

void ListCompiler::end_if_hung() {
  constexpr base::Duration patience = std::chrono::minutes(10);  // millions of names on a small router take one or two
  if (!busy() || reaped_ || monotonic_now() - started_ < patience) return;
  logging::error("the list compiler takes more than 10 minutes and is killed");
  kill(child_, SIGKILL);
}

void ListCompiler::start(const std::vector<rules::ListDeclaration>& lists, Done done) {
  done_ = std::move(done);
  result_ = {};
  reaped_ = false;
  open_pipes_ = 0;
  std::array<base::sys::UniqueFd, 3> ends;
  bool ready = open_files();
  for (std::size_t i = 0; ready && i < pipes_.size(); ++i) {
    int both[2];
    ready = pipe2(both, O_CLOEXEC) == 0;
    if (!ready) break;
    pipes_[i].compiler = this;
    pipes_[i].from.reset(both[0]);
    ends[i].reset(both[1]);
    fcntl(both[0], F_SETFL, O_NONBLOCK);
    fcntl(both[1], F_SETPIPE_SZ, pipe_size);  // else slower
  }
  started_ = monotonic_now();
  child_ = ready ? fork() : -1;
  if (child_ == 0) compile_in_child(lists, {ends[0].get(), ends[1].get(), ends[2].get()});
  if (child_ < 0) {
    fail("the lists could not be compiled: " + reason());
    for (Pipe& pipe : pipes_) pipe.from.reset(), pipe.to.reset();
    store_.discard(std::exchange(suffix_, {}));
    loop_.post([this] { std::exchange(done_, {})(std::move(result_)); });
    return;
  }
  open_pipes_ = pipes_.size();
  for (Pipe& pipe : pipes_) loop_.add(pipe.from.get(), EPOLLIN, &pipe);
}

// Files where they can be written, memory where not.
bool ListCompiler::open_files() {
  pipes_[report_pipe].to = memory_file("sluice-list-report");
  auto files = store_.create();
  if (files) {
    suffix_ = files->suffix;
    pipes_[image_pipe].to = std::move(files->image);
    pipes_[sources_pipe].to = std::move(files->sources);
  } else {
    logging::warning("the compiled lists are kept in memory only: " + files.error().message);
    suffix_.clear();
    pipes_[image_pipe].to = memory_file("sluice-lists");
    pipes_[sources_pipe].to = memory_file("sluice-list-sources");
  }
  return pipes_[report_pipe].to && pipes_[image_pipe].to && pipes_[sources_pipe].to;
}

void ListCompiler::copy(Pipe& pipe) {
  static char buffer[buffer_size];
  ssize_t size = ::read(pipe.from.get(), buffer, sizeof buffer);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size > 0 && write_all(pipe, buffer, static_cast<std::size_t>(size))) return;
  loop_.remove(pipe.from.get());
  pipe.from.reset();
  if (size > 0) {  // nowhere to put it: the child may as well end
    pipe.to.reset();
    if (!reaped_) kill(child_, SIGKILL);
  }
  if (--open_pipes_ == 0) finish();
}

bool ListCompiler::write_all(Pipe& pipe, const char* bytes, std::size_t size) {
  while (size > 0) {
    ssize_t written = ::write(pipe.to.get(), bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && (suffix_.empty() || !to_memory(pipe))) return false;
    if (written <= 0) continue;
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

// The disk is full: what is there of both files goes on in memory.
bool ListCompiler::to_memory(Pipe& pipe) {
  logging::warning("the compiled lists are kept in memory only: write: " + reason());
  auto half = store_.reopen(suffix_);
  std::string suffix = std::exchange(suffix_, {});
  bool moved = static_cast<bool>(half);
  for (auto [each, from] : {std::pair{image_pipe, half ? half->image.get() : -1},
                            std::pair{sources_pipe, half ? half->sources.get() : -1}}) {
    if (!moved) break;
    auto mapped = base::sys::MappedFile::map(from);
    pipes_[each].to = memory_file("sluice-lists");
    moved = mapped && pipes_[each].to &&
            write_all(pipes_[each], reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size());
  }
  store_.discard(suffix);
  return moved && pipe.to;
}

bool ListCompiler::ended(pid_t pid, int status) {
  if (pid != child_ || reaped_) return false;
  reaped_ = true;
  status_ = status;
  return true;
}

void ListCompiler::fail(std::string what) {
  result_.diagnostics.push_back({rules::Severity::error, "", 0, 0, std::move(what)});
}

// All three pipes have ended.
void ListCompiler::finish() {
  if (!reaped_) {
    kill(child_, SIGKILL);  // it is ending already, unless it has been taken over
    waitpid(child_, &status_, 0);
  }
  child_ = -1;
  auto text = base::sys::MappedFile::map(pipes_[report_pipe].to.get());
  bool whole = status_ == 0 && text && unpack(base::as_text(text->bytes()), result_.diagnostics, result_.images.inputs);
  bool written = pipes_[image_pipe].to && pipes_[sources_pipe].to;
  if (!written)
    fail("the lists could not be compiled: there is no room for the result");
  else if (status_ != 0)
    fail("the lists could not be compiled: " + how_it_ended(status_));
  else if (!whole)
    fail("the list compiler's report is damaged");
  if (!rules::has_errors(result_.diagnostics)) {
    if (suffix_.empty()) {
      result_.images.image = std::move(pipes_[image_pipe].to);
      result_.images.sources = std::move(pipes_[sources_pipe].to);
      if (!seal(result_.images.image.get()) || !seal(result_.images.sources.get())) fail("F_ADD_SEALS: " + reason());
    } else if (auto images = store_.reopen(suffix_)) {
      images->inputs = std::move(result_.images.inputs);
      result_.images = std::move(*images);
      suffix_.clear();  // theirs now
    } else {
      fail(images.error().message);
    }
  }
  if (rules::has_errors(result_.diagnostics)) result_.images = {};
  store_.discard(std::exchange(suffix_, {}));
  for (Pipe& pipe : pipes_) pipe.to.reset();
  std::exchange(done_, {})(std::move(result_));
}

CompiledLists compile_and_wait(const std::vector<rules::ListDeclaration>& lists, ListStore& store) {
  Loop loop;
  ListCompiler compiler(loop, store);
  CompiledLists result;
  compiler.start(lists, [&](CompiledLists compiled) {
    result = std::move(compiled);
    loop.stop();
  });
  loop.run();
  return result;
}

}  // namespace sluiced
