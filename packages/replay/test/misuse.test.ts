import { misuses } from '@retrap/tooling/misuse'
import { describe, expect, test } from 'vitest'
import { AccessKind, AccessLog, LOG_BYTES, LoggedTables, ReplayError } from '../src/index.ts'

const made = (): AccessLog => {
  const log = new AccessLog()
  log.begin()
  log.access(AccessKind.READ, 0x1000, 0, 4, 0)
  return log
}
const saved = made().save()
const tables = { read32: () => true, read64: () => true, compareExchange32: () => true, compareExchange64: () => true }

describe('a value of the wrong kind throws a ReplayError', () => {
  test.each<[string, (...args: never[]) => unknown, unknown[]]>([
    [
      'new AccessLog',
      (...args: never[]) => new AccessLog(...(args as unknown as [never])),
      [new ArrayBuffer(LOG_BYTES), 0],
    ],
    ['restore', (each: never) => new AccessLog().restore(each), [saved]],
    ['accesses of restore', (accesses: never) => new AccessLog().restore({ ...saved, accesses }), [saved.accesses]],
    [
      'an access of restore',
      (each: never) => new AccessLog().restore({ ...saved, accesses: [each] }),
      [saved.accesses[0]],
    ],
    ...(['kind', 'ordinal', 'address', 'size', 'state', 'tag', 'data'] as const).map(
      (name): [string, (...args: never[]) => unknown, unknown[]] => [
        `${name} of an access of restore`,
        (each: never) => new AccessLog().restore({ ...saved, accesses: [{ ...saved.accesses[0]!, [name]: each }] }),
        [0],
      ],
    ),
    ['describe', (index: never) => made().describe(index), [0]],
    ['forEachHeldWrite', (visit: never) => made().forEachHeldWrite(visit), [() => undefined]],
    [
      'new LoggedTables',
      (...args: never[]) => new LoggedTables(...(args as unknown as [never, never])),
      [made(), tables],
    ],
  ])('%s', (_name, call, args) => {
    expect(misuses(call, args, ReplayError)).toEqual([])
  })
})
