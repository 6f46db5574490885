-- Comes before every script that tells of events. The feed of all tasks is one bounded stream; an
-- entry holds what one run of a script wrote about tasks of one type and queue, up to a size: under
-- load an entry has the events of many tasks.
-- (On a cluster the feed's key would be in another slot: there it would have to be written apart.)
local LARGE, ENTRY = 32768, 4096
local pages, order = {}, {}
local function told(id, json)
  if #json > LARGE then -- whole it is in the task's own stream
    local event = cjson.decode(json)
    event.data, event.error, event.cut = nil, nil, true
    json = cjson.encode(event)
  end
  return '{"id":"' .. id .. '",' .. string.sub(json, 2)
end
local function turn(page)
  redis.call('XADD', 'stepline:feed', 'MAXLEN', '~', '10000', '*', 't', page.type, 'q', page.queue,
    'e', '[' .. table.concat(page.events, ',') .. ']')
  page.events, page.size = {}, 0
end
local function tell(type, queue, event)
  local name = (type or '') .. ' ' .. (queue or '')
  local page = pages[name]
  if not page then
    page = {type = type or '', queue = queue or '', events = {}, size = 0}
    pages[name] = page
    order[#order + 1] = page
  end
  if page.size > 0 and page.size + #event > ENTRY then
    turn(page)
  end
  page.events[#page.events + 1] = event
  page.size = page.size + #event
end
-- Write what was told and is not written yet.
local function close()
  for _, page in ipairs(order) do
    if page.size > 0 then
      turn(page)
    end
  end
end
-- The line that announces an event to whoever watches its task: it names its predecessor.
local function live(last, id, kind, json)
  return last .. ' ' .. id .. ' ' .. kind .. ' ' .. json
end
