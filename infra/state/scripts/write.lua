-- The holder writes events, fields and checkpoints, all or nothing, if its token still holds.
-- A resend writes the same again: an event that is there already is left alone.
-- KEYS task events steps
-- ARGV channel token n (id kind json)*n n (field value)*n n (step output)*n n (dropped_id)*n
-- returns 'ok' | 'lost' (another holds it, or it has ended) | 'missing' (the task is gone)
local task, events, steps = KEYS[1], KEYS[2], KEYS[3]
local owner = redis.call('HGET', task, 'token')
if owner ~= ARGV[2] then
  if redis.call('EXISTS', task) == 0 then
    return 'missing'
  end
  return 'lost'
end
local at = 3
local news = {}
local last = redis.call('HGET', task, 'last') or '0-0'
for _ = 1, tonumber(ARGV[at]) do
  local id, kind, json = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local added = redis.pcall('XADD', events, id, 'k', kind, 'd', json)
  if type(added) == 'table' and added.err then
    if not string.find(tostring(added.err), 'equal or smaller', 1, true) then
      return added
    end
  else
    redis.call('PUBLISH', ARGV[1], last .. ' ' .. id .. ' ' .. kind .. ' ' .. json)
    last = id
    news[#news + 1] = told(id, json)
  end
  at = at + 3
end
redis.call('HSET', task, 'last', last)
tell(task, news)
at = at + 1
local count = tonumber(ARGV[at])
for i = 1, count do
  redis.call('HSET', task, ARGV[at + 2 * i - 1], ARGV[at + 2 * i])
end
at = at + 2 * count + 1
count = tonumber(ARGV[at])
for i = 1, count do
  redis.call('HSET', steps, ARGV[at + 2 * i - 1], ARGV[at + 2 * i])
end
at = at + 2 * count + 1
count = tonumber(ARGV[at])
for i = 1, count do
  redis.call('XDEL', events, ARGV[at + i])
end
return 'ok'
