-- Comes before every script that tells of events. The feed of all tasks is one bounded stream; an
-- entry holds what one script wrote, so that a quick task costs it three entries, not five.
-- (On a cluster the feed's key would be in another slot: there it would have to be written apart.)
local LARGE = 32768
local function told(id, json)
  if #json > LARGE then -- whole it is in the task's own stream
    local event = cjson.decode(json)
    event.data, event.error, event.cut = nil, nil, true
    json = cjson.encode(event)
  end
  return '{"id":"' .. id .. '",' .. string.sub(json, 2)
end
local function tell(task, events)
  if #events > 0 then
    local about = redis.call('HMGET', task, 'type', 'queue')
    redis.call('XADD', 'stepline:feed', 'MAXLEN', '~', '10000', '*', 't', about[1] or '', 'q',
      about[2] or '', 'e', '[' .. table.concat(events, ',') .. ']')
  end
end
