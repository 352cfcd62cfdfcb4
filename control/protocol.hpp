// The control protocol: one JSON object a line over the control socket, one answer a line, then the peer closes.
//
//   {"verb":"explain","args":{"client":"10.20.0.7","target":"https://example.org/"}}
//   {"exit":0,"text":"...","data":{...}}
//
// `exit` is what sluicectl exits with (0 yes or ok, 1 no, 2 bad input or a refused reload), `text` what it prints,
// `data` what it prints with --json. Verbs the daemon knows: status, connections, top, explain, reload, down.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/result.hpp"

namespace control {

using Json = nlohmann::json;

inline constexpr std::size_t request_limit = 64 * 1024;  // bytes of one request line

struct Request {
  std::string verb;
  std::map<std::string, std::string> args;

  std::string argument(const char* key) const {  // empty: not given
    auto found = args.find(key);
    return found == args.end() ? std::string{} : found->second;
  }
};

struct Reply {
  int exit = 0;
  std::string text;
  Json data = Json::object();
};

// The answer to what cannot be: `why` for people, and as data.
Reply refusal(int exit, const std::string& why);

base::Result<Request> parse_request(std::string_view line);
base::Result<Reply> parse_reply(std::string_view line);
std::string to_line(const Request& request);  // without the line end
std::string to_line(const Reply& reply);

}  // namespace control
