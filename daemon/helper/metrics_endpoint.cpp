#include "daemon/helper/metrics_endpoint.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "daemon/log.hpp"
#include "proto/http/h1.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_connections = 16;
constexpr std::size_t longest_request = 8 * 1024;
constexpr base::Duration patience = 5s;
constexpr base::Duration page_patience = 4s;        // then 503, while there is time to send it
constexpr base::Duration pressed_patience = 500ms;  // with an unfinished request, while others wait to be accepted
constexpr base::Duration listen_pause = 10s;

bool bind_to(int fd, const base::Endpoint& where) {
  if (where.address.is_v4()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(where.port);
    address.sin_addr.s_addr = htonl(where.address.v4_value());
    return bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  int only = 1;  // "[::]" is told to listen on IPv6, no more
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(where.port);
  std::memcpy(&address.sin6_addr, where.address.bytes().data(), sizeof address.sin6_addr);
  return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) == 0 &&
         bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

MetricsEndpoint::MetricsEndpoint(Loop& loop, base::Endpoint where, std::function<bool(std::uint64_t)> wanted)
    : loop_(loop), where_(where), wanted_(std::move(wanted)) {
  listen();
  loop_.every(200ms, [this] { tend(); });
}

void MetricsEndpoint::listen() {
  int family = where_.address.is_v6() ? AF_INET6 : AF_INET, reuse = 1;
  base::sys::UniqueFd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd && setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse) == 0 && bind_to(fd.get(), where_) &&
      ::listen(fd.get(), SOMAXCONN) == 0) {
    listener_ = std::move(fd);
    accepting_ = loop_.add(listener_.get(), EPOLLIN, this);
    logging::info("metrics at http://" + where_.to_string() + "/metrics");
    return;
  }
  std::string complaint = std::strerror(errno);
  if (complaint != complaint_)
    logging::warning("no metrics: cannot listen at " + where_.to_string() + ": " + complaint +
                     "; tried again every 10 s, all else goes on");
  complaint_ = std::move(complaint);
  listen_again_ = monotonic_now() + listen_pause;
}

void MetricsEndpoint::accept_waiting() {
  while (connections_.size() < most_connections) {
    base::sys::UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd && (errno == EMFILE || errno == ENFILE)) break;  // tend() tries again
    if (!fd) return;
    auto connection = std::make_unique<Connection>();
    connection->endpoint = this;
    connection->fd = std::move(fd);
    connection->since = loop_.now();
    loop_.add(connection->fd.get(), EPOLLIN, connection.get());
    connections_.push_back(std::move(connection));
  }
  loop_.remove(listener_.get());  // the rest waits with the kernel
  accepting_ = false;
}

bool MetricsEndpoint::somebody_waits() const {
  pollfd waiting{listener_.get(), POLLIN, 0};
  return poll(&waiting, 1, 0) == 1;
}

void MetricsEndpoint::turn(Connection& connection) {
  switch (connection.state) {
    case State::reading:
      return read_request(connection);
    case State::writing:
      return write_out(connection);
    case State::waiting:
    case State::closing:
      return drain(connection);
  }
}

void MetricsEndpoint::read_request(Connection& connection) {
  char buffer[4096];
  ssize_t size = recv(connection.fd.get(), buffer, sizeof buffer, 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return drop(connection);
  connection.input.append(buffer, static_cast<std::size_t>(size));
  auto parsed = proto::http::parse_request(base::as_bytes(connection.input));
  if (std::holds_alternative<proto::NeedMore>(parsed)) {
    if (connection.input.size() < longest_request) return;
    return answer(connection, 431, "Request Header Fields Too Large", "the request is too long\n");
  }
  if (auto* malformed = std::get_if<proto::Malformed>(&parsed))
    return answer(connection, 400, "Bad Request", malformed->reason + "\n");
  const auto& head = std::get<proto::http::RequestHead>(parsed);
  connection.head_only = head.method == "HEAD";
  if (head.target.substr(0, head.target.find('?')) != "/metrics")
    return answer(connection, 404, "Not Found", "there is only /metrics\n");
  if (head.method != "GET" && head.method != "HEAD")
    return answer(connection, 405, "Method Not Allowed", "GET or HEAD\n", "Allow: GET, HEAD\r\n");
  connection.state = State::waiting;
  ask();
}

// What comes after the request, or after our answer, is of no interest but for its end.
void MetricsEndpoint::drain(Connection& connection) {
  char buffer[4096];
  ssize_t size = recv(connection.fd.get(), buffer, sizeof buffer, 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size > 0) return;
  if (size == 0 && connection.state == State::waiting)
    return loop_.modify(connection.fd.get(), 0, &connection);  // it has said all it wants to
  drop(connection);
}

// One question is out at a time. Whoever asks while it is gets its answer.
void MetricsEndpoint::ask() {
  if (asked_) return;
  std::uint64_t number = next_number_++;
  if (wanted_(number))
    asked_ = number;
  else
    page_came(number, "");
}

void MetricsEndpoint::page_came(std::uint64_t number, const std::string& text) {
  if (asked_ && asked_ != number) return;  // of a question that was given up
  asked_.reset();
  std::vector<Connection*> waiting;
  for (auto& each : connections_)
    if (each->state == State::waiting) waiting.push_back(each.get());
  for (Connection* each : waiting) {
    if (text.empty())
      answer(*each, 503, "Service Unavailable", "the keeper process is not there just now\n");
    else
      answer(*each, 200, "OK", text);
  }
}

void MetricsEndpoint::answer(Connection& connection, int status, const char* reason, const std::string& body,
                             const std::string& more) {
  connection.output =
      "HTTP/1.1 " + std::to_string(status) + " " + reason +
      "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n" + more + "Connection: close\r\n\r\n";
  if (!connection.head_only) connection.output += body;
  connection.state = State::writing;
  write_out(connection);
}

void MetricsEndpoint::write_out(Connection& connection) {
  while (!connection.output.empty()) {
    ssize_t sent = send(connection.fd.get(), connection.output.data(), connection.output.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return loop_.modify(connection.fd.get(), EPOLLOUT, &connection);
    if (sent < 0) return drop(connection);
    connection.output.erase(0, static_cast<std::size_t>(sent));
  }
  connection.state = State::closing;
  shutdown(connection.fd.get(), SHUT_WR);
  loop_.modify(connection.fd.get(), EPOLLIN, &connection);
}

// The socket closes now, the object when no event of this turn can name it any more.
void MetricsEndpoint::drop(Connection& connection) {
  loop_.remove(connection.fd.get());
  connection.fd.reset();
  auto found =
      std::find_if(connections_.begin(), connections_.end(), [&](auto& each) { return each.get() == &connection; });
  loop_.defer([gone = std::shared_ptr<Connection>(std::move(*found))] {});
  connections_.erase(found);
  if (!accepting_) accepting_ = loop_.add(listener_.get(), EPOLLIN, this);
}

void MetricsEndpoint::tend() {
  base::Monotonic now = loop_.now();
  if (!listener_) {
    if (now >= listen_again_) listen();
    return;
  }
  if (!accepting_ && connections_.size() < most_connections) accepting_ = loop_.add(listener_.get(), EPOLLIN, this);
  bool pressed = !accepting_ && somebody_waits();
  std::vector<Connection*> late, unanswered;
  for (auto& each : connections_) {
    base::Duration age = now - each->since;
    if (age > (pressed && each->state == State::reading ? pressed_patience : patience))
      late.push_back(each.get());
    else if (each->state == State::waiting && age > page_patience)
      unanswered.push_back(each.get());
  }
  for (Connection* each : late) drop(*each);
  if (unanswered.empty()) return;
  asked_.reset();  // the next request asks anew
  for (Connection* each : unanswered) answer(*each, 503, "Service Unavailable", "no process answered in time\n");
}

}  // namespace sluiced
