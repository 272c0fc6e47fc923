-- Takes the claim, if it is free, over, or this holder's already.
--
-- KEYS   1 schema, 2 claim
-- ARGV   1 holder, 2 time to live in microseconds, 3 a token that was given out; when it is forgotten here is written down
-- reply  {'taken', token, expires} or {'held', holder, expires}; expires in microseconds since 1970
--
-- The claim's key is never deleted, so that tokens grow for ever.

local denied = forbidden({ { 'HINCRBY', 'token', '1' }, { 'HSET', 'order', '0' }, { 'SET', SCHEMA } })
if denied then return denied end
local now = clock()
local held = redis.call('HMGET', KEYS[2], 'holder', 'expires', 'token')
if held[1] and held[1] ~= ARGV[1] and now < tonumber(held[2]) then
  return { 'held', held[1], held[2] }
end
local expires = text(now + tonumber(ARGV[2]))
-- First, as it fails where the token is no number.
local token = redis.call('HINCRBY', KEYS[2], 'token', 1)
if token <= tonumber(ARGV[3]) then
  token = redis.call('HINCRBY', KEYS[2], 'token', text(tonumber(ARGV[3]) + 1 - token))
  redis.call('HSET', KEYS[2], 'forgot', text(now))
end
token = text(token)
redis.call('HSET', KEYS[2], 'holder', ARGV[1], 'expires', expires, 'order', '0', 'life', life())
redis.call('SET', KEYS[1], SCHEMA)
return { 'taken', token, expires }
