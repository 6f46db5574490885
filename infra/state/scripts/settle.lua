-- The holder lets go: the task ends, or waits for its next attempt. First writer wins.
-- With an empty token: whoever finds the task unheld ends it (a cancelled one, say).
-- KEYS task events
-- ARGV channel token event_id kind event_head event_tail field value ...
--      event_id empty: the next after the stream's last, and the attempt goes between head and tail
-- returns 'ok' | 'lost' | 'missing'
local task, events = KEYS[1], KEYS[2]
local token = ARGV[2]
local held = redis.call('HMGET', task, 'status', 'token', 'settled', 'last', 'attempt')
if not held[1] then
  return 'missing'
end
local ended = held[1] == 'SUCCESS' or held[1] == 'FAILURE' or held[1] == 'CANCELLED'
if (held[2] or '') ~= token or (ended and token == '') then
  if token ~= '' and held[3] == token then
    return 'ok'
  end
  return 'lost'
end
local last = held[4] or '0-0'
local id, event = ARGV[3], ARGV[5]
if id == '' then
  local major, minor = string.match(last, '^(%d+)-(%d+)$')
  id = major .. '-' .. (tonumber(minor) + 1)
  event = ARGV[5] .. (held[5] or 0) .. ARGV[6]
end
local added = redis.pcall('XADD', events, id, 'k', ARGV[4], 'd', event)
if type(added) == 'table' and added.err then
  return added
end
redis.call('HSET', task, 'last', id, 'settled', token, unpack(ARGV, 7))
redis.call('HDEL', task, 'token', 'holder', 'progress', 'step')
redis.call('PUBLISH', ARGV[1], last .. ' ' .. id .. ' ' .. ARGV[4] .. ' ' .. event)
return 'ok'
