// Theory of operation. Every two seconds the daemon is asked and the window drawn anew, on the terminal's alternate screen,
// so that what was there before comes back. Signals are read from a descriptor between two drawings, keys from the
// terminal in non-canonical mode; whatever ends us, an object restores both. ^Z gives the terminal back before it stops us.
// A daemon that goes away while we look is said in the first line, and asked again.
#include "sluicectl/top_verb.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>

#include "base/sys/unique_fd.hpp"
#include "base/sys/write_all.hpp"
#include "control/client.hpp"
#include "control/terminal_text.hpp"
#include "control/top_table.hpp"
#include "sluicectl/answer.hpp"

namespace sluicectl {
namespace {

using control::TopOrder;
using control::TopView;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto period = 2s;
constexpr int live_patience_s = 2;  // keys wait while the daemon is asked
constexpr std::size_t unknown_columns = 120;

void print_all(std::string_view text) {
  (void)base::sys::write_all(STDOUT_FILENO, text);
}

// The window's size; rows 0: not known.
TopView window() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {unknown_columns, 0, TopOrder::rate};
  return {size.ws_col, size.ws_row, TopOrder::rate};
}

// Has the terminal while it lives: alternate screen, no cursor, keys one by one. ^C stays a signal.
class Screen {
 public:
  Screen() : has_keys_(tcgetattr(STDIN_FILENO, &before_) == 0) { enter(); }
  ~Screen() { leave(); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  bool has_keys() const { return has_keys_; }
  void enter() {
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    if (has_keys_) tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    print_all("\033[?1049h\033[?25l\033[?7l");
  }
  void leave() {
    print_all("\033[?7h\033[?25h\033[?1049l");
    if (has_keys_) tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  }

 private:
  termios before_{};
  bool has_keys_;
};

base::sys::UniqueFd watch_signals() {
  sigset_t watched;
  sigemptyset(&watched);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP}) sigaddset(&watched, number);
  sigprocmask(SIG_BLOCK, &watched, nullptr);
  return base::sys::UniqueFd(signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
}

class Live {
 public:
  Live(const Arguments& arguments, control::Json first) : arguments_(arguments), data_(std::move(first)) {}

  int run() {
    next_ = Clock::now() + period;
    while (!done_) {
      draw();
      wait();
    }
    return exit_ok;
  }

 private:
  void wait() {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(next_ - Clock::now());
    pollfd sources[] = {{signals_.get(), POLLIN, 0}, {screen_.has_keys() ? STDIN_FILENO : -1, POLLIN, 0}};
    int count = poll(sources, 2, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (count == 0) return ask();
    if (sources[0].revents != 0) hear_signal();
    if (sources[1].revents != 0) hear_key();
  }

  void hear_signal() {
    signalfd_siginfo info{};
    if (read(signals_.get(), &info, sizeof info) != sizeof info) return;
    if (info.ssi_signo == SIGTSTP) {
      screen_.leave();
      raise(SIGSTOP);
      screen_.enter();
    } else if (info.ssi_signo != SIGWINCH) {
      done_ = true;
    }
  }

  void hear_key() {
    char key = 0;
    if (read(STDIN_FILENO, &key, 1) != 1) {
      done_ = true;  // the terminal is gone
      return;
    }
    if (key == 'q') done_ = true;
    if (key == 'u') order_ = TopOrder::up;
    if (key == 'd') order_ = TopOrder::down;
    if (key == 't') order_ = TopOrder::total;
    if (key == 'r') order_ = TopOrder::rate;
    if (key == ' ') ask();
  }

  void ask() {
    auto reply = control::ask(arguments_.run + "/control.sock", {"top", {}}, live_patience_s);
    if (reply && reply->exit == exit_ok) {
      data_ = std::move(reply->data);
      trouble_.clear();
    } else {
      trouble_ = reply ? reply->text : reply.error().message;
    }
    next_ = Clock::now() + period;
  }

  void draw() {
    TopView view = window();
    view.order = order_;
    std::size_t height = view.rows == 0 ? 24 : view.rows;
    view.rows = std::max<std::size_t>(height, 2) - 1;
    auto lines = control::top_table(data_, view);
    if (!trouble_.empty()) lines[0] = control::plain(trouble_, view.columns);
    std::string frame = "\033[H";
    for (std::size_t i = 0; i < lines.size(); ++i)
      frame += i == control::top_heads ? "\033[7m" + control::fit(lines[i], view.columns) + "\033[0m\n"
                                       : lines[i] + "\033[K\n";
    frame += "\033[J\033[" + std::to_string(height) + ";1H" +
             control::plain("q quit  sort by: r rate  u up  d down  t total", view.columns);
    print_all(frame);
  }

  const Arguments& arguments_;
  control::Json data_;
  std::string trouble_;
  TopOrder order_ = TopOrder::rate;
  base::sys::UniqueFd signals_ = watch_signals();  // before there is a screen to be restored
  Clock::time_point next_{};
  bool done_ = false;
  Screen screen_;
};

}  // namespace

int top(const Arguments& arguments) {
  if (!arguments.operands.empty()) return usage_error("top takes no operands");
  control::Request request{"top", {}};
  if (arguments.json) return ask_daemon(arguments, request);
  auto reply = control::ask(arguments.run + "/control.sock", request, answer_patience_s);
  if (!reply) {
    std::fprintf(stderr, "sluicectl: %s\n", reply.error().message.c_str());
    return exit_unreachable;
  }
  if (reply->exit != exit_ok) return print(arguments, *reply);
  if (isatty(STDOUT_FILENO) != 0 && !arguments.options.contains("once"))
    return Live(arguments, std::move(reply->data)).run();
  TopView view = window();
  view.rows = 0;
  for (const std::string& line : control::top_table(reply->data, view)) std::puts(line.c_str());
  return exit_ok;
}

}  // namespace sluicectl
