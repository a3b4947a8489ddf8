/** Traces as Value Change Dumps. Source: IEEE Std 1364-2001, clause 18. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createIoRequest, IOREQ_READ, IOREQ_TYPE_COPY, IOREQ_WRITE, type IoTraceEvent } from '@retrap/ioreq'
import { type MachineRunOptions, recordPc, replayPc } from '@retrap/machine'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { parseTrace, TRACE_KINDS, Tracer, type TraceRecord, VcdTrace } from '../src/index.ts'
import { tracedBoard } from './support/arm-guest.ts'
import { ABSENT, PRICE, price, TIMER_VECTOR, tracedKernel, tracedPc } from './support/guest.ts'
import { changesOf, readVcd } from './support/vcd-reader.ts'

const { places, bytes: kernel } = tracedKernel()
const bits = (value: number): string => value.toString(2)
const EVERYTHING = ['insn', 'block', 'irq', 'exceptions', 'pagewalk', 'ioreq']

/** A trace that is written while a machine runs. */
function vcdTracer(specs: readonly string[]): { readonly tracer: Tracer; readonly end: () => string } {
  let text = ''
  const parsed = specs.map(parseTrace)
  const symbolOf = (address: bigint): string | undefined => (Number(address) === places.load ? 'load it' : undefined)
  const vcd = new VcdTrace((piece) => (text += piece), { cpus: 1, kinds: parsed.map(({ kind }) => kind), symbolOf })
  const tracer = new Tracer(parsed, (record) => vcd.add(record), { guestOnly: true })
  return {
    tracer,
    end() {
      tracer.detach()
      vcd.end()
      return text
    },
  }
}

/** Runs the guest to its end. */
async function vcdOf(specs: readonly string[], options: Parameters<typeof tracedPc>[0] = {}): Promise<string> {
  const { tracer, end } = vcdTracer(specs)
  const pc = await tracedPc({ ...options, ...(tracer.access && { trace: tracer.access }) })
  tracer.attach(pc.domain)
  expect((await pc.run({ timeoutMs: 100_000 })).reason).toBe('power-off')
  const text = end()
  pc.close()
  return text
}

describe('a file of a run', async () => {
  const text = await vcdOf(EVERYTHING)
  const vcd = readVcd(text)
  const values = (path: string): string[] => changesOf(vcd, `guest.vcpu0.${path}`).map(([, value]) => value)

  test('has the nanoseconds of the guest, which never go back', () => {
    expect(vcd.timescale).toBe('1 ns')
    expect(vcd.times).toEqual([...new Set(vcd.times)].toSorted((a, b) => a - b))
    expect(vcd.times.length).toBeGreaterThan(30)
  })

  test('has one value of a variable at a time', () => {
    const seen = vcd.changes.map(([time, path]) => `${time} ${path}`)
    expect(new Set(seen).size).toBe(seen.length)
  })

  test('has each exception and interrupt that is delivered', () => {
    expect(values('exception.delivered')).toEqual(['1', '1'])
    expect(values('exception.name')).toEqual(['#UD', '#PF'])
    expect(values('exception.vector')).toEqual([bits(6), bits(14)])
    expect(values('exception.fault_address')).toEqual([bits(ABSENT)])
    expect(values('interrupt.delivered')).toEqual(['1'])
    expect([values('interrupt.vector'), values('interrupt.source')]).toEqual([
      [bits(TIMER_VECTOR)],
      ['i8259_interrupt_0'],
    ])
  })

  test('has the code that is executed, by its name or its address', () => {
    expect(values('code')).toContain('load_it')
    expect(values('code')).toContain(`0x${places.ud2.toString(16)}`)
    expect(values('address')).toContain(bits(places.ud2))
    expect(values('instruction')).toContain('mov_eax,_dword_ptr_ds:[0x800000]')
  })

  test('counts instructions, by which a replay finds the instant', () => {
    const counts = changesOf(vcd, 'guest.instructions').map(([, value]) => parseInt(value, 2))
    expect(counts).toEqual(counts.toSorted((a, b) => a - b))
    expect(counts.at(-1)).toBeGreaterThan(30)
  })
})

test('a request is there from its sending to its answer, with its vCPU, which waits', async () => {
  const vcd = readVcd(await vcdOf(['ioreq,device=price']))
  expect([...vcd.variables.keys()]).not.toContain('guest.vcpu0.interrupt.vector')
  const [[from, active] = [], [to, inactive] = [], ...more] = changesOf(vcd, 'guest.vcpu0.request.active')
  expect([active, inactive, more]).toEqual(['1', '0', []])
  expect(to).toBeGreaterThan(from ?? Infinity)
  expect(changesOf(vcd, 'guest.vcpu0.state')).toEqual([
    [from, 'waiting'],
    [to, 'running'],
  ])
  const at = { device: 'price', access: 'mmio_read', address: bits(PRICE), size: bits(4), count: '1' }
  for (const [name, value] of Object.entries(at))
    expect(changesOf(vcd, `guest.vcpu0.request.${name}`), name).toEqual([[from, value]])
  expect(changesOf(vcd, 'guest.vcpu0.request.value')).toEqual([[to, bits(7)]])
  expect(changesOf(vcd, 'guest.vcpu0.address')).toEqual([[from, bits(places.access)]])
})

test('a replay’s file is that of the recorded run, byte for byte, with the JIT and without', async () => {
  const options = { memoryBytes: 16 << 20, kernel, clock: 'deterministic' as const, devices: [price] }
  const pieces: Uint8Array[] = []
  const traced = async (run: (trace: ReturnType<typeof vcdTracer>) => Promise<() => void>): Promise<string> => {
    const trace = vcdTracer(['irq', 'exceptions', 'ioreq'])
    const close = await run(trace)
    const text = trace.end()
    close()
    return text
  }
  const limits: MachineRunOptions = { timeoutMs: 100_000 }
  const recorded = await traced(async ({ tracer }) => {
    const given = { ...options, ...(tracer.access && { trace: tracer.access }) }
    const recorder = await recordPc(given, (bytes) => void pieces.push(bytes.slice()))
    tracer.attach(recorder.pc.domain)
    expect((await recorder.pc.run(limits)).reason).toBe('power-off')
    await recorder.end()
    return () => recorder.pc.close()
  })
  const file = Buffer.concat(pieces)
  const source = { bytes: file.length, read: (at: number, count: number) => file.subarray(at, at + count) }
  for (const jit of [false, { threshold: 1 }]) {
    const replayed = await traced(async ({ tracer }) => {
      const replay = await replayPc({ ...options, jit, ...(tracer.access && { trace: tracer.access }) }, source)
      tracer.attach(replay.pc.domain)
      expect((await replay.run(limits)).reason).toBe('power-off')
      return () => replay.close()
    })
    expect(replayed).toBe(recorded)
  }
  expect(readVcd(recorded).changes.length).toBeGreaterThan(30)
})

/** Writes accesses, each with an instant in nanoseconds. */
function accesses(list: readonly (readonly [event: IoTraceEvent, ns: number])[], vcpu = 0): string {
  let text = ''
  const vcd = new VcdTrace((piece) => (text += piece), { cpus: 1, kinds: ['ioreq'] })
  for (const [i, [event, ns]] of list.entries()) {
    const request = createIoRequest()
    Object.assign(request, { type: IOREQ_TYPE_COPY, addressLo: 0x1000, size: 4, count: 1 })
    request.direction = i % 2 === 0 ? IOREQ_READ : IOREQ_WRITE
    const access = { event, vcpu, server: 's', device: 'd', request, lo: i, hi: 0 }
    const place = { vcpu, ns, hostMs: 0, instructions: i, allInstructions: i }
    vcd.add({ kind: 'ioreq', ...place, code: 1n, waitedMs: undefined, access } satisfies TraceRecord)
  }
  vcd.end()
  return text
}

test('an answer that is told late does not take time back', () => {
  const vcd = readVcd(
    accesses([
      ['sent', 5000.75],
      ['answered', 4000],
      ['done', 6000],
    ]),
  )
  expect(vcd.times).toEqual([5000, 5001, 6000, 6001, 6002])
})

test('a burst at one instant gets ahead of the guest by no more than a turn', () => {
  const burst = Array.from({ length: 20_000 }, () => ['done', 100] as const)
  const vcd = readVcd(accesses([...burst, ['done', 10_050], ['done', 50_000]]))
  expect(changesOf(vcd, 'guest.vcpu0.request.active').slice(-2)).toEqual([
    [50_000, '1'],
    [50_001, '0'],
  ])
  expect(Math.max(...vcd.times.filter((time) => time < 50_000))).toBeLessThanOrEqual(20_051)
})

test.each([
  { event: 'answered', isActive: false, is: 'running' },
  { event: 'ended', isActive: false, is: 'running' },
  { event: 'cancelled', isActive: false, is: 'running' },
  { event: 'drained', isActive: true, is: 'waiting' },
] satisfies { event: IoTraceEvent; isActive: boolean; is: string }[])(
  'behind $event a request is active: $isActive',
  ({ event, isActive, is }) => {
    const vcd = readVcd(
      accesses([
        ['sent', 10],
        [event, 20],
      ]),
    )
    expect(changesOf(vcd, 'guest.vcpu0.request.active').at(-1)?.[1]).toBe(isActive ? '1' : '0')
    expect(changesOf(vcd, 'guest.vcpu0.state').at(-1)?.[1]).toBe(is)
  },
)

test('accesses of a vCPU that the file does not have are left out', () => {
  for (const vcpu of [-1, 1]) expect(readVcd(accesses([['done', 10]], vcpu)).changes).toEqual([])
})

test('the time of another machine goes on from where the file is', () => {
  let text = ''
  const vcd = new VcdTrace((piece) => (text += piece), { cpus: 1, kinds: ['irq'] })
  for (const ns of [5000, 10]) {
    vcd.begin()
    const place = { vcpu: 0, ns, hostMs: 0, instructions: 1, allInstructions: 1 }
    vcd.add({ kind: 'irq', ...place, event: 'nmi', vector: 2, source: 'NMI', address: 1n, cpl: 0 })
  }
  vcd.end()
  expect(readVcd(text).times).toEqual([5000, 5011, 5012])
})

test('a file is as long as its limit has it, and one without records is a file, too', async () => {
  const vcd = readVcd(await vcdOf(['insn,limit=5']))
  expect(changesOf(vcd, 'guest.vcpu0.address').length).toBe(5)
  expect(readVcd(await vcdOf(['insn,cpl=3'])).changes).toEqual([])
})

test('an Arm board’s trace has exceptions by their class, and the timer’s interrupt', async () => {
  const { tracer, end } = vcdTracer(['irq', 'exceptions', 'ioreq,device=price'])
  const board = await tracedBoard({ ...(tracer.access && { trace: tracer.access }) })
  tracer.attach(board.domain)
  expect((await board.run({ timeoutMs: 100_000 })).reason).toBe('power-off')
  const vcd = readVcd(end())
  board.close()
  const values = (name: string): string[] => changesOf(vcd, `guest.vcpu0.${name}`).map(([, value]) => value)
  expect(values('exception.name')).toEqual(['undefined_instruction', 'data_abort'])
  expect(values('interrupt.source')).toEqual(['PPI_27'])
  expect(values('request.value')).toEqual([bits(7)])
})

const CONVERTERS = ['vcd2fst', 'fst2vcd']
const isHere = CONVERTERS.every(hasProgram)

describe.skipIf(!isHere)(`GTKWave’s vcd2fst${skipNote(isHere, 'gtkwave is not installed')}`, () => {
  const folder = temporaryFolder('vcd')
  const path = (name: string): string => join(folder, name)

  /** Runs a program without complaint. */
  const convert = (program: string, ...args: readonly string[]): void => {
    const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
    expect([program, status, stderr]).toEqual([program, 0, ''])
  }

  test('reads every change, of all kinds of records', async () => {
    expect(TRACE_KINDS).toEqual(EVERYTHING)
    const text = await vcdOf(EVERYTHING)
    writeFileSync(path('a.vcd'), text)
    convert('vcd2fst', path('a.vcd'), path('a.fst'))
    convert('fst2vcd', '-f', path('a.fst'), '-o', path('b.vcd'))
    // It writes vectors at their full width, sorts the changes of an instant, and has those of the first one as first values.
    const changes = (given: string): string[] => {
      const { changes: all, times } = readVcd(given)
      return all
        .filter(([time]) => time !== times[0])
        .map(([time, path, value]) => `${time} ${path} ${value.replace(/^0+(?=[01])/, '').replace(/^x+$/, 'x')}`)
        .toSorted()
    }
    expect(changes(readFileSync(path('b.vcd'), 'utf8'))).toEqual(changes(text))
    expect(changes(text).length).toBeGreaterThan(200)
  })
})
