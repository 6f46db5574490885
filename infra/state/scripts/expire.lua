-- Let the keys of ended tasks go after their time.
-- KEYS key ...   ARGV seconds   returns 1
for _, key in ipairs(KEYS) do
  redis.call('EXPIRE', key, ARGV[1])
end
return 1
