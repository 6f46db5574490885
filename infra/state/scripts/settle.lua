-- The holder lets go with its last events and checkpoints: the task ends, or waits for its next
-- attempt. First writer wins; a resend by the same holder is a no-op.
-- KEYS task events steps
-- ARGV channel token n (last_id count (kind json)*count)*n n (step output)*n field value ...
-- returns 'ok' | 'lost' (another holds it, or it has ended) | 'missing' (the task is gone)
local task, events, steps = KEYS[1], KEYS[2], KEYS[3]
local held = redis.call('HMGET', task, 'token', 'settled', 'last', 'status', 'type', 'queue',
  'progress', 'step', 'error')
if held[1] ~= ARGV[2] then
  if held[2] == ARGV[2] then
    return 'ok'
  end
  return held[4] and 'lost' or 'missing'
end
local at, last, failed = write(ARGV, 3, events, ARGV[1], held[3] or '0-0', held[5], held[6])
if failed then
  return failed
end
local count = tonumber(ARGV[at])
for i = 1, count do
  redis.call('HSET', steps, ARGV[at + 2 * i - 1], ARGV[at + 2 * i])
end
at = at + 2 * count + 1
-- the error is of an earlier attempt; this one brings its own, if any
if held[7] or held[8] or held[9] then
  redis.call('HDEL', task, 'progress', 'step', 'error')
end
redis.call('HSET', task, 'token', '', 'holder', '', 'last', last, 'settled', ARGV[2],
  unpack(ARGV, at))
return 'ok'
