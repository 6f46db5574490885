-- Somebody gives an order (a queue is paused, a worker drained), or takes it back. Given twice, the
-- first holds; a resend changes nothing and tells nobody.
-- KEYS orders   ARGV name order_json ('' takes it back) event_json queue
-- returns 1 done, 0 nothing to do
local changed
if ARGV[2] == '' then
  changed = redis.call('HDEL', KEYS[1], ARGV[1])
else
  changed = redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
end
if changed == 1 then
  redis.call('XADD', 'stepline:feed', 'MAXLEN', '~', '10000', '*', 't', '', 'q', ARGV[4], 'e',
    '[' .. ARGV[3] .. ']')
end
return changed
