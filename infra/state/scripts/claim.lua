-- Take a task for one worker, with a token that fences every later write.
-- KEYS task events steps
-- ARGV channel token worker now_ms takeover_token floor_attempt floor_failures
--      event_head event_tail started_at create? field value ...
-- returns {'missing'} | {'ended', status} | {'cancelled', cancel} | {'expired', deadline_ms}
--       | {'early', remaining_ms}
--       | {'held', holder, token, attempt}
--       | {'yours', attempt, failures, losses, started_at, taken_over, {step, output, ...}}
local task, events, steps = KEYS[1], KEYS[2], KEYS[3]
local channel, token, worker, now, takeover = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]

local function look()
  return redis.call('HMGET', task, 'status', 'token', 'holder', 'attempt', 'failures', 'losses',
    'not_before', 'cancel', 'started_at', 'last', 'deadline', 'type', 'queue', 'from_step')
end
local held = look()
if not held[1] then
  if #ARGV < 12 then
    return {'missing'}
  end
  redis.call('HSET', task, unpack(ARGV, 12))
  held = look()
end
local status, owner, holder = held[1], held[2], held[3]
if owner == '' then -- let go
  owner = nil
end
local attempt = math.max(tonumber(held[4] or 0), tonumber(ARGV[6]))
local failures = math.max(tonumber(held[5] or 0), tonumber(ARGV[7]))
local losses = tonumber(held[6] or 0)

if status == 'SUCCESS' or status == 'FAILURE' or status == 'CANCELLED' then
  return {'ended', status}
end
if owner == token then
  return {'yours', tonumber(held[4]), failures, losses, held[9], 0, redis.call('HGETALL', steps)}
end
if owner and owner ~= takeover then
  return {'held', holder, owner, tonumber(held[4])}
end
if held[8] then -- and nobody alive holds it
  return {'cancelled', held[8]}
end
local deadline = tonumber(held[11] or 0)
if not owner and deadline > 0 and deadline < now and (not held[9] or failures > 0) then
  return {'expired', tostring(deadline)}
end
local not_before = tonumber(held[7] or 0)
if not owner and not_before > now then
  return {'early', math.ceil(not_before - now)}
end

local taken_over = 0
if owner then
  losses = losses + 1
  taken_over = 1
end
attempt = attempt + 1
local started = held[9] or ARGV[10]
local id = ids_to(text(attempt) .. '-1', 1)[1]
local event = ARGV[8] .. text(attempt) .. ARGV[9]
redis.call('HSET', task, 'status', 'RUNNING', 'token', token, 'holder', worker,
  'attempt', text(attempt), 'started_at', started, 'updated_at', ARGV[10], 'last', id)
if failures > 0 or losses > 0 then -- without them it has had none
  redis.call('HSET', task, 'failures', text(failures), 'losses', text(losses))
end
if held[7] then
  redis.call('HDEL', task, 'not_before')
end
redis.call('XADD', events, id, 'started', event)
announce(channel, held[10] or '0-0', id, 'started', event)
tell(held[12], held[13], id, event)
local done = {}
if attempt > 1 or held[14] then -- else nobody can have got anywhere
  done = redis.call('HGETALL', steps)
end
return {'yours', attempt, failures, losses, started, taken_over, done}
