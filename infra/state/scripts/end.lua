-- End a task that nobody holds; of one that is held, keep the wish for its holder to see.
-- KEYS task events
-- ARGV channel token takeover_token flag kind event_head event_tail field value ...
-- returns {'missing'} | {'ended', status} | {'held', holder, token, attempt} | {'closed', last}
local task, events = KEYS[1], KEYS[2]
local held = redis.call('HMGET', task, 'status', 'token', 'holder', 'attempt', 'last', 'settled',
  'type', 'queue')
local status, owner, last = held[1], held[2], held[5]
if owner == '' then -- let go
  owner = nil
end
if not status then
  return {'missing'}
end
if status == 'SUCCESS' or status == 'FAILURE' or status == 'CANCELLED' then
  if held[6] == ARGV[2] then
    return {'closed', last} -- a resend
  end
  return {'ended', status}
end
if owner and owner ~= ARGV[3] then
  if ARGV[4] ~= '' then
    redis.call('HSETNX', task, 'cancel', ARGV[4])
  end
  return {'held', held[3], owner, tonumber(held[4])}
end
local attempt, seq = string.match(last or '0-0', '(%d+)-(%d+)')
local id = attempt .. '-' .. (tonumber(seq) + 1)
local event = ARGV[6] .. attempt .. ARGV[7]
redis.call('HSET', task, 'last', id, 'settled', ARGV[2], unpack(ARGV, 8))
redis.call('HDEL', task, 'token', 'holder', 'progress', 'step', 'not_before')
redis.call('XADD', events, id, ARGV[5], event)
announce(ARGV[1], last or '0-0', id, ARGV[5], event)
tell(held[7], held[8], id, event)
return {'closed', id}
