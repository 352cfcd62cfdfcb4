// Prometheus' side of the helper: an HTTP server with one page, /metrics, at `[metrics] listen`.
//
// What strangers send is parsed here, in the role without privilege, by the strict parser that judges clients too. The
// page's text is the keeper's to make: a request asks for it (`wanted`), and whoever waits when it comes gets it, so that
// fifty scrapers cost one question. GET and HEAD, one request a connection.
//
// Limits: 16 connections, 5 s for each from its accept to its end. While more wait, one that has not sent its request
// within half a second makes room, so that a slow-loris holds nobody up for long. An address that cannot be bound (taken,
// or of an interface that is not there yet) is said and tried again every 10 s.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "base/sys/unique_fd.hpp"
#include "daemon/loop.hpp"

namespace sluiced {

class MetricsEndpoint final : Watcher {
 public:
  // `wanted` asks for a page, named by its number; false: there is nobody to ask. Lives as long as the loop.
  MetricsEndpoint(Loop& loop, base::Endpoint where, std::function<bool(std::uint64_t number)> wanted);
  MetricsEndpoint(const MetricsEndpoint&) = delete;
  MetricsEndpoint& operator=(const MetricsEndpoint&) = delete;

  void page_came(std::uint64_t number, const std::string& text);

 private:
  // What a connection may do: `reading` until its request is whole, `waiting` for the page, `writing` the answer,
  // `closing` once all is sent and the client's end is awaited (a close with unread bytes would reset the answer away).
  enum class State { reading, waiting, writing, closing };
  struct Connection final : Watcher {
    MetricsEndpoint* endpoint = nullptr;
    base::sys::UniqueFd fd;
    State state = State::reading;
    bool head_only = false;
    base::Monotonic since{};
    std::string input, output;
    void ready(std::uint32_t) override { endpoint->turn(*this); }
  };

  void ready(std::uint32_t) override { accept_waiting(); }
  void listen();
  void accept_waiting();
  bool somebody_waits() const;
  void turn(Connection& connection);
  void read_request(Connection& connection);
  void drain(Connection& connection);
  void answer(Connection& connection, int status, const char* reason, const std::string& body,
              const std::string& more = {});
  void write_out(Connection& connection);
  void drop(Connection& connection);
  void ask();
  void tend();

  Loop& loop_;
  const base::Endpoint where_;
  std::function<bool(std::uint64_t)> wanted_;
  base::sys::UniqueFd listener_;
  bool accepting_ = false;  // the listener is watched
  base::Monotonic listen_again_{};
  std::string complaint_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::optional<std::uint64_t> asked_;  // the page that is awaited
  std::uint64_t next_number_ = 1;
};

}  // namespace sluiced
