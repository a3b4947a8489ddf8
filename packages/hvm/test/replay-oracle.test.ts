import { AccessKind, AccessLog, AccessState } from '@retrap/replay'
import { S_GPR } from '@retrap/x86-cpu'
import { codes } from '@retrap/x86-decoder'
import { runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { corpus } from './chaos/corpus.ts'
import { LETS_THROUGH, Oracle } from './chaos/oracle.ts'
import type { Mutation } from './chaos/oracle.ts'
import { INSTRUCTIONS, soak } from './soak/replay.soak.ts'

const prototype = AccessLog.prototype

test('20,000 instructions cannot tell that devices take their time and others change memory meanwhile', async () => {
  const { violations, smallest } = await runSoak(soak, { count: Math.ceil(20_000 / INSTRUCTIONS), seed: 1 })
  expect(smallest).toBeUndefined()
  expect(violations).toBe(0)
}, 120_000)

test('no interrupt comes up while a form waits that may set IF', () => {
  // INT writes IF too, but only clears it.
  const writesIf = codes.filter((info) => (info.flagsWritten & 0x200) !== 0 && !info.mnemonic.startsWith('INT'))
  const names = new Set(writesIf.map((info) => info.form))
  const offered = ([16, 32, 64] as const).flatMap((bits) => corpus(bits, 0).flat())
  const forms = new Set(offered.map((entry) => entry.form).filter((form) => names.has(form)))
  expect([...forms]).toContain('SYSRETQ')
  expect([...forms].filter((form) => !LETS_THROUGH.test(form))).toEqual([])
})

/** Defects that a log may have. Each is applied to a machine that is right otherwise. */
const mutations: readonly (readonly [name: string, Mutation])[] = [
  [
    'walk reads left out of the log',
    ({ cpu: { log } }) => {
      log.findWalkRead = () => -1
    },
  ],
  [
    'a write made twice: to RAM in each pass',
    ({ cpu: { log }, memory, domain }) => {
      log.complete = (index) => {
        const ma = log.kind(index) === AccessKind.WRITE ? domain.p2m.translateWrite(log.addressLo(index)) : -1
        if (ma >= 0) log.copyBytes(index, memory.u8, ma)
        prototype.complete.call(log, index)
      }
    },
  ],
  [
    'a write made twice: to a device in a later pass',
    ({ cpu: { log } }) => {
      log.state = (index) =>
        log.kind(index) === AccessKind.MMIO_WRITE && log.replaying ? AccessState.NEW : prototype.state.call(log, index)
    },
  ],
  [
    'the reads of a CMPS merged',
    ({ cpu: { log } }) => {
      log.access = (kind, lo, hi, size, tag) => {
        const index = prototype.access.call(log, kind, lo, hi, size, tag)
        if (kind !== AccessKind.MMIO_READ || log.state(index) !== AccessState.NEW) return index
        for (let i = 0; i < index; i++) {
          if (log.kind(i) !== kind || log.addressLo(i) !== lo || log.size(i) !== size) continue
          log.setData(index, log.dataLo(i), log.dataHi(i))
          log.complete(index)
        }
        return index
      }
    },
  ],
  [
    'a register committed early',
    ({ vcpu, cpu }) => {
      const read = vcpu.physicalRead.bind(vcpu)
      vcpu.physicalRead = (gpa, size, into, logged) => {
        const status = read(gpa, size, into, logged)
        if (logged) cpu.u32[S_GPR >>> 2] = into.lo
        return status
      }
    },
  ],
  [
    'a device read repeated',
    ({ cpu: { log } }) => {
      log.state = (index) =>
        log.kind(index) === AccessKind.MMIO_READ && log.replaying ? AccessState.NEW : prototype.state.call(log, index)
      log.setData = (index, lo, hi) => {
        if (prototype.state.call(log, index) !== AccessState.COMPLETE) prototype.setData.call(log, index, lo, hi)
      }
    },
  ],
]

test.each(mutations)('the oracle sees %s', { timeout: 120_000 }, async (_name, mutation) => {
  const oracle = await Oracle.make('promise', mutation)
  const { violations } = await runSoak(
    { name: 'mutated', step: (rng) => oracle.program(rng, INSTRUCTIONS) },
    { count: 100, seed: 1, shrinkMs: 0 },
  )
  expect(violations).toBeGreaterThan(0)
})
