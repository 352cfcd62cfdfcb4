// The page that a blocked request gets when the admin has none of their own (templates/block.html). It stands alone: no
// script, font, picture or style from elsewhere, since the network may refuse exactly those. {{names}} are filled in
// and escaped by base::TextTemplate.
#include "rules/load.hpp"

namespace rules {

const std::vector<std::string_view> block_page_names{"what", "why",  "rule",  "id",       "client", "url",
                                                     "host", "time", "group", "category", "proceed"};

const std::string_view default_block_page = R"html(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
<title>Blocked: {{host}}</title>
<style>
:root { --page: #f3f4f6; --card: #fff; --ink: #1f2430; --quiet: #5b6372; --line: #d9dce3; --mark: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14161b; --card: #1e2129; --ink: #e7e9ee; --quiet: #a2a9b8; --line: #343945; --mark: #ff8a80; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem 1rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 36rem; margin: 4vh auto; padding: 1.5rem; background: var(--card);
  border-top: .3rem solid var(--mark); border-radius: .5rem; }
h1 { margin: 0 0 .75rem; font-size: 1.4rem; line-height: 1.3; }
p { margin: 0 0 1rem; }
.address { font-family: ui-monospace, monospace; font-size: .95rem; overflow-wrap: anywhere; }
dl { margin: 0 0 1.25rem; border-top: 1px solid var(--line); }
dl div { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: .45rem 0; border-bottom: 1px solid var(--line); }
dt { flex: 0 0 7rem; color: var(--quiet); }
dd { flex: 1 1 12rem; margin: 0; overflow-wrap: anywhere; }
form { margin: 0 0 1.25rem; }
button, input { font: inherit; padding: .35rem .9rem; }
.help { margin: 0; color: var(--quiet); }
code { font-family: ui-monospace, monospace; }
</style>
</head>
<body>
<main>
<h1>This page is blocked on this network</h1>
<p class="address">{{what}}</p>
<p>{{why}}</p>
{{proceed}}
<dl>
<div><dt>Rule</dt><dd>{{rule}}</dd></div>
<div><dt>Category</dt><dd>{{category}}</dd></div>
<div><dt>Your device</dt><dd>{{client}}</dd></div>
<div><dt>Group</dt><dd>{{group}}</dd></div>
<div><dt>Time</dt><dd>{{time}}</dd></div>
<div><dt>Decision</dt><dd><code>{{id}}</code></dd></div>
</dl>
<p class="help">Do you think this is a mistake? Ask the person who looks after this network and give them the
decision number <code>{{id}}</code>: with it they can see which rule decided, and why.</p>
</main>
</body>
</html>
)html";

}  // namespace rules
