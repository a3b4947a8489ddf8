import fc from 'fast-check'
import { OwnTime } from '@retrap/tooling/processor-time'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { CONNECTION, ERROR, REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, StoreGuest, XS } from './support/store-guest.ts'

const test = sliceTests(3)

const host = (domain: number) => ({ domain, read: false, write: false })

describe('requests (docs/misc/xenstore.txt)', () => {
  test('what is written is read, and its directories are there', () => {
    const guest = new StoreGuest()
    expect(guest.ask(XS.write, 'a/b/c\0value')).toBe('OK')
    expect(guest.ask(XS.read, 'a/b/c\0')).toBe('value')
    expect(guest.ask(XS.read, '/local/domain/1/a/b/c\0')).toBe('value')
    expect(guest.ask(XS.read, 'a/b\0')).toBe('')
    expect(guest.ask(XS.makeDirectory, 'a/d\0')).toBe('OK')
    expect(guest.ask(XS.directory, 'a\0')).toBe('b\0d')
    expect(guest.ask(XS.remove, 'a/b\0')).toBe('OK')
    expect(guest.ask(XS.read, 'a/b/c\0')).toBe('ENOENT')
    expect(guest.ask(XS.remove, 'a/b\0')).toBe('OK')
    expect(guest.ask(XS.remove, 'a/b/c\0')).toBe('ENOENT')
    expect(guest.store.list('/local/domain/1/a')).toEqual(['d'])
  })

  test('values are bytes, NUL and all', () => {
    const guest = new StoreGuest()
    guest.ask(XS.write, 'a\0x\0\xffy')
    expect(guest.ask(XS.read, 'a\0')).toBe('x\0\xffy')
  })

  test.each([
    ['no NUL', XS.read, 'a', 'EINVAL'],
    ['two texts for one', XS.read, 'a\0b\0', 'EINVAL'],
    ['an empty path', XS.read, '\0', 'EINVAL'],
    ['a slash at the end', XS.read, 'a/\0', 'EINVAL'],
    ['two slashes', XS.read, '/a//b\0', 'EINVAL'],
    ['a letter that no path has', XS.read, 'a b\0', 'EINVAL'],
    ['bytes above 127', XS.read, '\xc3\xa4\0', 'EINVAL'],
    ['a path that is too long', XS.read, `${'a'.repeat(2049)}\0`, 'EINVAL'],
    ['what is not there', XS.read, 'none\0', 'ENOENT'],
    ['a value without a path', XS.write, 'abc', 'EINVAL'],
    ['a large value', XS.write, `a\0${'x'.repeat(2049)}`, 'ENOSPC'],
    ['the root removed', XS.remove, '/\0', 'EINVAL'],
    ['another domain’s nodes', XS.read, '/secret\0', 'EACCES'],
    ['another domain’s nodes, not there', XS.read, '/secret/none\0', 'EACCES'],
    ['a node beside its own', XS.write, '/local/x\0', 'EACCES'],
    ['what only the host may do', XS.introduce, '2\x003\x004\0', 'EACCES'],
    ['what only the host may watch', XS.watch, '@releaseDomain\0t\0', 'EACCES'],
    ['an unknown type', 99, '', 'ENOSYS'],
    ['an answer as a request', XS.watchEvent, 'a\0b\0', 'ENOSYS'],
    ['an unknown permission', XS.setPermissions, '/local/domain/1\0x1\0', 'EINVAL'],
    ['a node given away', XS.setPermissions, '/local/domain/1\0n0\0', 'EPERM'],
    ['no permission at all', XS.setPermissions, '/local/domain/1\0', 'EINVAL'],
    ['a watch that there is not', XS.unwatch, 'a\0t\0', 'ENOENT'],
    ['an end that is none', XS.end, 'X\0', 'EINVAL'],
    ['the end of no transaction', XS.end, 'T\0', 'ENOENT'],
  ])('%s', (_name, type, payload, answer) => {
    const guest = new StoreGuest()
    guest.store.write('/secret', 'x')
    expect(guest.ask(type, payload)).toBe(answer)
  })

  test('where domains are', () => {
    const guest = new StoreGuest()
    expect(guest.ask(XS.domainPath, '7\0')).toBe('/local/domain/7')
    expect(guest.ask(XS.isIntroduced, '0\0')).toBe('T')
    expect(guest.ask(XS.isIntroduced, '1\0')).toBe('T')
    expect(guest.ask(XS.isIntroduced, '2\0')).toBe('F')
  })

  test('a long directory comes in parts', () => {
    const guest = new StoreGuest()
    const names = Array.from({ length: 900 }, (_, i) => `name-${i}`)
    for (const name of names) guest.store.write(`/local/domain/1/d/${name}`, '')
    guest.store.setPermissions('/local/domain/1/d', [host(1)])
    expect(guest.ask(XS.directory, 'd\0')).toBe('E2BIG')
    let offset = 0
    const found: string[] = []
    for (;;) {
      const [generation, ...part] = guest.ask(XS.directoryPart, `d\0${offset}\0`).split('\0')
      expect(generation).toMatch(/^\d+$/)
      const complete = part.at(-1) === ''
      if (complete) part.pop()
      found.push(...part)
      if (complete) break
      offset += part.reduce((sum, each) => sum + each.length + 1, 0)
    }
    expect(found).toEqual(names)
  })
})

describe('permissions', () => {
  test('a guest reads what it may, owns what it makes, and shares it', () => {
    const guest = new StoreGuest()
    guest.store.write('/readable', 'x')
    guest.store.setPermissions('/readable', [host(0), { domain: 1, read: true, write: false }])
    expect(guest.ask(XS.read, '/readable\0')).toBe('x')
    expect(guest.ask(XS.write, '/readable\0y')).toBe('EACCES')
    expect(guest.ask(XS.remove, '/readable\0')).toBe('EACCES')
    expect(guest.ask(XS.getPermissions, '/readable\0')).toBe('n0\0r1')
    expect(guest.ask(XS.setPermissions, '/readable\0n0\0b1\0')).toBe('EACCES')
    guest.ask(XS.write, 'mine\0')
    expect(guest.ask(XS.getPermissions, 'mine\0')).toBe('n1')
    expect(guest.ask(XS.setPermissions, 'mine\0n1\0b2\0w3\0')).toBe('OK')
    expect(guest.store.permissions('/local/domain/1/mine')).toEqual([
      host(1),
      { domain: 2, read: true, write: true },
      { domain: 3, read: false, write: true },
    ])
  })

  test('nodes that a guest may make are counted', () => {
    const guest = new StoreGuest()
    let made = 0
    while (guest.ask(XS.write, `n${made}\0`) === 'OK') made++
    // The guest's own home counts too.
    expect(made).toBe(999)
    expect(guest.ask(XS.write, 'a/b\0')).toBe('ENOSPC')
    expect(guest.ask(XS.remove, 'n0\0')).toBe('OK')
    expect(guest.ask(XS.write, 'a\0')).toBe('OK')
  })
})

describe('watches', () => {
  test('tell of the path at once, then of what changes at and below it', async () => {
    const guest = new StoreGuest()
    expect(guest.ask(XS.watch, 'a\0token\0')).toBe('OK')
    expect(guest.takeEvents()).toEqual(['a token'])
    expect(guest.ask(XS.watch, 'a\0token\0')).toBe('EEXIST')
    guest.store.write('/local/domain/1/a/b', 1)
    guest.store.write('/local/domain/1/ab', 1)
    expect(guest.takeEvents()).toEqual(['a/b token'])
    guest.store.remove('/local/domain/1')
    expect(guest.takeEvents()).toEqual(['a token'])
    expect(guest.ask(XS.unwatch, 'a\0token\0')).toBe('OK')
    guest.store.write('/local/domain/1/a', 1)
    expect(guest.takeEvents()).toEqual([])
  })

  test('absolute ones get absolute paths, and only those that the guest may read', () => {
    const guest = new StoreGuest()
    guest.ask(XS.watch, '/local\0t\0')
    guest.takeEvents()
    guest.store.write('/local/domain/2', 'x')
    guest.store.write('/local/domain/1/x', 'x')
    guest.store.setPermissions('/local/domain/1', [host(1)])
    expect(guest.takeEvents()).toEqual(['/local/domain/1/x t', '/local/domain/1 t'])
  })

  test('the answer comes before the events that it causes, and twice the same event is once', () => {
    const guest = new StoreGuest()
    guest.ask(XS.watch, 'a\0t\0')
    guest.takeEvents()
    guest.push(StoreGuest.message(XS.write, 77, 0, 'a\0x'))
    expect(guest.messages().map(({ type }) => type)).toEqual([XS.write, XS.watchEvent])
    // Not taken off the ring: the first fills it.
    guest.set(RSP_CONS, (guest.get(RSP_PROD) - 1024) >>> 0)
    for (let i = 0; i < 5; i++) guest.store.write('/local/domain/1/a', i)
    guest.set(RSP_CONS, guest.get(RSP_PROD))
    guest.ring.service()
    expect(guest.takeEvents()).toEqual(['a t'])
  })

  test('tokens are bytes', () => {
    const guest = new StoreGuest()
    const token = String.fromCharCode(...Array.from({ length: 255 }, (_, i) => i + 1))
    expect(guest.ask(XS.watch, `a\0${token}\0`)).toBe('OK')
    expect(guest.takeEvents()).toEqual([`a ${token}`])
    expect(guest.ask(XS.unwatch, `a\0${token}\0`)).toBe('OK')
  })

  test('events and answers are never longer than messages can be', () => {
    const guest = new StoreGuest()
    const long = 't'.repeat(4000)
    expect(guest.ask(XS.watch, `a\0${long}\0`)).toBe('OK')
    expect(guest.ask(XS.watch, 'a\0short\0')).toBe('OK')
    expect(guest.takeEvents()).toEqual([`a ${long}`, 'a short'])
    const deep = `a/${'b'.repeat(200)}`
    expect(guest.ask(XS.write, `${deep}\0x`)).toBe('OK')
    expect(guest.takeEvents()).toEqual([`${deep} short`])
    // The host writes what it likes.
    guest.store.write('/local/domain/1/h', 'v'.repeat(4097))
    guest.store.setPermissions('/local/domain/1/h', [{ domain: 1, read: true, write: true }])
    expect(guest.ask(XS.read, 'h\0')).toBe('E2BIG')
  })

  test('there are only so many', () => {
    const guest = new StoreGuest()
    for (let i = 0; i < 128; i++) expect(guest.ask(XS.watch, `a\0${i}\0`)).toBe('OK')
    expect(guest.ask(XS.watch, 'a\0x\0')).toBe('E2BIG')
    expect(guest.ask(XS.resetWatches, '\0')).toBe('OK')
    expect(guest.ask(XS.watch, 'a\0x\0')).toBe('OK')
  })

  test('the host has them too, in a turn of its own', async () => {
    const guest = new StoreGuest()
    const seen: string[] = []
    const stop = guest.store.watch('/local/domain/1/a', (path) => seen.push(path))
    guest.ask(XS.write, 'a/b\0x')
    expect(seen).toEqual([])
    await Promise.resolve()
    expect(seen).toEqual(['/local/domain/1/a', '/local/domain/1/a/b'])
    stop()
    guest.ask(XS.write, 'a/b\0x')
    await Promise.resolve()
    expect(seen).toHaveLength(2)
    expect(() => guest.store.watch('relative', () => {})).toThrow(/no path of the store/)
  })
})

describe('transactions', () => {
  test('are seen by nobody until they end, and then at once', () => {
    const guest = new StoreGuest()
    guest.ask(XS.watch, 'a\0t\0')
    guest.takeEvents()
    const id = Number(guest.ask(XS.begin, '\0'))
    expect(id).not.toBe(0)
    guest.ask(XS.write, 'a/b\x001', id)
    guest.ask(XS.write, 'a/c\x002', id)
    expect(guest.ask(XS.read, 'a/b\0', id)).toBe('1')
    expect(guest.ask(XS.read, 'a/b\0')).toBe('ENOENT')
    expect(guest.takeEvents()).toEqual([])
    expect(guest.ask(XS.end, 'T\0', id)).toBe('OK')
    expect(guest.ask(XS.read, 'a/b\0')).toBe('1')
    expect(guest.takeEvents()).toEqual(['a/b t', 'a/c t'])
    expect(guest.ask(XS.read, 'a\0', id)).toBe('ENOENT')
  })

  test('end with EAGAIN if what they saw has changed, and only then', () => {
    const guest = new StoreGuest()
    const begin = (): number => Number(guest.ask(XS.begin, '\0'))
    guest.ask(XS.write, 'a\x001')
    let id = begin()
    expect(guest.ask(XS.read, 'a\0', id)).toBe('1')
    guest.ask(XS.write, 'a\x002')
    expect(guest.ask(XS.read, 'a\0', id)).toBe('1')
    guest.ask(XS.write, 'b\x003', id)
    expect(guest.ask(XS.end, 'T\0', id)).toBe('EAGAIN')
    expect(guest.ask(XS.read, 'b\0')).toBe('ENOENT')
    id = begin()
    guest.ask(XS.write, 'b\x003', id)
    guest.ask(XS.write, 'a\x004')
    expect(guest.ask(XS.end, 'T\0', id)).toBe('OK')
    expect(guest.ask(XS.read, 'a\0')).toBe('4')
    expect(guest.ask(XS.read, 'b\0')).toBe('3')
    // That something is not there is something seen.
    id = begin()
    expect(guest.ask(XS.read, 'c\0', id)).toBe('ENOENT')
    guest.ask(XS.write, 'c\x001')
    expect(guest.ask(XS.end, 'T\0', id)).toBe('EAGAIN')
  })

  test('that are given up leave nothing', () => {
    const guest = new StoreGuest()
    const id = Number(guest.ask(XS.begin, '\0'))
    guest.ask(XS.write, 'a\x001', id)
    expect(guest.ask(XS.end, 'F\0', id)).toBe('OK')
    expect(guest.ask(XS.read, 'a\0')).toBe('ENOENT')
    expect(guest.ask(XS.begin, '\0', 5)).toBe('EBUSY')
    for (let i = 0; i < 10; i++) guest.ask(XS.begin, '\0')
    expect(guest.ask(XS.begin, '\0')).toBe('ENOSPC')
  })
})

test('what was saved goes on: values, watches, answers under way, transactions', () => {
  const before = new StoreGuest()
  before.ask(XS.write, 'a\0\xffx\0')
  before.ask(XS.setPermissions, 'a\0n1\0r2\0')
  before.ask(XS.watch, 'a\0t\0')
  // Names that look like numbers keep their order.
  for (const name of ['b/z', 'b/10', 'b/9']) before.ask(XS.write, `${name}\0`)
  before.takeEvents()
  const [lost, won, early] = [1, 2, 3].map(() => Number(before.ask(XS.begin, '\0'))) as [number, number, number]
  expect(before.ask(XS.read, 'a\0', lost)).toBe('\xffx')
  expect(before.ask(XS.write, 'b/new\0one', won)).toBe('OK')
  expect(before.ask(XS.setPermissions, 'b/9\0n1\0w3\0', won)).toBe('OK')
  expect(before.ask(XS.remove, 'b/10\0', won)).toBe('OK')
  expect(before.ask(XS.write, 'b/z\0two', won)).toBe('OK')
  const request = StoreGuest.message(XS.read, 9, 0, 'a\0')
  before.push(request.subarray(0, 5))
  // A full ring: the event waits.
  before.set(RSP_CONS, (before.get(RSP_PROD) - 1024) >>> 0)
  before.store.write('/local/domain/1/a', 'new')
  before.set(RSP_CONS, before.get(RSP_PROD))

  const after = new StoreGuest()
  after.memory.write(after.page, before.memory.read(before.page, 0x1000))
  after.store.restore(structuredClone(before.store.save()))
  after.ring.restore(structuredClone(before.ring.save()))
  expect(after.ring.save()).toEqual(before.ring.save())
  expect(after.store.save()).toEqual(before.store.save())
  for (const guest of [before, after]) {
    guest.push(request.subarray(5))
    expect(guest.messages().map(({ type, text }) => [type, text])).toEqual([
      [XS.watchEvent, 'a\0t\0'],
      [XS.read, 'new'],
    ])
    expect(guest.ask(XS.getPermissions, 'a\0')).toBe('n1\0r2')
    guest.store.write('/local/domain/1/a', 1)
    expect(guest.takeEvents()).toEqual(['a t'])
    // Each transaction sees the tree of its beginning, and ends as it would have.
    expect(guest.ask(XS.read, 'a\0', early)).toBe('\xffx')
    expect(guest.ask(XS.directory, 'b\0', won)).toBe('z\x009\0new')
    expect(guest.ask(XS.directory, 'b\0')).toBe('z\x0010\x009')
    expect(guest.ask(XS.write, 'c\x001', lost)).toBe('OK')
    expect(guest.ask(XS.end, 'T\0', lost)).toBe('EAGAIN')
    expect(guest.ask(XS.end, 'T\0', won)).toBe('OK')
    expect(guest.ask(XS.end, 'T\0', won)).toBe('ENOENT')
    expect(guest.ask(XS.directory, 'b\0')).toBe('z\x009\0new')
    expect(guest.ask(XS.read, 'b/z\0')).toBe('two')
    expect(guest.ask(XS.getPermissions, 'b/9\0')).toBe('n1\0w3')
    expect(guest.ask(XS.end, 'F\0', early)).toBe('OK')
  }
  expect(after.store.save()).toEqual(before.store.save())
})

test('a transaction can look at and change only so much', () => {
  const guest = new StoreGuest()
  const id = Number(guest.ask(XS.begin, '\0'))
  let changes = 0
  while (changes < 5000 && guest.ask(XS.write, `a\0${changes}`, id) === 'OK') changes++
  expect(changes).toBe(1024)
  let looks = 0
  while (looks < 5000 && guest.ask(XS.read, `none-${looks}\0`, id) === 'ENOENT') looks++
  expect(looks).toBeGreaterThan(900)
  expect(looks).toBeLessThan(1024)
  expect(guest.ask(XS.end, 'T\0', id)).toBe('OK')
  expect(guest.ask(XS.read, 'a\0')).toBe('1023')
})

test('a deep path costs no more than its length', () => {
  const guest = new StoreGuest()
  const deep = Array.from({ length: 980 }, () => 'a').join('/')
  const time = new OwnTime()
  expect(guest.ask(XS.write, `${deep}\0x`)).toBe('OK')
  expect(guest.ask(XS.read, `${deep}\0`)).toBe('x')
  expect(guest.ask(XS.remove, 'a\0')).toBe('OK')
  // Each node of it again, in one transaction: its end is one request.
  const id = Number(guest.ask(XS.begin, '\0'))
  for (let i = 0; i < 500; i++) expect(guest.ask(XS.write, `${deep.slice(0, 2 * i + 1)}\0${i}`, id)).toBe('OK')
  expect(guest.ask(XS.end, 'T\0', id)).toBe('OK')
  expect(guest.ask(XS.read, `${deep.slice(0, 999)}\0`)).toBe('499')
  expect(time.milliseconds()).toBeLessThan(4000)
})

test('one request’s events take up only so much', () => {
  const guest = new StoreGuest()
  for (let i = 0; i < 128; i++) guest.ask(XS.watch, `a\0${i}\0`)
  guest.takeEvents()
  const id = Number(guest.ask(XS.begin, '\0'))
  for (let i = 0; i < 900; i++) guest.ask(XS.write, `a/${'b'.repeat(1900)}${i}\0`, id)
  // From here on the guest takes nothing.
  guest.set(RSP_CONS, (guest.get(RSP_PROD) - 1024) >>> 0)
  const message = StoreGuest.message(XS.end, 1, id, 'T\0')
  for (const [i, byte] of message.entries()) guest.memory.u8[guest.page + ((guest.get(REQ_PROD) + i) % 1024)] = byte
  guest.set(REQ_PROD, (guest.get(REQ_PROD) + message.length) >>> 0)
  guest.ring.service()
  const messages = guest.ring.save()['outgoing'] as [string, Uint8Array][]
  const bytes = messages.reduce((sum, [, each]) => sum + each.length, 0)
  expect(bytes).toBeGreaterThan(4_000_000)
  expect(bytes).toBeLessThan(4_300_000)
  guest.set(RSP_CONS, guest.get(RSP_PROD))
  guest.ring.service()
  expect(guest.takeEvents().length).toBeGreaterThan(2000)
  expect(guest.ask(XS.read, `a/${'b'.repeat(1900)}899\0`)).toBe('')
})

test('a flood of events is taken off as fast as it comes', () => {
  const guest = new StoreGuest()
  for (let i = 0; i < 128; i++) guest.ask(XS.watch, `a\0${i}\0`)
  guest.takeEvents()
  guest.set(RSP_CONS, (guest.get(RSP_PROD) - 1024) >>> 0)
  for (let i = 0; i < 200; i++) guest.store.write(`/local/domain/1/a/${i}`, '')
  const time = new OwnTime()
  let bytes = 0
  for (let count = 1; count > 0; bytes += count) {
    guest.set(RSP_CONS, guest.get(RSP_PROD))
    guest.ring.service()
    count = (guest.get(RSP_PROD) - guest.get(RSP_CONS)) >>> 0
  }
  // 128 watches of 200 names: each event is 16 bytes, the path and the token.
  expect(bytes).toBeGreaterThan(25_600 * (16 + 'a/0_0_'.length))
  expect(time.milliseconds()).toBeLessThan(10_000)
})

describe('the ring', () => {
  test('takes messages in any pieces, and wraps', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 12, size: 'max' }),
        fc.integer({ min: 0 }),
        (sizes, start) => {
          const guest = new StoreGuest()
          for (const index of [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD]) guest.set(index, start >>> 0)
          for (const [i, size] of sizes.entries()) {
            const value = String.fromCharCode(97 + i).repeat(size)
            const message = StoreGuest.message(XS.write, i, 0, `a${i}\0${value}`)
            const cut = size % message.length
            guest.push(message.subarray(0, cut))
            guest.push(message.subarray(cut))
            expect(guest.messages().map(({ text }) => text)).toEqual(['OK\0'])
            expect(guest.ask(XS.read, `a${i}\0`)).toBe(value)
          }
        },
      ),
      { seed: 5, numRuns: 50 },
    )
  })

  test.each([
    { what: 'requests', set: (guest: StoreGuest) => guest.set(REQ_PROD, (guest.get(REQ_CONS) + 1025) >>> 0) },
    {
      what: 'answers',
      set: (guest: StoreGuest) => {
        guest.set(RSP_CONS, (guest.get(RSP_PROD) + 1) >>> 0)
        guest.store.write('/local/domain/1/watched', '')
      },
    },
  ])('an index of $what that cannot be is told of, until the guest connects anew', ({ set }) => {
    const guest = new StoreGuest()
    guest.ask(XS.watch, 'watched\0t\0')
    guest.takeEvents()
    set(guest)
    guest.ring.service()
    expect(guest.get(ERROR)).toBe(2)
    guest.set(CONNECTION, 1)
    guest.ring.service()
    expect([REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, CONNECTION, ERROR].map((at) => guest.get(at))).toEqual([
      0, 0, 0, 0, 0, 0,
    ])
    guest.ask(XS.write, 'watched\x001')
    expect(guest.takeEvents()).toEqual([])
    expect(guest.ask(XS.read, 'watched\0')).toBe('1')
  })

  test('the guest is told of every change of its ring, parts of an answer among them, and of nothing else', () => {
    const guest = new StoreGuest()
    const told = (action: () => void): number => {
      const before = guest.notified
      action()
      return guest.notified - before
    }
    const take = (count: number): void => {
      guest.set(RSP_CONS, (guest.get(RSP_CONS) + count) >>> 0)
      guest.ring.service()
    }
    guest.ask(XS.write, `a\0${'x'.repeat(2000)}`)
    expect(told(() => guest.ring.service())).toBe(0)
    const message = StoreGuest.message(XS.read, 1, 0, 'a\0')
    const producer = guest.get(REQ_PROD)
    for (const [i, byte] of message.entries()) guest.memory.u8[guest.page + (((producer + i) >>> 0) % 1024)] = byte
    guest.set(REQ_PROD, (producer + message.length) >>> 0)
    // 2,016 bytes go into a ring of 1,024: all of it, then as much as the guest has taken.
    expect(told(() => guest.ring.service())).toBe(1)
    expect(guest.get(RSP_PROD) - guest.get(RSP_CONS)).toBe(1024)
    expect(told(() => guest.ring.service())).toBe(0)
    expect(told(() => take(1))).toBe(1)
    expect(told(() => take(500))).toBe(1)
    expect(told(() => take(1024))).toBe(1)
    expect(guest.get(RSP_PROD) - guest.get(RSP_CONS)).toBe(2016 - 1525)
    expect(told(() => take(2016 - 1525))).toBe(0)
  })

  test('a message longer than there can be is told of', () => {
    const guest = new StoreGuest()
    const header = StoreGuest.message(XS.write, 1, 0, '')
    new DataView(header.buffer).setUint32(12, 4097, true)
    guest.push(header)
    expect(guest.get(ERROR)).toBe(3)
  })

  test('a guest that takes no answers is not read from for ever', () => {
    const guest = new StoreGuest()
    guest.ask(XS.write, `a\0${'x'.repeat(2000)}`)
    const message = StoreGuest.message(XS.read, 1, 0, 'a\0')
    let sent = 0
    for (; sent < 1000; sent++) {
      const producer = guest.get(REQ_PROD)
      if (1024 - ((producer - guest.get(REQ_CONS)) >>> 0) < message.length) break
      for (const [i, byte] of message.entries()) {
        guest.memory.u8[guest.page + (((producer + i) >>> 0) % 1024)] = byte
      }
      guest.set(REQ_PROD, (producer + message.length) >>> 0)
      guest.ring.service()
    }
    // 64 KiB of answers of 2,016 bytes wait for room, and 56 requests on the ring.
    expect(sent).toBeGreaterThan(80)
    expect(sent).toBeLessThan(200)
    expect(guest.messages()).toHaveLength(sent)
  })

  test('whatever the page says, nothing breaks', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            at: fc.constantFrom(REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, CONNECTION, ERROR, 0, 16, 1000),
            value: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer()),
          }),
          { maxLength: 60, size: 'max' },
        ),
        (changes) => {
          const guest = new StoreGuest()
          for (const { at, value } of changes) {
            guest.set(at, value >>> 0)
            guest.ring.service()
          }
          // It can still be connected to.
          guest.set(CONNECTION, 1)
          guest.ring.service()
          expect(guest.ask(XS.write, 'a\x001')).toBe('OK')
        },
      ),
      { seed: 6, numRuns: 300 },
    )
  })
})
