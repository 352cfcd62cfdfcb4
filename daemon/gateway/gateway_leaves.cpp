// The gateway's end: draining after a stop, and stepping aside for the successor of a restart in place (supervisor_restart.cpp).
#include <memory>

#include "daemon/gateway/gateway.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration drain_limit =
    10s;  // for running flows after a stop, which waits for them; then they are reset

}  // namespace

void Gateway::start_draining() {
  if (draining_) return;
  draining_ = true;
  drain_until_ = loop_.now() + (stepped_aside_ ? base::Duration(settings_->daemon.drain) : drain_limit);
  if (heart_ && stepped_aside_) heart_->fall_silent();
  if (heart_ && !stepped_aside_) heart_->stop();
  for (auto& worker : workers_) worker->drain();
}

// What there can only be one of goes: bytes are the successor's to count, running flows its to watch, shapes its to make.
// Connections are still accepted, judged and served here, packets too until release_queues.
void Gateway::step_aside() {
  if (!stepped_aside_) {
    stepped_aside_ = true;
    if (meter_) {
      meter();
      meter_->finish(wall_now());
      if (hears_meter_) loop_.remove(meter_->fd());
      meter_.reset();
    }
    if (other_ports_fd_ >= 0) loop_.remove(other_ports_fd_);
    other_ports_fd_ = -1;
    other_ports_.reset();
    kernel_flows_.reset();
  }
  supervisor_.send(MessageType::stepped_aside);
}

// The successor accepts from our listening sockets too, until we `drain`.
void Gateway::release_queues() {
  auto left = std::make_shared<std::size_t>(workers_.size());
  for (auto& worker : workers_)
    worker->release_queues([this, left](std::vector<int> listeners) {
      loop_.post([this, left, listeners = std::move(listeners)] {
        supervisor_.send_descriptors(MessageType::listeners, listeners);
        if (--*left == 0) supervisor_.send(MessageType::queues_released);
      });
    });
  if (workers_.empty()) supervisor_.send(MessageType::queues_released);
}

}  // namespace sluiced
