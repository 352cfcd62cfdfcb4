// The table of `sluicectl top`, from the daemon's answer and the size of the window. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "control/protocol.hpp"

namespace control {

enum class TopOrder { rate, up, down, total };  // rate: both directions together; total: bytes since the gateway began

struct TopView {
  std::size_t columns = 80;
  std::size_t rows = 0;  // 0: as many as there are
  TopOrder order = TopOrder::rate;
};

// Lines of at most `columns` cells: what there is in all, the heads of the columns, a line a client. In a narrow window
// columns are left out, from the right. `heads` says which of the lines has the heads.
std::vector<std::string> top_table(const Json& data, const TopView& view);
inline constexpr std::size_t top_heads = 1;

}  // namespace control
