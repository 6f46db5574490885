-- A living holder finds its task gone (a flush), or put back by an attempt that it has superseded:
-- it puts back what it knows, its events included.
-- KEYS task events steps
-- ARGV token attempt n (field value)*n n (step output)*n n (id kind json)*n
-- returns 'ok' | 'lost' (a later attempt holds it, or it has ended)
local task, events, steps = KEYS[1], KEYS[2], KEYS[3]
local held = redis.call('HMGET', task, 'status', 'token', 'attempt')
local status = held[1]
if status then
  if held[2] == ARGV[1] then
    return 'ok'
  end
  if status == 'SUCCESS' or status == 'FAILURE' or status == 'CANCELLED'
      or tonumber(held[3] or 0) >= tonumber(ARGV[2]) then
    return 'lost'
  end
  redis.call('DEL', task, events)
end
local at = 3
local count = tonumber(ARGV[at])
redis.call('HSET', task, 'token', ARGV[1], unpack(ARGV, at + 1, at + 2 * count))
at = at + 2 * count + 1
count = tonumber(ARGV[at])
for i = 1, count do
  redis.call('HSET', steps, ARGV[at + 2 * i - 1], ARGV[at + 2 * i])
end
at = at + 2 * count + 1
count = tonumber(ARGV[at])
for i = 1, count do
  local place = at + 3 * i - 2
  local added = redis.pcall('XADD', events, ARGV[place], ARGV[place + 1], ARGV[place + 2])
  if type(added) == 'table' and added.err
      and not string.find(tostring(added.err), 'equal or smaller', 1, true) then
    return added
  end
end
return 'ok'
