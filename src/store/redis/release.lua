-- Frees the claim while it is current; the token stays known.
--
-- KEYS   1 schema, 2 claim
-- ARGV   1 token, 2 holder, 3 channel of wakes, 4 who wakes
-- reply  1; 0 when the claim is not current

if not is_current(KEYS[2], ARGV[1], ARGV[2], clock()) then return 0 end
redis.call('HDEL', KEYS[2], 'holder', 'expires', 'life')
wake(ARGV[3], ARGV[4], 'released', KEYS[1])
return 1
