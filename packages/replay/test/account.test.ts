import { expect, test } from 'vitest'
import { AccessKind, AccessLog, accessTag, accountOf } from '../src/index.ts'

test('an instruction in the middle: its passes, and the effect of each access', () => {
  const log = new AccessLog()
  const pass = (): number => {
    log.complete(log.access(AccessKind.FETCH, 0x100, 0, 3, 0))
    log.beginWalk()
    if (log.findWalkRead(0x2000, 0) < 0) {
      log.recordWalkRead(0x2000, 0, 8, 7, 0)
      log.recordAdWrite(0x2000, 0, 8, 0x27, 0)
    }
    log.complete(log.access(AccessKind.READ, 0x3000, 0, 4, accessTag(1, 2)))
    log.complete(log.access(AccessKind.WRITE, 0x4000, 0, 1, accessTag(2)))
    return log.access(AccessKind.MMIO_READ, 0xfee0_0000, 0, 4, accessTag(1, 3))
  }
  const effects = (): string[] =>
    accountOf(log).accesses.map(({ kind, operand, element, outcome }) => `${kind} ${operand}.${element} ${outcome}`)
  expect(accountOf(log)).toEqual({ passes: 0, accesses: [], replayed: 0, reachedDevices: 0 })
  log.begin()
  const first = pass()
  expect(accountOf(log)).toMatchObject({ passes: 1, replayed: 5, reachedDevices: 0 })
  expect(effects().at(-1)).toBe('mmio-read 1.3 open')
  log.wait(first)
  expect(effects()).toEqual([
    'fetch 0.0 kept',
    'walk-read 0.0 kept',
    'walk-ad-write 0.0 made',
    'read 1.2 kept',
    'write 2.0 held',
    'mmio-read 1.3 asked',
  ])
  expect(accountOf(log)).toMatchObject({ passes: 1, replayed: 5, reachedDevices: 1 })
  expect(accountOf(log).accesses[5]).not.toHaveProperty('data')
  log.setData(first, 0x1234, 0)
  log.complete(first)
  log.restart()
  log.wait((pass(), log.access(AccessKind.PORT_WRITE, 0x80, 0, 1, 0)))
  expect(effects().slice(-2)).toEqual(['mmio-read 1.3 answered', 'port-write 0.0 asked'])
  expect(accountOf(log)).toMatchObject({ passes: 2, replayed: 6, reachedDevices: 2 })
  expect(accountOf(log).accesses[5]).toMatchObject({ ordinal: 5, data: '34120000', tag: accessTag(1, 3) })
  log.cancel()
  expect(accountOf(log)).toMatchObject({ passes: 0, accesses: [] })
})
