// Two IFB links of ours carry what is limited, one a direction, each with an HTB of ours as its root:
//
//   LAN interface, clsact egress    u32 by destination: redirect to sluice-down -> HTB -> back to the interface's own
//                                   queue, which is not ours and stays as the admin has it
//   LAN interface, clsact ingress   u32 by source: redirect to sluice-up -> HTB -> on, as if it came in just now
//
// That is before every nft hook, NAT and TPROXY on the way up, and after them on the way down: a flow that is proxied, that the
// kernel forwards, QUIC and everything that is not judged at all are the same here, and so are v4 and v6. One HTB for all
// LAN interfaces: a person's devices on two of them have the person's rate, not twice that. What is not limited costs one
// look into a hash bucket and never enters a queue of ours.
//
// A class's leaf is a TBF that only cuts large packets (shape_plan.cpp says when) and, inside or instead, fq_codel where
// the kernel has it, else a queue bounded in bytes.
//
// Others' things. A clsact with filters that are not ours, or an ingress qdisc, is somebody's: that interface is not shaped,
// and `status` says so. Root qdiscs (SQM, cake, mq) are never touched. An interface that comes, goes or is made again is followed
// within a second, what is removed under us within five. A daemon that is killed leaves its limits; the next one begins afresh,
// which costs what is queued at that moment.
//
// Order. A filter that redirects comes last and goes first: a redirect to a link that is gone would drop packets.
#include "netfilter/shaper.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "netfilter/netlink/links.hpp"

namespace netfilter {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration look_period = 5s;     // whether everything is still there
constexpr base::Duration retry_period = 10s;   // after a kernel that could not
constexpr std::uint32_t link_header = 14 + 8;  // Ethernet and two VLAN tags
constexpr std::uint32_t frame_size = 1514;
constexpr std::uint32_t largest_mtu = 9216;   // a longer one is no Ethernet
constexpr std::uint32_t fewest_packets = 64;  // of an fq_codel: some flows at once

bool is_shape_link(const Link& link) {
  return link.kind == "ifb" && std::any_of(std::begin(shape_links), std::end(shape_links),
                                           [&](const char* name) { return link.name == name; });
}

// What of ours hangs on an interface's clsact goes, and the clsact with it if nobody else uses it.
base::Result<> detach(TrafficControl& control, int interface) {
  bool ours = false, others = false;
  for (std::uint32_t hook : {clsact_ingress, clsact_egress}) {
    auto filters = control.filters(interface, hook);
    if (!filters) return std::move(filters).error();
    for (const FilterSeen& each : *filters) (AddressFilters::is_ours(each) ? ours : others) = true;
    (void)AddressFilters(interface, hook, PacketEnd::source).remove_all(control);
  }
  if (!ours || others) return base::Nothing{};
  int error = control.delete_clsact(interface);
  if (error != 0 && error != ENOENT && error != ENODEV)
    return base::environment_error(std::string("removing a clsact: ") + std::strerror(error));
  return base::Nothing{};
}

base::Result<> remove_with(TrafficControl& control) {
  auto qdiscs = control.qdiscs();
  if (!qdiscs) return std::move(qdiscs).error();
  for (const Qdisc& each : *qdiscs)
    if (each.kind == "clsact")
      if (auto done = detach(control, each.interface); !done) return done;
  auto links = control.links();
  if (!links) return std::move(links).error();
  for (const Link& link : *links)
    if (is_shape_link(link))
      if (int error = control.delete_link(link.index); error != 0 && error != ENODEV)
        return base::environment_error("removing " + link.name + ": " + std::strerror(error));
  return base::Nothing{};
}

}  // namespace

base::Result<> remove_shapes() {
  auto control = TrafficControl::open();
  if (!control) return std::move(control).error();
  auto removed = remove_with(*control);
  if (!removed) return std::move(removed).error().context("shapes");
  return removed;
}

bool Shaper::failed(const std::string& what, int error) {
  trouble_ = "bandwidth is not limited: " + what + ": " + std::strerror(error);
  if (error == EOPNOTSUPP || error == ENOENT)
    trouble_ += " (the kernel needs sch_htb, sch_tbf, sch_ingress, cls_u32, act_mirred and ifb)";
  return false;
}

AddressFilters Shaper::hook(const Direction& direction, int interface) const {
  bool down = direction.which == ShapeDirection::down;
  return {interface, down ? clsact_egress : clsact_ingress, down ? PacketEnd::destination : PacketEnd::source};
}

AddressFilters Shaper::sorter(const Direction& direction) const {
  return {direction.link, shape_root,
          direction.which == ShapeDirection::down ? PacketEnd::destination : PacketEnd::source};
}

std::vector<int> Shaper::attached(const std::string& name) const {
  std::vector<int> indices;
  for (const auto& [each, attached] : attached_)
    if ((each == name || name.empty()) && attached.trouble.empty()) indices.push_back(attached.index);
  return indices;
}

void Shaper::apply(std::vector<ShapedClient> clients, base::Monotonic now) {
  if (!ready_ && clients.empty()) {
    if (!looked_for_leftovers_) remove();
    return;
  }
  if (ready_ && (now >= next_look_ || !is_place_unchanged())) {
    next_look_ = now + look_period;
    ready_ = look_around();
    if (!ready_) try_again_ = {};  // at once: what redirects to a link that is gone is dropped
  }
  if (!ready_) {
    if (now < try_again_) return;
    try_again_ = now + retry_period;
    next_look_ = now + look_period;
    if (!begin() || !look_around()) return;
    ready_ = true;
  }
  if (clients == clients_ && largest_frame_ == planned_frame_) return;
  clients_ = std::move(clients);
  planned_frame_ = largest_frame_;
  for (Direction& direction : directions_) ready_ = ready_ && follow(direction);
  if (ready_) {
    trouble_.clear();
  } else {  // nothing half done stays
    (void)remove_with(*control_);
    try_again_ = now + retry_period;
  }
}

bool Shaper::begin() {
  looked_for_leftovers_ = true;
  attached_.clear();
  clients_.clear();
  auto control = TrafficControl::open();
  if (!control) {
    trouble_ = "bandwidth is not limited: " + control.error().message;
    return false;
  }
  control_ = std::move(*control);
  if (auto removed = remove_with(*control_); !removed) {
    trouble_ = "bandwidth is not limited: " + removed.error().message;
    return false;
  }
  return begin(directions_[0], shape_links[0]) && begin(directions_[1], shape_links[1]);
}

bool Shaper::begin(Direction& direction, const char* name) {
  direction.plan = {};
  if (int error = control_->add_ifb(name)) return failed(std::string("link ") + name + " (ifb)", error);
  direction.link = static_cast<int>(link_index(name));
  if (direction.which == ShapeDirection::down) has_fq_codel_ = control_->knows_root_qdisc(direction.link, "fq_codel");
  if (int error = control_->add_htb(direction.link)) return failed("qdisc htb", error);
  if (int error = sorter(direction).begin(*control_, false)) return failed("filter u32", error);
  return true;
}

// --- where it hangs

bool Shaper::is_place_unchanged() const {
  for (const Direction& direction : directions_)
    if (static_cast<int>(link_index(shape_links[static_cast<int>(direction.which)])) != direction.link) return false;
  for (const std::string& name : interfaces_) {
    auto known = attached_.find(name);
    int index = static_cast<int>(link_index(name));
    if (index != (known == attached_.end() ? 0 : known->second.index)) return false;
  }
  return true;
}

bool Shaper::look_around() {
  auto links = control_->links();
  auto qdiscs = control_->qdiscs();
  if (!links || !qdiscs) {
    trouble_ = "bandwidth is not limited: " + (!links ? links.error() : qdiscs.error()).message;
    return false;
  }
  for (const Direction& direction : directions_) {
    bool link_is_up = std::any_of(links->begin(), links->end(), [&](const Link& link) {
      return link.index == direction.link && is_shape_link(link) && link.up;
    });
    bool has_root = std::any_of(qdiscs->begin(), qdiscs->end(), [&](const Qdisc& qdisc) {
      return qdisc.interface == direction.link && qdisc.handle == shape_root;
    });
    if (!link_is_up || !has_root) return false;
  }
  std::uint32_t largest = frame_size;
  for (const std::string& name : interfaces_) {
    auto link = std::find_if(links->begin(), links->end(), [&](const Link& each) { return each.name == name; });
    if (link == links->end()) {
      attached_[name] = {0, name + " is not shaped: there is no such interface"};
      continue;
    }
    largest = std::max(largest, std::min(link->mtu, largest_mtu) + link_header);
    Attached& attached = attached_[name];
    if (attached.index == link->index && attached.trouble.empty() && has_our_filters(link->index)) continue;
    std::string trouble = attach(name, *link, *qdiscs);
    attached = {link->index, trouble.empty() ? "" : name + " is not shaped: " + trouble};
  }
  largest_frame_ = largest;
  return true;
}

bool Shaper::has_our_filters(int interface) {
  for (const Direction& direction : directions_) {
    auto filters =
        control_->filters(interface, direction.which == ShapeDirection::down ? clsact_egress : clsact_ingress);
    if (!filters || std::none_of(filters->begin(), filters->end(), AddressFilters::is_ours)) return false;
  }
  return true;
}

// What is in the way, in words; empty: attached, with the filters of every address that is planned there.
std::string Shaper::attach(const std::string& name, const Link& link, const std::vector<Qdisc>& qdiscs) {
  bool has_clsact = false;
  for (const Qdisc& each : qdiscs) {
    if (each.interface != link.index) continue;
    if (each.kind == "ingress") return "it has an ingress qdisc of somebody else";
    has_clsact = has_clsact || each.kind == "clsact";
  }
  if (has_clsact)
    for (std::uint32_t side : {clsact_ingress, clsact_egress}) {
      auto filters = control_->filters(link.index, side);
      if (!filters) return filters.error().message;
      if (!std::all_of(filters->begin(), filters->end(), AddressFilters::is_ours))
        return "it has a clsact qdisc with filters of somebody else";
      (void)AddressFilters(link.index, side, PacketEnd::source).remove_all(*control_);
    }
  if (int error = has_clsact ? 0 : control_->add_clsact(link.index))
    return std::string("qdisc clsact: ") + std::strerror(error);
  for (const Direction& direction : directions_) {
    AddressFilters filters = hook(direction, link.index);
    int error = filters.begin(*control_, true);
    for (const auto& [address, each] : direction.plan.addresses)
      if (error == 0 && (each.interface == name || each.interface.empty()))
        error = filters.redirect(*control_, address, each.node, direction.link);
    if (error == 0) continue;
    (void)detach(*control_, link.index);
    return std::string("filter u32: ") + std::strerror(error);
  }
  return {};
}

// --- what changes

bool Shaper::follow(Direction& direction) {
  ShapePlan plan = plan_shape(clients_, direction.which, largest_frame_, direction.plan);
  ShapeChanges wanted = changes(direction.plan, plan);
  if (!perform(direction, wanted)) return false;
  direction.plan = std::move(plan);
  return true;
}

bool Shaper::perform(const Direction& direction, const ShapeChanges& wanted) {
  auto is_gone = [](int error) { return error == ENOENT || error == ENODEV || error == EINVAL; };
  AddressFilters sorter = this->sorter(direction);
  for (const auto& [address, old] : wanted.stop_redirecting)
    for (int on : attached(old.interface))
      if (int error = hook(direction, on).remove(*control_, address, old.node); error != 0 && !is_gone(error))
        return failed("removing a filter", error);
  for (const auto& [address, old] : wanted.stop_classifying)
    if (int error = sorter.remove(*control_, address, old.node); error != 0 && !is_gone(error))
      return failed("removing a filter", error);
  for (const ShapeClass& each : wanted.set)
    if (!set_class(direction.link, each)) return false;
  for (const auto& [address, now] : wanted.classify)
    if (int error = sorter.classify(*control_, address, now.node, shape_root | now.class_id))
      return failed("filter u32", error);
  for (const auto& [address, now] : wanted.redirect)
    for (int on : attached(now.interface))
      if (int error = hook(direction, on).redirect(*control_, address, now.node, direction.link))
        return failed("filter u32 with mirred", error);
  for (const ShapeClass& each : wanted.drop)
    if (int error = control_->delete_class(direction.link, each.id); error != 0 && !is_gone(error))
      return failed("removing a class", error);
  return true;
}

bool Shaper::set_class(int link, const ShapeClass& wanted) {
  HtbClass in_kernel{wanted.id,         wanted.parent,     wanted.rate,   wanted.ceil,
                     wanted.rate_burst, wanted.ceil_burst, wanted.quantum};
  if (int error = control_->set_class(link, in_kernel)) return failed("class htb", error);
  if (!wanted.leaf) return true;
  std::uint32_t parent = shape_root | wanted.id;
  if (wanted.largest != 0) {
    std::uint32_t handle = std::uint32_t{wanted.id} << 16;
    if (int error = control_->set_tbf(link, parent, handle, wanted.largest, wanted.queue))
      return failed("qdisc tbf", error);
    parent = handle | 1;
  }
  int error = 0;
  if (has_fq_codel_) {
    // Two frames must fit into the target, or a slow line would never be without loss (fq_codel's own advice).
    std::uint64_t two_frames_us = 2 * std::uint64_t{frame_size} * 1'000'000 / std::max<std::uint64_t>(wanted.ceil, 1);
    error = control_->set_fq_codel(link, parent, std::max(wanted.queue / frame_size, fewest_packets),
                                   static_cast<std::uint32_t>(std::clamp<std::uint64_t>(two_frames_us, 5000, 500'000)));
  } else if (wanted.largest == 0) {
    error = control_->set_bfifo(link, parent, wanted.queue);
  }
  return error == 0 || failed("the queue of a class", error);
}

// --- the end

void Shaper::remove() {
  looked_for_leftovers_ = true;
  ready_ = false;
  trouble_.clear();
  attached_.clear();
  clients_.clear();
  try_again_ = {};
  if (auto removed = remove_shapes(); !removed) trouble_ = removed.error().message;
}

std::vector<std::string> Shaper::troubles() const {
  std::vector<std::string> lines;
  if (!trouble_.empty()) lines.push_back(trouble_);
  if (ready_)
    for (const auto& [name, each] : attached_)
      if (!each.trouble.empty()) lines.push_back(each.trouble);
  std::size_t left_out = std::max(directions_[0].plan.left_out, directions_[1].plan.left_out);
  if (ready_ && left_out != 0) lines.push_back(std::to_string(left_out) + " addresses are not shaped: too many");
  return lines;
}

}  // namespace netfilter
