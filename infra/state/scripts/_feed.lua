-- Comes before every script that tells of events. The feed of all tasks is one bounded stream; an
-- entry holds what one run of a script wrote about tasks of one type and queue, up to a size: under
-- load an entry has the events of many tasks.
-- (On a cluster the feed's key would be in another slot: there it would have to be written apart.)
local LARGE, ENTRY = 32768, 4096
local type_of = type
local pages, order = {}, {}
local function short(json)
  if #json > LARGE then -- whole it is in the task's own stream
    local event = cjson.decode(json)
    event.data, event.error, event.cut = nil, nil, true
    json = cjson.encode(event)
  end
  return json
end
local function turn(page)
  redis.call('XADD', 'stepline:feed', 'MAXLEN', '~', '10000', '*', 't', page.type, 'q', page.queue,
    'i', table.concat(page.ids, ' '), 'e', '[' .. table.concat(page.events, ',') .. ']')
  page.ids, page.events, page.size = {}, {}, 0
end
local function tell(type, queue, id, json)
  type, queue = type or '', queue or ''
  local page = pages[type .. ' ' .. queue]
  if not page then
    page = {type = type, queue = queue, ids = {}, events = {}, size = 0}
    pages[type .. ' ' .. queue] = page
    order[#order + 1] = page
  end
  local event = short(json)
  if page.size > 0 and page.size + #event > ENTRY then
    turn(page)
  end
  page.ids[#page.ids + 1] = id
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
-- Write a holder's entries from ARGV[at], the count of them: each is the id of its last event, how
-- many events it has, and their kinds and JSON texts. One that is there already (a resend) is left
-- alone. Returns the place after them, the last id that is new, what is to be announced, and an error.
local function write(ARGV, at, stream, last, type, queue)
  local news = {}
  local entries = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, entries do
    local id, count = ARGV[at], tonumber(ARGV[at + 1])
    local added = redis.pcall('XADD', stream, id, unpack(ARGV, at + 2, at + 1 + 2 * count))
    if type_of(added) == 'table' and added.err then
      if not string.find(tostring(added.err), 'equal or smaller', 1, true) then
        return at, last, news, added
      end
    else
      local attempt, seq = string.match(id, '(%d+)-(%d+)')
      for i = 1, count do
        local kind, json = ARGV[at + 2 * i], ARGV[at + 1 + 2 * i]
        local own = attempt .. '-' .. (seq - count + i)
        news[#news + 1] = live(last, own, kind, json)
        last = own
        tell(type, queue, own, json)
      end
    end
    at = at + 2 + 2 * count
  end
  return at, last, news
end
