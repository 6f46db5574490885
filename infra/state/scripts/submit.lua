-- Create a task unless it is there. A resend finds it there, and changes nothing.
-- KEYS task events   ARGV ttl_seconds queued_json field value ...
-- returns 1 created, 0 was there
local task, events = KEYS[1], KEYS[2]
if redis.call('EXISTS', task) == 1 then
  return 0
end
redis.call('HSET', task, 'last', '0-1', unpack(ARGV, 3))
redis.call('XADD', events, '0-1', 'k', 'queued', 'd', ARGV[2])
redis.call('EXPIRE', task, ARGV[1])
redis.call('EXPIRE', events, ARGV[1])
return 1
