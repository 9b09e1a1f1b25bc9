-- Marks a connection as the response to a request. 1: it is now, or was already, that request's.

local owner, retention_ms = ARGV[1], ARGV[2]
local known = redis.call('GET', KEYS[1])
if known then return known == owner and 1 or 0 end
redis.call('SET', KEYS[1], owner, 'PX', retention_ms)
return 1
