-- Refuses every commit of a claim that was sent before now and has not arrived yet.
--
-- KEYS   1 schema, 2 claim
-- ARGV   1 token, 2 order of this call; a commit with a smaller one comes too late from here on
-- reply  1

local held = redis.call('HMGET', KEYS[2], 'token', 'order')
if held[1] == ARGV[1] and tonumber(held[2]) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[2], 'order', ARGV[2])
end
return 1
