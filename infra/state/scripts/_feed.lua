-- Comes before every script that tells of events: what calls that came together share.
-- (On a cluster the feed's key would be in another slot: there it would have to be written apart.)
local LARGE, ENTRY = 32768, 4096
local type_of = type

-- Whole numbers as text, and events' ids: a batch needs the same few again and again, and to print
-- a number takes longer than to write an event.
local texts, spans = {}, {}
local function text(number)
  local known = texts[number]
  if not known then
    known = string.format('%.0f', number)
    texts[number] = known
  end
  return known
end
-- The ids of `count` events in a row of which `id` is the last one's.
local function ids_to(id, count)
  local known = spans[id]
  if not known then
    known = {}
    spans[id] = known
  end
  local ids = known[count]
  if not ids then
    local attempt, seq = string.match(id, '(%d+)-(%d+)')
    ids = {}
    for i = 1, count do
      ids[i] = attempt .. '-' .. text(seq - count + i)
    end
    known[count] = ids
  end
  return ids
end

-- The feed of all tasks is one bounded stream; an entry holds what one run of a script wrote about
-- tasks of one type and queue, up to a size: under load an entry has the events of many tasks.
local pages, order, page = {}, {}, nil
local function short(json)
  local event = cjson.decode(json) -- whole it is in the task's own stream
  event.data, event.error, event.cut = nil, nil, true
  return cjson.encode(event)
end
local function turn(page)
  redis.call('XADD', 'stepline:feed', 'MAXLEN', '~', '10000', '*', 't', page.type, 'q', page.queue,
    'i', table.concat(page.ids, ' '), 'e', '[' .. table.concat(page.events, ',') .. ']')
  page.ids, page.events, page.size = {}, {}, 0
end
local function tell(type, queue, id, json)
  type, queue = type or '', queue or ''
  if not page or page.type ~= type or page.queue ~= queue then
    local name = type .. ' ' .. queue
    page = pages[name]
    if not page then
      page = {type = type, queue = queue, ids = {}, events = {}, size = 0}
      pages[name] = page
      order[#order + 1] = page
    end
  end
  if #json > LARGE then
    json = short(json)
  end
  if page.size > 0 and page.size + #json > ENTRY then
    turn(page)
  end
  local place = #page.ids + 1
  page.ids[place] = id
  page.events[place] = json
  page.size = page.size + #json
end

-- Whoever watches a task hears a line for each event, which names its predecessor. Mostly nobody
-- does: that is asked once for all, before a line is made.
local channels, news = {}, {}
local function announce(channel, last, id, kind, json)
  local lines = news[channel]
  if not lines then
    channels[#channels + 1] = channel
    news[channel] = {last, ' ', id, ' ', kind, ' ', json}
    return
  end
  local at = #lines
  lines[at + 1], lines[at + 2], lines[at + 3], lines[at + 4] = '\n', last, ' ', id
  lines[at + 5], lines[at + 6], lines[at + 7], lines[at + 8] = ' ', kind, ' ', json
end

-- Write what was told, and announce: whoever hears of an event finds all written.
local function close()
  for _, page in ipairs(order) do
    if page.size > 0 then
      turn(page)
    end
  end
  if #channels > 0 then
    local heard = redis.call('PUBSUB', 'NUMSUB', unpack(channels))
    for i = 1, #channels do
      if tonumber(heard[2 * i]) > 0 then
        redis.call('PUBLISH', heard[2 * i - 1], table.concat(news[heard[2 * i - 1]]))
      end
    end
  end
end

-- Write a holder's entries from ARGV[at], the count of them: each is the id of its last event, how
-- many events it has, and their kinds and JSON texts. One that is there already (a resend) is left
-- alone. Returns the place after them, the last id that is new, and an error.
local function write(ARGV, at, stream, channel, last, type, queue)
  local entries = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, entries do
    local id, count = ARGV[at], tonumber(ARGV[at + 1])
    local added = redis.pcall('XADD', stream, id, unpack(ARGV, at + 2, at + 1 + 2 * count))
    if type_of(added) == 'table' and added.err then
      if not string.find(tostring(added.err), 'equal or smaller', 1, true) then
        return at, last, added
      end
    else
      local ids = ids_to(id, count)
      for i = 1, count do
        local own, json = ids[i], ARGV[at + 1 + 2 * i]
        announce(channel, last, own, ARGV[at + 2 * i], json)
        tell(type, queue, own, json)
        last = own
      end
    end
    at = at + 2 + 2 * count
  end
  return at, last
end
