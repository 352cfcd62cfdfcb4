// Fair shares as the kernel shall have them: from clients and their limits to HTB classes and filters, and what must
// change from one plan to the next. Pure; netfilter/shaper performs it. A plan is for one direction.
//
//   own rate       a class for each person below the root, with rate = ceil
//   shared rate    a class for the group with rate = ceil, and below it one for each person: next to no rate of its own,
//                  a ceil of the whole, and the same quantum, so that those who want more share evenly
//
// A class has the number and a filter the node that it had in the plan before: what has not changed is not touched and keeps
// its queue.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/ip_address.hpp"

namespace netfilter {

struct ShapeLimit {
  std::uint64_t rate = 0;   // bits a second; 0: none
  std::uint64_t burst = 0;  // bytes that pass at once after a silence; 0: default_shape_burst
  bool operator==(const ShapeLimit&) const = default;
};

// An address that is in use, and whose limits hold for it.
struct ShapedClient {
  base::IpAddress address;
  std::string interface;  // empty: any (it is behind another router)
  std::string group, person;
  ShapeLimit down, up;
  bool shared = false;  // the limits are the group's, not each person's
  bool operator==(const ShapedClient&) const = default;
};

struct ShapeClass {
  std::uint16_t id = 0, parent = 0;              // parent 0: the root
  std::uint64_t rate = 0, ceil = 0;              // bytes a second
  std::uint64_t rate_burst = 0, ceil_burst = 0;  // bytes
  std::uint32_t quantum = 0;                     // bytes
  bool leaf = false;
  std::uint32_t queue = 0;    // bytes, of a leaf
  std::uint32_t largest = 0;  // packets above this are cut into frames before they are queued; 0: they are not
  bool operator==(const ShapeClass&) const = default;
};

struct ShapedAddress {
  std::string interface;
  std::uint16_t class_id = 0;
  std::uint16_t node = 0;  // tells it from others whose last byte is the same
  bool operator==(const ShapedAddress&) const = default;
};

struct ShapePlan {
  std::map<std::string, ShapeClass> classes;
  std::map<base::IpAddress, ShapedAddress> addresses;
  std::size_t left_out = 0;  // addresses that found no number
  bool operator==(const ShapePlan&) const = default;
};

enum class ShapeDirection { down, up };

// `largest_frame`: the longest packet of the interfaces, with its link header. Of two clients with one address the first
// counts.
ShapePlan plan_shape(std::span<const ShapedClient> clients, ShapeDirection direction, std::uint32_t largest_frame,
                     const ShapePlan& before);

// In the order in which they are to be done.
struct ShapeChanges {
  using Addresses = std::vector<std::pair<base::IpAddress, ShapedAddress>>;
  Addresses stop_redirecting, stop_classifying;
  std::vector<ShapeClass> set;  // parents first
  Addresses classify, redirect;
  std::vector<ShapeClass> drop;  // leaves first
  bool empty() const {
    return stop_redirecting.empty() && stop_classifying.empty() && set.empty() && classify.empty() &&
           redirect.empty() && drop.empty();
  }
};
ShapeChanges changes(const ShapePlan& before, const ShapePlan& after);

}  // namespace netfilter
