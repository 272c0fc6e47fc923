-- Prolongs the claim while it is current.
--
-- KEYS   1 schema, 2 claim
-- ARGV   1 token, 2 holder, 3 time to live in microseconds
-- reply  expires in microseconds since 1970; nil when the claim is not current

local now = clock()
if not is_current(KEYS[2], ARGV[1], ARGV[2], now) then return nil end
local expires = text(now + tonumber(ARGV[3]))
redis.call('HSET', KEYS[2], 'expires', expires)
return expires
