"""The arithmetic of `gateway.ledger.limits` inside Redis: one script, run as one step, whatever else asks meanwhile.

Keys: the epoch, a mark of this reservation, then two for each rule: its state, and what is held of it. All of them
share a hash tag, so that a cluster keeps them together.

Arguments: what to do; the time (µs since 1970; empty for Redis' own, by which all replicas reckon alike); the
reservation's id, lease (µs; for `settle` when it ends), time and epoch; a new epoch. Then for each rule its kind,
`most`, what is reserved of it, two more (period and slice of a rate; start and end of a budget's window), "1" where it
settles, and two that depend on what is done:

    reserve   "1" where the ledger is to be asked first. Sets all aside or nothing
    settle    what was used, and its difference to what was reserved
    release   for a reservation nobody knows the outcome of: it is taken off, or kept from coming to be
    renew     lets the lease begin anew
    look      changes nothing
    seed      what was spent in the window, at the least; of one rule

It answers a word, the time, the epoch, and for each rule three numbers: what is counted, the time until it is whole,
and the wait for room (-1: no wait helps; -2: there is room). Instead of it: `clock` and the time, where a window is
not the one of that time; `seed` and the places of the budgets to ask the ledger for; `gone`, where it was released.

State of a rate: slices as {number, amount, last, ...} in MessagePack. State of a budget: a hash of the window's start
`w`, the count `n`, and `s` where the ledger was asked. Held, by the end of their lease: `id|amount|reserved at`; what
nobody settled is taken off by whoever looks at the rule next. Money is added in whole 64-bit numbers (HINCRBY) and
compared as doubles: exactly up to 9,007 USD, and to some trillionths of the amount beyond.

The epoch is a random word that lives as long as what Redis knows. Where a reservation is gone and the epoch is another,
Redis has lost it, and what was used is counted whole; where the epoch is the same, it was settled before.
"""

from typing import Final

from gateway.ledger.remote import Script

_COMMON: Final = """
local what, id, at, epoch = ARGV[1], ARGV[3], tonumber(ARGV[5]), redis.call('GET', KEYS[1])
local now = tonumber(ARGV[2])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000000 + tonumber(t[2])
end
local FOREVER, KEEP, LARGEST = 9007199254740992, 34560000000, '9200000000000000000'
local rules = {}

local function int(n) return string.format('%.0f', n) end

local function give(r, amount, at)
  if r.kind == 'rate' then
    local number = math.floor(at / r.grain)
    for i = #r.slices - 2, 1, -3 do
      if r.slices[i] == number then
        local off = math.min(tonumber(amount), r.slices[i + 1])
        r.slices[i + 1] = r.slices[i + 1] - off
        r.sum, r.dirty = r.sum - off, true
      end
      if r.slices[i] <= number then return end
    end
  elseif r.kind == 'budget' and amount ~= '0' and at >= r.from and at < r.to then
    redis.call('HINCRBY', r.state, 'n', '-' .. amount)
  end
end

local function take(r, amount)
  if amount == '0' then return end
  if r.kind == 'rate' then
    local number, s = math.floor(now / r.grain), r.slices
    local last = #s
    if last > 0 and s[last - 2] >= number then
      s[last - 1] = s[last - 1] + tonumber(amount)
      s[last] = math.max(s[last], now)
    else
      s[last + 1], s[last + 2], s[last + 3] = number, tonumber(amount), now
    end
    r.sum, r.dirty = r.sum + tonumber(amount), true
  elseif r.kind == 'budget' then
    if tonumber(redis.call('HGET', r.state, 'n')) + tonumber(amount) > tonumber(LARGEST) then
      redis.call('HSET', r.state, 'n', LARGEST)
    else
      redis.call('HINCRBY', r.state, 'n', amount)
    end
  end
end

local function add(r, amount)
  if r.kind == 'rate' or (r.kind == 'budget' and at >= r.from and at < r.to) then take(r, amount) end
end

local function load(r)
  if r.kind == 'rate' then
    local kept = redis.call('GET', r.state)
    local s = kept and cmsgpack.unpack(kept) or {}
    local first = 1
    while s[first] and s[first + 2] + r.period <= now do first = first + 3 end
    r.slices, r.sum = {}, 0
    if #s > 0 and s[#s] > now + r.period then return end
    for i = first, #s, 3 do
      local n = #r.slices
      r.slices[n + 1], r.slices[n + 2], r.slices[n + 3] = s[i], s[i + 1], s[i + 2]
      r.sum = r.sum + s[i + 1]
    end
  elseif r.kind == 'budget' then
    if tonumber(redis.call('HGET', r.state, 'w') or -1) ~= r.from then
      redis.call('DEL', r.state, r.held)
      redis.call('HSET', r.state, 'w', int(r.from), 'n', '0')
    end
  end
end

local function expire(r)
  if not r.settles then return end
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', r.held, '-inf', int(now))) do
    local amount, since = string.match(one, '|(%d+)|(%d+)$')
    give(r, amount, tonumber(since))
    redis.call('ZREM', r.held, one)
  end
end

local function count(r)
  if r.kind == 'rate' then r.counted = int(r.sum) return end
  r.counted = r.kind == 'budget' and redis.call('HGET', r.state, 'n') or redis.call('ZCARD', r.held)
  r.sum = tonumber(r.counted)
end

local function keep(r, lease)
  local left = KEEP
  if r.kind == 'rate' then left = math.ceil(r.period / 1000) + 1000 end
  if r.kind == 'budget' and r.to < FOREVER then left = math.ceil((r.to - now) / 1000) + 1000 end
  if r.kind == 'parallel' then left = 0 end
  left = math.min(left, KEEP)
  if r.dirty then redis.call('SET', r.state, cmsgpack.pack(r.slices), 'PX', int(left)) end
  if r.kind == 'budget' then redis.call('PEXPIRE', r.state, int(left)) end
  if lease and r.settles then
    redis.call('PEXPIRE', r.held, int(math.max(left, math.ceil(lease / 1000) + 1000)))
  end
end

local function reset(r)
  if r.kind == 'rate' then
    for i = #r.slices, 1, -3 do
      if r.slices[i - 1] > 0 then return r.slices[i] + r.period - now end
    end
  elseif r.kind == 'budget' and r.sum ~= 0 and r.to < FOREVER then
    return r.to - now
  end
  return 0
end

local function wait(r)
  local needed = math.max(tonumber(r.amount), 1)
  local missing = r.sum + needed - r.most
  if needed > r.most then return -1 end
  if missing <= 0 then return -2 end
  if r.kind == 'parallel' then return 1000000 end
  if r.kind == 'budget' then return r.to < FOREVER and r.to - now or -1 end
  local freed = 0
  for i = 1, #r.slices, 3 do
    freed = freed + r.slices[i + 1]
    if freed >= missing then return r.slices[i + 2] + r.period - now end
  end
  return -1
end

for i = 3, #KEYS, 2 do
  local a = 8 + (i - 3) * 4
  local r = {kind = ARGV[a], most = tonumber(ARGV[a + 1]), amount = ARGV[a + 2], settles = ARGV[a + 5] == '1',
    first = ARGV[a + 6], second = ARGV[a + 7], state = KEYS[i], held = KEYS[i + 1]}
  if r.kind == 'rate' then
    r.period, r.grain = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
  elseif r.kind == 'budget' then
    r.from, r.to = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
    if now < r.from or now >= r.to then return {'clock', now} end
  end
  rules[#rules + 1] = r
end
if not epoch then
  epoch = ARGV[7]
  redis.call('SET', KEYS[1], epoch)
end
for _, r in ipairs(rules) do
  load(r)
  expire(r)
end
"""

_VERBS: Final = """
local word, verbs = 'ok', {}

function verbs.reserve()
  if redis.call('EXISTS', KEYS[2]) == 1 then return {'gone', now} end
  local blank = {}
  for i, r in ipairs(rules) do
    if r.first == '1' and redis.call('HEXISTS', r.state, 's') == 0 then blank[#blank + 1] = i - 1 end
  end
  if #blank > 0 then return {'seed', now, unpack(blank)} end
  for _, r in ipairs(rules) do
    count(r)
    r.wait = wait(r)
    if r.wait ~= -2 then word = 'full' end
  end
  if word == 'full' then return end
  local lease = tonumber(ARGV[4])
  for _, r in ipairs(rules) do
    take(r, r.amount)
    if r.settles then
      redis.call('ZADD', r.held, int(now + lease), id .. '|' .. r.amount .. '|' .. int(now))
      r.lease = lease
    end
  end
end

function verbs.settle()
  local lost = now >= tonumber(ARGV[4]) or epoch ~= ARGV[6]
  local marked
  for _, r in ipairs(rules) do
    if r.settles and redis.call('ZREM', r.held, id .. '|' .. r.amount .. '|' .. ARGV[5]) == 1 then
      if r.kind ~= 'parallel' and r.second ~= '0' then
        if string.sub(r.second, 1, 1) == '-' then give(r, string.sub(r.second, 2), at) else add(r, r.second) end
      end
    elseif r.settles and lost and r.first ~= '0' then
      if marked == nil then marked = redis.call('SET', KEYS[2], '1', 'NX', 'PX', '86400000') end
      if marked then add(r, r.first) end
    end
  end
end

function verbs.release()
  redis.call('SET', KEYS[2], '1', 'PX', int(math.ceil(tonumber(ARGV[4]) / 1000)))
  for _, r in ipairs(rules) do
    for _, one in ipairs(r.settles and redis.call('ZRANGE', r.held, 0, -1) or {}) do
      if string.sub(one, 1, #id + 1) == id .. '|' then
        local amount, since = string.match(one, '|(%d+)|(%d+)$')
        redis.call('ZREM', r.held, one)
        give(r, amount, tonumber(since))
      end
    end
  end
end

function verbs.renew()
  local lease = tonumber(ARGV[4])
  for _, r in ipairs(rules) do
    local member = id .. '|' .. r.amount .. '|' .. ARGV[5]
    if r.settles and redis.call('ZSCORE', r.held, member) then
      redis.call('ZADD', r.held, int(now + lease), member)
      r.lease = lease
      word = 'renewed'
    end
  end
end

function verbs.seed()
  local r = rules[1]
  if tonumber(r.first) > tonumber(redis.call('HGET', r.state, 'n')) then redis.call('HSET', r.state, 'n', r.first) end
  redis.call('HSET', r.state, 's', '1')
end

function verbs.look() end

local early = verbs[what]()
for _, r in ipairs(rules) do keep(r, r.lease) end
if early then return early end
local out = {word, now, epoch}
for _, r in ipairs(rules) do
  count(r)
  out[#out + 1], out[#out + 2], out[#out + 3] = r.counted, reset(r), r.wait or -2
end
return out
"""

SCRIPT: Final = Script(_COMMON + _VERBS)
