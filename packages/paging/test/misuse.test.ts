import { misuses } from '@retrap/tooling/misuse'
import { describe, expect, test } from 'vitest'
import * as paging from '../src/index.ts'

const cpu = { maxPhysicalBits: 40, pages1G: true, pse36: true, amd: false }
const reader: paging.TableReader = {
  read32: () => false,
  read64: () => false,
  compareExchange32: () => false,
  compareExchange64: () => false,
}
const made = (): paging.PagingContext => {
  const context = new paging.PagingContext(cpu)
  context.configure(0x8000_0001, 0x1000, 0, 0x20, 0x500)
  return context
}
const context = made()
const mtrrs = { maxPhysicalBits: 40, defType: 0xc06n, fixed: [], variable: [] }

const arm = {
  ...{ sctlr: 1, tcrLo: 0, tcrHi: 0, ttbr0Lo: 0, ttbr0Hi: 0, ttbr1Lo: 0, ttbr1Hi: 0, mairLo: 0, mairHi: 0, dacr: 0 },
  aarch64: true,
}

describe('a value of the wrong kind throws a PagingError', () => {
  test.each<[string, (...args: never[]) => unknown, unknown[]]>([
    ['new PagingContext', (options: never) => new paging.PagingContext(options), [cpu]],
    ['configure', (...args: never[]) => made().configure(...(args as unknown as [0, 0, 0, 0, 0])), [1, 0, 0, 0, 0]],
    ['loadPdptes', (tables: never) => made().loadPdptes(tables), [reader]],
    ['reloadsPdptes', paging.reloadsPdptes as never, [0, 0, 0, 0]],
    ['translate', paging.translate as never, [context, reader, 0x1000n, {}]],
    [
      'mappings',
      (...args: never[]) => (paging.mappings as (...all: never[]) => Generator)(...args).next(),
      [context, reader, {}],
    ],
    ['start of mappings', (start: never) => paging.mappings(context, reader, { start }).next(), [0n]],
    ['explain', paging.explain as never, [context, reader, 0x1000n, {}]],
    ['patType', paging.patType as never, [0n, 1]],
    ['mtrrType', paging.mtrrType as never, [mtrrs, 0x1000]],
    ['effectiveMemoryType', paging.effectiveMemoryType as never, [6, 6]],
    ['ArmPagingContext.update', (registers: never) => new paging.ArmPagingContext().update(registers), [arm]],
    [
      'a register of ArmPagingContext.update',
      (sctlr: never) => new paging.ArmPagingContext().update({ ...arm, sctlr }),
      [0],
    ],
  ])('%s', (_name, call, args) => {
    expect(misuses(call, args, paging.PagingError)).toEqual([])
  })
})
