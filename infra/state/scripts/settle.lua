-- The holder lets go with its last events and checkpoints: the task ends, or waits for its next
-- attempt. First writer wins; a resend by the same holder is a no-op.
-- KEYS task events steps
-- ARGV channel token n (id kind json)*n n (step output)*n field value ...
-- returns 'ok' | 'lost' (another holds it, or it has ended) | 'missing' (the task is gone)
local task, events, steps = KEYS[1], KEYS[2], KEYS[3]
local held = redis.call('HMGET', task, 'token', 'settled', 'last', 'status', 'type', 'queue')
if held[1] ~= ARGV[2] then
  if held[2] == ARGV[2] then
    return 'ok'
  end
  return held[4] and 'lost' or 'missing'
end
local last = held[3] or '0-0'
local news = {}
local at = 3
for _ = 1, tonumber(ARGV[at]) do
  local id, kind, json = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local added = redis.pcall('XADD', events, id, 'k', kind, 'd', json)
  if type(added) == 'table' and added.err then
    if not string.find(tostring(added.err), 'equal or smaller', 1, true) then
      return added
    end
  else
    news[#news + 1] = live(last, id, kind, json)
    last = id
    tell(held[5], held[6], told(id, json))
  end
  at = at + 3
end
at = at + 1
local count = tonumber(ARGV[at])
for i = 1, count do
  redis.call('HSET', steps, ARGV[at + 2 * i - 1], ARGV[at + 2 * i])
end
at = at + 2 * count + 1
-- the error is of an earlier attempt; this one brings its own, if any
redis.call('HDEL', task, 'token', 'holder', 'progress', 'step', 'error')
redis.call('HSET', task, 'last', last, 'settled', ARGV[2], unpack(ARGV, at))
if #news > 0 then -- whoever hears of the end finds it written
  redis.call('PUBLISH', ARGV[1], table.concat(news, '\n'))
end
return 'ok'
