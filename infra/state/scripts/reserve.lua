-- Reserve an idempotency key for one request, or say who has it.
-- KEYS key   ARGV body_hash task_id now_ms stale_after_ms ttl_seconds
-- returns {'new'|'again'|'busy'|'done'|'other_body', task_id}
local held = redis.call('HMGET', KEYS[1], 'hash', 'task', 'state', 'at')
if not held[1] then
  redis.call('HSET', KEYS[1], 'hash', ARGV[1], 'task', ARGV[2], 'state', 'reserved', 'at', ARGV[3])
  redis.call('EXPIRE', KEYS[1], ARGV[5])
  return {'new', ARGV[2]}
end
if held[1] ~= ARGV[1] then
  return {'other_body', held[2]}
end
if held[3] == 'accepted' then
  return {'done', held[2]}
end
if held[2] == ARGV[2] then
  return {'new', held[2]}  -- this very call, sent again after its answer was lost
end
if tonumber(ARGV[3]) - tonumber(held[4]) > tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[1], 'at', ARGV[3])
  return {'again', held[2]}
end
return {'busy', held[2]}
