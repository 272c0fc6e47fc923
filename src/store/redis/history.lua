-- Reads the history, newest first.
--
-- KEYS   1 schema, 2 history
-- ARGV   1 the largest number to read, 2 entries at most
-- reply  {number, entry, …}

local found = {}
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], ARGV[1], '-', 'COUNT', ARGV[2])) do
  found[#found + 1] = string.match(entry[1], '^%d+')
  found[#found + 1] = entry[2][4]
end
return found
