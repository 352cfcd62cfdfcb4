// Makes the kernel hold clients to their rates. Theory: shaper.cpp. Needs CAP_NET_ADMIN.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "netfilter/netlink/address_filters.hpp"
#include "netfilter/netlink/traffic_control.hpp"
#include "netfilter/shape_plan.hpp"

namespace netfilter {

inline constexpr const char* shape_links[] = {"sluice-down", "sluice-up"};

class Shaper {
 public:
  explicit Shaper(std::vector<std::string> interfaces) : interfaces_(std::move(interfaces)) {}

  // Makes it so for these clients; only what has changed since the last call is touched. What somebody has removed is
  // put back within seconds. Call it every second or so.
  void apply(std::vector<ShapedClient> clients, base::Monotonic now);
  // Takes everything of ours away.
  void remove();
  // What could not be done and why, a line each.
  std::vector<std::string> troubles() const;

 private:
  struct Attached {
    int index = 0;
    std::string trouble;  // empty: its filters are in place
  };
  struct Direction {
    ShapeDirection which;
    int link = 0;  // the IFB
    ShapePlan plan;
  };

  bool begin();  // afresh, with nothing planned
  bool begin(Direction& direction, const char* name);
  bool is_place_unchanged() const;  // the interfaces are the ones we know
  bool look_around();               // attaches what is not attached; false: a link of ours is gone
  std::string attach(const std::string& name, const Link& link, const std::vector<Qdisc>& qdiscs);
  bool has_our_filters(int interface);
  bool follow(Direction& direction);
  bool perform(const Direction& direction, const ShapeChanges& wanted);
  bool set_class(int link, const ShapeClass& wanted);
  AddressFilters hook(const Direction& direction, int interface) const;
  AddressFilters sorter(const Direction& direction) const;
  std::vector<int> attached(const std::string& name) const;  // those of all, where it is not known which one
  bool failed(const std::string& what, int error);

  const std::vector<std::string> interfaces_;
  std::optional<TrafficControl> control_;
  Direction directions_[2] = {{ShapeDirection::down, 0, {}}, {ShapeDirection::up, 0, {}}};
  std::map<std::string, Attached> attached_;
  std::vector<ShapedClient> clients_;  // that the plans are of
  std::uint32_t largest_frame_ = 0, planned_frame_ = 0;
  bool has_fq_codel_ = false;
  bool ready_ = false;
  bool looked_for_leftovers_ = false;
  base::Monotonic next_look_{}, try_again_{};
  std::string trouble_;
};

// Takes away what a daemon that is no more has left, and ours. Nothing there: success.
base::Result<> remove_shapes();

}  // namespace netfilter
