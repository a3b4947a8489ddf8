import { STATE_IOREQ_NONE } from '@retrap/ioreq'
import { AccessKind, AccessLog, STATUS_RESTART, STATUS_DONE } from '@retrap/replay'
import { STATUS_FAULT } from '@retrap/x86-cpu'
import { codes } from '@retrap/x86-decoder'
import { TEST_LONG, withLong } from '@retrap/tooling/long'
import { runSoak } from '@retrap/tooling/soak'
import { sliced } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { corpus } from './chaos/corpus.ts'
import { LETS_THROUGH, Oracle, type Mutation } from './chaos/oracle.ts'
import { HAPPENINGS, WAITING_FOR } from './chaos/events.ts'
import { type Coverage, CHANGES, PLACES, STRINGS, WAITS } from './chaos/coverage.ts'
import { coverages, soak as extended } from './soak/extended-replay.soak.ts'
import { INSTRUCTIONS, coverage, soak } from './soak/replay.soak.ts'

const prototype = AccessLog.prototype

/** A few more than would do if each had all its instructions: one that runs astray ends. Of every three, one is disturbed. */
const PROGRAMS = TEST_LONG ? 990 : 120
const LEAST_INSTRUCTIONS = TEST_LONG ? 20_000 : 2400

/** A floor of the 990 programs, made lower for an eighth of them. */
const floorOf = (count: number): number => (TEST_LONG ? count : Math.floor(count / 20))
/** The same of forms: a few programs already show many of them. */
const formsOf = (count: number): number => (TEST_LONG ? count : Math.floor(0.12 * count))
/** Times that each kind of change is seen at each kind of wait. */
const LEAST_CHANGES = TEST_LONG ? 3 : 1

/** Forms, of about 2000, that these must show by a transport, by where their accesses go; half are a promise's. */
const HALF = { RAM: 1200, MMIO: 1150, ports: 16, 'RAM and MMIO': 450, 'RAM and ports': 4, 'all three': 12 } as const
const QUARTER = { RAM: 800, MMIO: 800, ports: 14, 'RAM and MMIO': 250, 'RAM and ports': 1, 'all three': 8 } as const
const FLOORS = { promise: HALF, Worker: QUARTER, socket: QUARTER } as const

const MMIO_PLACES = ['MMIO', 'RAM and MMIO'] as const
const PORT_PLACES = ['ports', 'RAM and ports', 'all three'] as const

/**
 * What another party has no occasion to change: bytes are fetched before data is read; what reads a port, or lets a
 * device have several iterations, has read no data before, and seldom any other device's page.
 */
const RARE: ReadonlySet<string> = new Set([
  ...['fetch: data', 'port read: data', 'port read: device to RAM'],
  ...['iterations: data', 'iterations: device to RAM'],
])

test(`${LEAST_INSTRUCTIONS} instructions cannot tell that devices take their time and others change memory meanwhile`, async () => {
  const { violations, smallest } = await runSoak(soak, { count: PROGRAMS, seed: 2 })
  expect(smallest).toBeUndefined()
  expect(violations).toBe(0)
  expect([...coverage.keys()]).toEqual(Object.keys(FLOORS))
  let instructions = 0
  for (const [transport, seen] of coverage) {
    instructions += seen.instructions
    // An eighth of the programs has each of what is rare by some transport.
    const counted = TEST_LONG ? [seen] : [...coverage.values()]
    const floor = FLOORS[transport]
    for (const place of PLACES)
      expect(seen.forms(place), `${transport}, ${place}`).toBeGreaterThanOrEqual(formsOf(floor[place]))
    expect(seen.lost / seen.instructions).toBeLessThan(0.01)
    expect(seen.interrupts).toBeGreaterThan(floorOf(50))
    expect(seen.romStores).toBeGreaterThan(floorOf(20))
    expect(seen.notices).toBeGreaterThan(floorOf(1500))
    expect(seen.taskSwitches).toBeGreaterThan(floorOf(2))
    expect(seen.lines).toBeGreaterThan(floorOf(50))
    expect(seen.faultsMidway).toBeGreaterThan(floorOf(5))
    for (const name of STRINGS) {
      for (const down of [false, true]) {
        const places = name === 'INS' || name === 'OUTS' ? PORT_PLACES : MMIO_PLACES
        const repeats = (one: Coverage): number =>
          places.reduce((sum, place) => sum + one.repeats(name, down, place), 0)
        const count = counted.reduce((sum, one) => sum + repeats(one), 0)
        expect(count, `${transport}, ${name} ${down ? 'downwards' : 'upwards'}`).toBeGreaterThan(floorOf(2))
      }
    }
    for (const wait of WAITS) {
      for (const change of CHANGES) {
        const often = RARE.has(`${wait}: ${change}`) ? 0 : LEAST_CHANGES
        const count = counted.reduce((sum, one) => sum + one.changes(wait, change), 0)
        expect(count, `${transport}, ${wait}: ${change}`).toBeGreaterThanOrEqual(often)
      }
    }
  }
  expect(instructions).toBeGreaterThan(LEAST_INSTRUCTIONS)
}, 900_000)

test('nor can instructions of AVX-512 and AMX, whose elements are accessed one by one', async () => {
  const { smallest } = await runSoak(extended, {
    count: TEST_LONG ? 600 : 8,
    seed: Number(process.env['RETRAP_SEED'] ?? 3),
  })
  expect(smallest).toBeUndefined()
  expect(coverages.at(-1)!.replayed).toBeGreaterThan(8)
})

test.each(Object.keys(FLOORS) as (keyof typeof FLOORS)[])(
  'what happens while a %s is waited for, and when',
  (transport) => {
    const seen = coverage.get(transport) as Coverage
    for (const happening of HAPPENINGS) {
      const count = WAITING_FOR.reduce((sum, waiting) => sum + seen.happened(happening, waiting), 0)
      expect(count, happening).toBeGreaterThan(floorOf(20))
    }
    for (const waiting of WAITING_FOR) {
      // An eighth of the programs has few of the rarest waits: then those of all transports count.
      const counted = TEST_LONG ? [seen] : [...coverage.values()]
      const count = counted.reduce(
        (sum, one) => sum + HAPPENINGS.reduce((n, what) => n + one.happened(what, waiting), 0),
        0,
      )
      expect(count, waiting).toBeGreaterThan(floorOf(10))
    }
    // The vCPU's next request to the same server is made while the answer to the cancelled one is still to come.
    expect(seen.late).toBeGreaterThan(floorOf(50))
  },
)

const pairs = HAPPENINGS.flatMap((happening) => WAITING_FOR.map((waiting) => [happening, waiting] as const))
// An eighth of the programs has each happening and each wait, but not every pair.
test.each(withLong([], pairs))('%s, while an instruction waits for: %s', (happening, waiting) => {
  const count = [...coverage.values()].reduce((sum, seen) => sum + seen.happened(happening, waiting), 0)
  expect(count).toBeGreaterThan(0)
})

test('no interrupt comes up while a form waits that may set IF', () => {
  // INT, SYSENTER and SYSCALL (as FMASK is here) write IF too, but only clear it.
  const clears = /^(INT|SYSENTER|SYSCALL)/
  const writesIf = codes.filter((info) => (info.flagsWritten & 0x200) !== 0 && !clears.test(info.mnemonic))
  const names = new Set(writesIf.map((info) => info.form))
  const offered = ([16, 32, 64] as const).flatMap((bits) => corpus(bits, 0).flat())
  const forms = new Set(offered.map((entry) => entry.form).filter((form) => names.has(form)))
  expect([...forms]).toContain('SYSRETQ')
  expect([...forms].filter((form) => !LETS_THROUGH.test(form))).toEqual([])
})

/** Defects that a log, or a processor, may have. Each is applied to a machine that is right otherwise. */
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
        log.kind(index) === AccessKind.MMIO_WRITE && log.replaying ? STATUS_RESTART : prototype.state.call(log, index)
    },
  ],
  [
    'the reads of a CMPS merged',
    ({ cpu: { log } }) => {
      log.access = (kind, lo, hi, size, tag) => {
        const index = prototype.access.call(log, kind, lo, hi, size, tag)
        if (kind !== AccessKind.MMIO_READ || log.state(index) !== STATUS_RESTART) return index
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
        if (logged) cpu.registers.generalWords[0] = into.lo
        return status
      }
    },
  ],
  [
    'a request for several iterations made smaller by an interrupt that comes up meanwhile',
    ({ cpu, domain }) => {
      const apic = domain.interrupts.localApic(0)
      const { core } = cpu as unknown as { readonly core: { mayRepeat(): boolean } }
      core.mayRepeat = () => !apic.hasInterrupt()
    },
  ],
  [
    'a device read repeated',
    ({ cpu: { log } }) => {
      log.state = (index) =>
        log.kind(index) === AccessKind.MMIO_READ && log.replaying ? STATUS_RESTART : prototype.state.call(log, index)
      log.setData = (index, lo, hi) => {
        if (prototype.state.call(log, index) !== STATUS_DONE) prototype.setData.call(log, index, lo, hi)
      }
    },
  ],
]

/** Whether one of a hundred programs finds a defect. */
async function isSeen(mutation: Mutation, disturbed: boolean): Promise<boolean> {
  const oracle = await Oracle.make('promise', mutation)
  let seen = false
  const { violations } = await runSoak(
    {
      name: 'mutated',
      async step(rng, index) {
        if (seen) return undefined
        const violation = await oracle.program(rng, INSTRUCTIONS, index, disturbed).catch(String)
        seen = violation !== undefined
        return violation
      },
    },
    { count: 100, seed: 1, shrinkMs: 0 },
  )
  return violations > 0
}

test.each(sliced(mutations, 8))('the oracle sees %s', { timeout: 600_000 }, async (_name, mutation) => {
  expect(await isSeen(mutation, false)).toBe(true)
})

/** Defects of what is done to an instruction that waits: nothing is wrong where nothing is done. */
const mishaps: readonly (readonly [name: string, Mutation])[] = [
  [
    "a cancelled request's answer given to the next request",
    ({ domain }) => {
      const { dispatch, devices } = domain
      const cancel = dispatch.requests.cancel.bind(dispatch.requests)
      dispatch.requests.cancel = (vcpu) => {
        cancel(vcpu)
        devices.server.draining[vcpu] = 0
        devices.server.slot(vcpu).state = STATE_IOREQ_NONE
      }
    },
  ],
  [
    'registers committed before cancellation',
    ({ cpu }) => {
      const { log } = cpu
      log.cancel = () => {
        for (let i = 0; i < log.count; i++)
          if (log.kind(i) === AccessKind.MMIO_READ && log.state(i) === STATUS_DONE)
            cpu.registers.generalWords[0] = log.dataLo(i)
        return prototype.cancel.call(log)
      }
    },
  ],
  [
    'writes to RAM made before cancellation',
    ({ cpu: { log }, domain, memory }) => {
      log.cancel = () => {
        for (let i = 0; i < log.count; i++) {
          const ma = log.kind(i) === AccessKind.WRITE ? domain.p2m.translateWrite(log.addressLo(i)) : -1
          if (ma >= 0) log.copyBytes(i, memory.u8, ma)
        }
        return prototype.cancel.call(log)
      }
    },
  ],
  [
    'the address of a page fault in CR2 before its handler is entered',
    ({ cpu, vcpu }) => {
      const translate = vcpu.translate.bind(vcpu)
      vcpu.translate = (lo, hi, rights, into, logged) => {
        const status = translate(lo, hi, rights, into, logged)
        if (status === STATUS_FAULT) cpu.registers.cr2 = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
        return status
      }
    },
  ],
  [
    'a cancelled instruction that goes on afterwards',
    ({ cpu: { log } }) => {
      log.cancel = () => log.pending >= 0
    },
  ],
  [
    'a restored machine asking the device again',
    ({ domain, cpu }) => {
      domain.settle = () => {
        cpu.cancel()
        return Promise.resolve()
      }
    },
  ],
  [
    'a restored log that has forgotten what was read',
    ({ cpu: { log } }) => {
      log.restore = (saved) => {
        const accesses = saved.accesses.map((each) =>
          each.kind.endsWith('read') && each.state === 'complete'
            ? { ...each, data: each.data!.replace(/./g, '0') }
            : each,
        )
        prototype.restore.call(log, { ...saved, accesses })
      }
    },
  ],
]

test.each(sliced(mishaps, 8))('the oracle sees %s', { timeout: 600_000 }, async (_name, mutation) => {
  expect(await isSeen(mutation, true)).toBe(true)
})
