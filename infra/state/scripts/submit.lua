-- Create a task unless it is there. A resend finds it there, and changes nothing.
-- KEYS task events steps   ARGV type queue queued_json n (step output)*n field value ...
-- returns 1 created, 0 was there
local task, events, steps = KEYS[1], KEYS[2], KEYS[3]
if redis.call('EXISTS', task) == 1 then
  return 0
end
local count = tonumber(ARGV[4])
for i = 1, count do
  redis.call('HSET', steps, ARGV[3 + 2 * i], ARGV[4 + 2 * i])
end
redis.call('HSET', task, 'last', '0-1', unpack(ARGV, 5 + 2 * count))
redis.call('XADD', events, '0-1', 'queued', ARGV[3])
tell(ARGV[1], ARGV[2], '0-1', ARGV[3])
return 1
