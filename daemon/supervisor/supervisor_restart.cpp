// A restart in place: the supervisor executes the program that lies at its path now (an upgrade's, or the same one for settings
// that need a restart), keeping its process id, its children and the rules.
//
//   asked      SIGUSR2 or `sluicectl restart`. `sluiced --check` of that program reads the files first: if anything is wrong
//              with them or with it, that is said and nothing happens.
//   step_aside the gateway gives up what there can only be one of (counting, watching); it goes on accepting and judging.
//   sent away  keeper and helper write what they have and end. The signer stays for the gateway.
//   execve     with the channel to the gateway in SLUICE_PREDECESSOR. The heartbeat goes on: the rules stay, and divert.
//   successor  starts its roles, has the old gateway release its packet queues, then starts its own gateway; both accept
//              meanwhile, from the same sockets. Once that judges, its rules replace the old ones in one transaction, and the old
//              gateway drains: connections have [daemon] drain to end.
//
// The listening sockets are handed on, from the old gateway by the supervisor to the new one: what waits to be accepted, or is in
// the middle of its handshake, is nobody's loss.
//
// So a new connection is always judged, by the old gateway or the new one; packets are in nobody's hands for some tens of
// milliseconds, dropped, and sent again. Where the LAN interfaces have changed, ports mean other interfaces, and the old
// gateway stops accepting before the new one begins.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "base/sys/memory_file.hpp"
#include "base/text.hpp"
#include "daemon/diagnostic_text.hpp"
#include "daemon/log.hpp"
#include "daemon/supervisor/notify.hpp"
#include "daemon/supervisor/supervisor.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration end_limit = 5s;     // for the roles that are sent away: flash is slow
constexpr base::Duration queues_limit = 3s;  // for the old gateway to release its queues; then it is cut off

constexpr std::size_t most_listeners = 600;  // taken from the old gateway: of 32 workers, nine LAN interfaces each

constexpr const char* variable = "SLUICE_PREDECESSOR";  // "DESCRIPTOR PID LAN LAN..."

std::string lan_of(const rules::Settings& settings) {
  std::string text;
  for (const std::string& interface : settings.network.lan) text += " " + interface;
  return text;
}

control::Reply restarting(const std::string& told) {
  return {exit_ok, told + "restarting\n", {{"restarting", true}}};
}

std::string content_of(int file) {
  auto mapped = base::sys::MappedFile::map(file);
  return mapped ? std::string(base::as_text(mapped->bytes())) : std::string();
}

}  // namespace

// --- leaving

void Supervisor::ask_for_restart(std::optional<std::string> number) {
  if (restart_) {
    if (number && restart_->check.pid == -1)
      answer(*number, restarting(""));
    else if (number)
      restart_->numbers.push_back(std::move(*number));
    return;
  }
  if (stopping_) return;
  auto check = start_check(options_);
  restart_ = Restart{};
  if (number) restart_->numbers.push_back(std::move(*number));
  if (!check) return refuse_restart(check.error().message + "\n");
  restart_->check = std::move(*check);
}

void Supervisor::check_ended(int status) {
  if (stopping_) return;
  std::string told = content_of(restart_->check.told.get());
  restart_->check.pid = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != exit_ok)
    return refuse_restart(!told.empty() ? told
                          : WIFSIGNALED(status)
                              ? program_path() + " --check was killed by " + strsignal(WTERMSIG(status)) + "\n"
                              : program_path() + " cannot be run\n");
  logging::notice("restarting in place");
  for (const std::string& number : restart_->numbers) answer(number, restarting(told));
  notify_service_manager("RELOADING=1\nMONOTONIC_USEC=" +
                         std::to_string(std::chrono::microseconds(std::chrono::duration_cast<std::chrono::microseconds>(
                                                                      monotonic_now().time_since_epoch()))
                                            .count()));
  hear_gateway();  // a build of ours may have taken its time: whether it lives is asked now
  if (!gateway_lives() || !gateway_.child->channel.send(MessageType::step_aside)) send_others_away();
}

void Supervisor::refuse_restart(const std::string& why) {
  log_lines(why + "no restart: nothing was changed\n", logging::Level::error);
  for (const std::string& number : restart_->numbers)
    answer(number, {exit_bad_input, why + "nothing was changed\n", {{"error", why}}});
  restart_.reset();
}

void Supervisor::send_others_away() {
  if (!restart_ || restart_->check.pid != -1 || restart_->leave_by != base::Monotonic{}) return;
  restart_->leave_by = monotonic_now() + end_limit;
  for (Role* role : {&keeper_, &helper_}) {
    if (role->child && role->child->channel) send_away(*role);
  }
}

void Supervisor::tend_restart() {
  bool late = monotonic_now() > restart_->leave_by;
  for (Role* role : {&keeper_, &helper_}) {
    if (!role->child) continue;
    if (!late) return;
    kill(role->child->pid, SIGKILL);
  }
  leave_for_successor();
}

void Supervisor::leave_for_successor() {
  hear_gateway();
  if (gateway_lives()) {
    int channel = gateway_.child->channel.fd();
    fcntl(channel, F_SETFD, 0);
    setenv(variable, (std::to_string(channel) + " " + std::to_string(gateway_.child->pid) + lan_of(settings_)).c_str(),
           1);
  }
  std::string program = program_path();
  const char* arguments[] = {
      "sluiced", "--config", options_.config.c_str(), "--state", options_.state.c_str(), "--run", options_.run.c_str(),
      nullptr};
  execv(program.c_str(), const_cast<char* const*>(arguments));
  // It could be executed a moment ago. Nothing of ours is whole any more: whoever watches over us starts us again.
  logging::error("cannot execute " + program + ": " + std::strerror(errno));
  _exit(exit_failure);
}

// --- coming

void Supervisor::adopt_predecessor() {
  const char* given = std::getenv(variable);
  if (given == nullptr) return;
  std::string text = given;
  unsetenv(variable);
  auto words = base::split(text, ' ');
  if (words.size() < 2) return;
  auto descriptor = base::parse_number(words[0], 1 << 20), pid = base::parse_number(words[1], 1 << 30);
  bool same_interfaces = text == std::string(words[0]) + " " + std::string(words[1]) + lan_of(settings_);
  if (!descriptor || !pid || fcntl(static_cast<int>(*descriptor), F_SETFD, FD_CLOEXEC) != 0) return;
  predecessor_pid_ = static_cast<pid_t>(*pid);
  predecessor_ = Channel(base::sys::UniqueFd(static_cast<int>(*descriptor)));
  predecessor_ear_.hear = [this] { hear_predecessor(); };
  loop_.add(predecessor_.fd(), EPOLLIN, &predecessor_ear_);
  if (!same_interfaces) predecessor_.send(MessageType::drain);
  waits_for_queues_ = predecessor_.send(MessageType::release_queues);
  wait_for_queues_until_ = monotonic_now() + queues_limit;
}

void Supervisor::hear_predecessor() {
  Message message;
  bool gone = false;
  while (predecessor_ && !gone) {
    Channel::State state = predecessor_.receive(message);
    if (state == Channel::State::empty) break;
    gone = state == Channel::State::closed;
    if (!gone && message.type == MessageType::listeners && inherited_listeners_.size() < most_listeners)
      std::move(message.fds.begin(), message.fds.end(), std::back_inserter(inherited_listeners_));
    if (!gone && message.type != MessageType::queues_released) continue;
    if (std::exchange(waits_for_queues_, false)) send_policy();
  }
  if (!gone && !waits_for_queues_) return;
  if (!gone && monotonic_now() < wait_for_queues_until_) return;
  if (!gone) {
    logging::error("the gateway before this restart does not release its queues: its connections are cut off");
    kill(predecessor_pid_, SIGKILL);  // our child since before: nobody else can have its number
  }
  loop_.remove(predecessor_.fd());
  predecessor_.close();
  if (std::exchange(waits_for_queues_, false)) send_policy();
}

void Supervisor::let_predecessor_drain() {
  if (predecessor_) predecessor_.send(MessageType::drain);
}

}  // namespace sluiced
