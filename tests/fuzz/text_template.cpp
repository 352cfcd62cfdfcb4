// Any text as a block page, with any text as the values in it. No value may bring markup of its own into the page.
#include "base/text_template.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  constexpr std::array<std::string_view, 2> names = {"url", "reason"};
  auto page = base::TextTemplate::parse(text, names);
  if (!page) return page.error().message.empty() ? std::abort(), 0 : 0;
  std::array<std::pair<std::string_view, std::string_view>, 2> values = {{{"url", text}, {"reason", "\"<'>&"}}};
  std::string full = page->render_html(values), bare = page->render_html({});
  for (char markup : {'<', '>', '"', '\''})
    if (std::count(full.begin(), full.end(), markup) != std::count(bare.begin(), bare.end(), markup)) std::abort();
  return 0;
}
