// Tests as scripts of steps: an event goes in, and these commands, in this order, must come out. The step that fails is
// the message.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "flow/machine.hpp"

namespace flow::model {

inline const char* word(Side side) {
  return side == Side::client ? "client" : "origin";
}

inline std::string text_of(const Command& command) {
  struct Visitor {
    std::string operator()(const Connect&) { return "connect"; }
    std::string operator()(const ConnectTls& c) {
      std::string text = "connect tls " + c.name;
      for (const std::string& each : c.alpn) text += " " + each;
      return text;
    }
    std::string operator()(const AcceptTls& c) {
      return "accept tls " + c.name + (c.alpn.empty() ? "" : " " + c.alpn) + (c.alone ? " alone" : "");
    }
    std::string operator()(const HangUp&) { return "hang up"; }
    std::string operator()(const Read& c) {
      const char* mode = c.mode == Read::Mode::off ? " off" : c.mode == Read::Mode::peek ? " peek" : " stream";
      return std::string("read ") + word(c.side) + mode + (c.more_than ? " >" + std::to_string(c.more_than) : "");
    }
    std::string operator()(const Consume& c) {
      return std::string("consume ") + word(c.side) + " " + std::to_string(c.count);
    }
    std::string operator()(const Forward& c) {
      return std::string("forward ") + word(c.from) + " " + std::to_string(c.count);
    }
    std::string operator()(const Send& c) {  // text up to its first line's end, else its length
      bool is_text = c.bytes[0] >= ' ';
      std::string what = is_text ? c.bytes.substr(0, c.bytes.find('\r')) : std::to_string(c.bytes.size()) + " bytes";
      return std::string("send ") + word(c.to) + " " + what;
    }
    std::string operator()(const Splice& c) {
      return std::string("splice ") + word(c.from) +
             (c.limit == Splice::unlimited ? "" : " " + std::to_string(c.limit));
    }
    std::string operator()(const Finish& c) { return std::string("finish ") + word(c.side); }
    std::string operator()(const Close&) { return "close"; }
    std::string operator()(const Reset&) { return "reset"; }
    std::string operator()(const Arm& c) {
      std::string timer = c.timer == Timer::deadline ? "deadline" : "idle";
      if (c.after == base::Duration{}) return "disarm " + timer;
      return "arm " + timer + " " + std::to_string(std::chrono::duration_cast<std::chrono::seconds>(c.after).count()) +
             "s";
    }
    std::string operator()(const Describe& c) { return "describe " + c.name; }
    std::string operator()(const Note& c) {
      std::string note = "note " + c.record.action + " " + c.record.reason;
      if (!c.record.rule.empty()) note += " '" + c.record.rule + "'";
      return note;
    }
  };
  return std::visit(Visitor{}, command);
}

class Playbook {
 public:
  Playbook(Opening opening, Surroundings& surroundings) : machine_(std::move(opening), surroundings, counters) {}

  // One line a command.
  Playbook& start(std::string_view expected) {
    machine_.start(out_);
    return check("start", expected);
  }
  Playbook& client(std::string_view bytes, std::string_view expected, bool ended = false) {
    return step(Received{Side::client, base::as_bytes(bytes), ended}, "client sends", expected);
  }
  Playbook& origin(std::string_view bytes, std::string_view expected, bool ended = false) {
    return step(Received{Side::origin, base::as_bytes(bytes), ended}, "origin sends", expected);
  }
  Playbook& step(const Event& event, std::string_view what, std::string_view expected) {
    machine_.on(event, out_);
    return check(what, expected);
  }
  const AccessRecord& record() const { return record_; }  // of the last note
  const std::string& sent() const { return sent_; }       // by the last Send
  const std::vector<Describe>& described() const { return described_; }
  Machine& machine() { return machine_; }

  Counters counters;

 private:
  Playbook& check(std::string_view what, std::string_view expected) {
    std::string got;
    for (const Command& command : out_) {
      if (auto* described = std::get_if<Describe>(&command)) {
        described_.push_back(*described);
        continue;
      }
      got += (got.empty() ? "" : "\n") + text_of(command);
      if (auto* note = std::get_if<Note>(&command)) record_ = note->record;
      if (auto* send = std::get_if<Send>(&command)) sent_ = send->bytes;
    }
    out_.clear();
    EXPECT_EQ(got, expected) << "step " << ++step_ << ": " << what;
    return *this;
  }

  Machine machine_;
  CommandList out_;
  AccessRecord record_;
  std::string sent_;
  std::vector<Describe> described_;
  int step_ = 0;
};

}  // namespace flow::model
