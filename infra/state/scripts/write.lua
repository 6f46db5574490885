-- The holder writes events, fields and checkpoints, all or nothing, if its token still holds.
-- A resend writes the same again: an event that is there already is left alone.
-- KEYS task events steps
-- ARGV channel token n (last_id count (kind json)*count)*n n (field value)*n n (step output)*n
--      n (dropped_id)*n
-- returns 'ok' | 'lost' (another holds it, or it has ended) | 'missing' (the task is gone)
local task, events, steps = KEYS[1], KEYS[2], KEYS[3]
local held = redis.call('HMGET', task, 'token', 'status', 'last', 'type', 'queue')
if held[1] ~= ARGV[2] then
  return held[2] and 'lost' or 'missing'
end
local at, last, failed = write(ARGV, 3, events, ARGV[1], held[3] or '0-0', held[4], held[5])
if failed then
  return failed
end
local count = tonumber(ARGV[at])
redis.call('HSET', task, 'last', last, unpack(ARGV, at + 1, at + 2 * count))
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
